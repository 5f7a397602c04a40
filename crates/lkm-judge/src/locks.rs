//! Locks in the books: who holds what, which were taken while others were held, and the order that follows.

use std::collections::{BTreeMap, HashMap};

use lkm_trace::LockOp;

use crate::ledger::Moment;

/// Most locks a task is followed through: more than lockdep's own bound of 48 says the trace is not a kernel's.
const MAX_HELD: usize = 256;

/// Most other locks remembered with an order.
const MAX_GATES: usize = 8;

/// A lock that a task holds.
#[derive(Debug, Clone, Copy)]
pub struct Held<'t> {
    pub key: u64,
    pub class: u64,
    pub kind: &'t str,
    pub at: Moment<'t>,
    /// Set when the holder ended with it.
    pub orphaned: Option<usize>,
}

/// One lock class was taken while another was held, for the first time.
#[derive(Debug, Clone)]
pub struct Edge<'t> {
    pub held: Held<'t>,
    pub taken: Held<'t>,
    /// Classes of the other locks held then: one that both orders share keeps them apart.
    pub gates: Vec<u64>,
}

/// The state and history of all locks.
#[derive(Debug, Default)]
pub struct Locks<'t> {
    /// What each task holds now, oldest first.
    pub held: BTreeMap<u32, Vec<Held<'t>>>,
    /// First occurrence of each order, by class.
    pub edges: BTreeMap<(u64, u64), Edge<'t>>,
    /// Who holds each lock; a reader's lock may have several.
    owners: HashMap<u64, Vec<u32>>,
    /// The kind each lock was last seen as.
    kinds: HashMap<u64, &'t str>,
    /// Who took and released each lock last.
    last: HashMap<u64, (LockOp, Moment<'t>)>,
}

/// Kinds that are states of the processor and not locks: they have no order and no owner.
fn is_context(kind: &str) -> bool {
    kind.starts_with("rcu") || matches!(kind, "irq" | "preempt" | "bh" | "srcu")
}

/// Kinds under which a task must not sleep.
pub fn is_spinning(kind: &str) -> bool {
    kind.contains("spin") || kind.starts_with("rwlock")
}

/// Kinds that several holders may have at once: a cycle of readers only does not block.
pub fn is_shared(kind: &str) -> bool {
    kind.ends_with("-read")
}

/// Kinds that are no locks, but functions that run and that others wait for.
pub fn is_callback(kind: &str) -> bool {
    matches!(kind, "work" | "workqueue" | "timer" | "hrtimer")
}

impl<'t> Locks<'t> {
    /// Takes over one lock event.
    pub fn apply(&mut self, op: LockOp, kind: &'t str, key: u64, class: u64, at: Moment<'t>) {
        if key != 0 {
            self.kinds.insert(key, kind);
        }
        if is_context(kind) {
            return;
        }
        match op {
            LockOp::Acquire | LockOp::TryAcquire => {
                let taken = Held {
                    key,
                    class: if class == 0 { key } else { class },
                    kind,
                    at,
                    orphaned: None,
                };
                let held = self.held.entry(at.tid).or_default();
                if held.len() >= MAX_HELD {
                    return;
                }
                if op == LockOp::Acquire {
                    for earlier in held.iter().filter(|h| h.class != taken.class) {
                        self.edges
                            .entry((earlier.class, taken.class))
                            .or_insert_with(|| Edge {
                                held: *earlier,
                                taken,
                                gates: held
                                    .iter()
                                    .map(|h| h.class)
                                    .filter(|c| *c != earlier.class)
                                    .take(MAX_GATES)
                                    .collect(),
                            });
                    }
                }
                held.push(taken);
                self.owners.entry(key).or_default().push(at.tid);
                self.last.insert(key, (LockOp::Acquire, at));
            }
            LockOp::Release => {
                self.forget(key, Some(at.tid));
                self.last.insert(key, (LockOp::Release, at));
            }
            LockOp::Init | LockOp::Destroy => while self.forget(key, None) {},
        }
    }

    /// Takes one holding of a lock out of the books: usually the task's own; an unlock by another task is a
    /// misuse of its own, and frees the lock all the same.
    fn forget(&mut self, key: u64, tid: Option<u32>) -> bool {
        let Some(owners) = self.owners.get_mut(&key) else {
            return false;
        };
        let index = owners
            .iter()
            .rposition(|&o| Some(o) == tid)
            .or(owners.len().checked_sub(1));
        let Some(index) = index else {
            return false;
        };
        let owner = owners.swap_remove(index);
        if let Some(held) = self.held.get_mut(&owner)
            && let Some(at) = held.iter().rposition(|l| l.key == key)
        {
            held.remove(at);
        }
        true
    }

    /// A task has ended: what it holds stays locked for ever.
    pub fn task_ended(&mut self, tid: u32, step: usize) {
        for lock in self.held.get_mut(&tid).into_iter().flatten() {
            lock.orphaned.get_or_insert(step);
        }
    }

    /// The kind of a lock, when it was ever used.
    pub fn kind(&self, key: u64) -> Option<&'t str> {
        self.kinds.get(&key).copied()
    }

    /// The locks a task holds that forbid to sleep, oldest first.
    pub fn atomic(&self, tid: u32) -> Vec<Held<'t>> {
        let held = self.held.get(&tid).map_or(&[][..], Vec::as_slice);
        held.iter()
            .filter(|h| is_spinning(h.kind))
            .take(MAX_GATES)
            .copied()
            .collect()
    }

    /// Who holds a lock, and since where.
    pub fn holder(&self, key: u64) -> Option<(u32, &Held<'t>)> {
        self.owners.get(&key)?.iter().find_map(|&tid| {
            let held = self.held.get(&tid)?.iter().find(|l| l.key == key)?;
            Some((tid, held))
        })
    }

    /// What was done to a lock last, and where.
    pub fn last(&self, key: u64) -> Option<&(LockOp, Moment<'t>)> {
        self.last.get(&key)
    }
}
