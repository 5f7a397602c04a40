//! Locks (kernel/locking/): who holds what and who waits for it, for all kinds of locks. The lock words
//! themselves are the guest's (headers read some of them inline); owners of what has no owner word, and the
//! queues of waiters, are reached by calls alone and kept here.

pub(crate) mod dec;
pub(crate) mod mutex;
pub(crate) mod percpu;
pub(crate) mod rtmutex;
pub(crate) mod rwlock;
pub(crate) mod rwsem;
pub(crate) mod semaphore;
pub(crate) mod spinlock;
mod usage;
pub(crate) mod ww;

use crate::abi::R;
use crate::hash::{Map, Set};
use crate::sched::wait::Woken;
use crate::sched::{self, Tid};
use crate::{Cx, trace};
use lkm_machine::map;
use lkm_trace::{Event, LockOp, Site, TaskKind};
use std::collections::{BTreeMap, VecDeque};

/// One holding of a lock.
#[derive(Debug, Clone)]
struct Holder {
    tid: Tid,
    kind: &'static str,
    site: Site,
    /// The acquisition is in the record.
    told: bool,
    /// That it is held where it must not be was told.
    blamed: bool,
}

/// A task that waits for a lock.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    tid: Tid,
    write: bool,
    /// Order among the contexts of wound/wait mutexes; 0 without one.
    stamp: u64,
    /// A word that ends the wait when it is set: of such a context; 0 without one.
    abort: u64,
}

/// Lock events recorded at most: a loop may take a lock for ever.
const MAX_EVENTS: u32 = 60_000;
/// How often one place's taking of one lock under the same other lock is recorded.
const MAX_SAME: u32 = 4;

/// All locks in use.
#[derive(Default)]
pub struct State {
    held: BTreeMap<u64, Vec<Holder>>,
    /// What each task holds, oldest first.
    by_task: Map<Tid, Vec<u64>>,
    queues: BTreeMap<u64, VecDeque<Waiter>>,
    class: Map<u64, u64>,
    seen: Map<(u64, u64, u64), u32>,
    events: u32,
    told: Set<(&'static str, u64)>,
    own: dec::Own,
    usage: usage::State,
}

fn event(cx: &mut Cx, op: LockOp, kind: &'static str, key: u64, tid: Tid, site: Site) {
    let class = cx.locks.class.get(&key).copied().unwrap_or(key);
    cx.locks.events += 1;
    trace::emit(
        cx,
        Event::Lock {
            op,
            kind: kind.into(),
            key,
            class,
            tid,
            site,
        },
    );
}

/// `tid` has taken the lock.
fn took_for(cx: &mut Cx, key: u64, kind: &'static str, op: LockOp, tid: Tid, site: Site) {
    let top = cx
        .locks
        .by_task
        .get(&tid)
        .and_then(|held| held.last())
        .copied()
        .unwrap_or(0);
    let events = cx.locks.events;
    let seen = cx.locks.seen.entry((site.pc, key, top)).or_insert(0);
    *seen += 1;
    let told = *seen <= MAX_SAME && events < MAX_EVENTS;
    if told {
        event(cx, op, kind, key, tid, site.clone());
    }
    cx.locks.held.entry(key).or_default().push(Holder {
        tid,
        kind,
        site,
        told,
        blamed: false,
    });
    cx.locks.by_task.entry(tid).or_default().push(key);
}

/// The running task has taken the lock.
pub(crate) fn took(cx: &mut Cx, key: u64, kind: &'static str, op: LockOp) {
    let tid = sched::current_tid(cx);
    let site = quick_site(cx, key);
    took_for(cx, key, kind, op, tid, site);
}

/// The place of the call; its callers only while they will be recorded.
fn quick_site(cx: &Cx, key: u64) -> Site {
    let Some(tid) = sched::current(cx) else {
        return Site::default();
    };
    let pc = cx.sched.tasks[tid as usize]
        .frames
        .last()
        .map_or(0, |f| f.ret);
    let top = cx
        .locks
        .by_task
        .get(&tid)
        .and_then(|held| held.last())
        .copied()
        .unwrap_or(0);
    if cx
        .locks
        .seen
        .get(&(pc, key, top))
        .is_some_and(|&n| n >= MAX_SAME)
    {
        return Site {
            pc,
            stack: Vec::new(),
        };
    }
    trace::site(cx)
}

/// A callback that others can wait for the end of begins to run: as lockdep does, that is a lock which it
/// holds and which the waiter takes. Whether it is in the record; `map_leave` wants to know.
pub(crate) fn map_enter(cx: &mut Cx, key: u64, kind: &'static str, function: u64) -> bool {
    let events = cx.locks.events;
    let seen = cx.locks.seen.entry((function, key, 0)).or_insert(0);
    *seen += 1;
    if *seen > MAX_SAME || events >= MAX_EVENTS {
        return false;
    }
    // A return address lies behind the call: so does this one, in the function that runs.
    let site = Site {
        pc: function + 1,
        stack: Vec::new(),
    };
    let tid = sched::current_tid(cx);
    event(cx, LockOp::Acquire, kind, key, tid, site);
    true
}

/// It has run.
pub(crate) fn map_leave(cx: &mut Cx, key: u64, kind: &'static str, told: bool) {
    if told {
        let tid = sched::current_tid(cx);
        event(cx, LockOp::Release, kind, key, tid, Site::default());
    }
}

/// The running task waits until a callback has run, whether or not it runs now.
pub(crate) fn map_wait(cx: &mut Cx, key: u64, kind: &'static str) {
    let tid = sched::current_tid(cx);
    let holds = cx
        .locks
        .by_task
        .get(&tid)
        .and_then(|held| held.last())
        .copied();
    let Some(top) = holds else { return };
    let site = quick_site(cx, key);
    let events = cx.locks.events;
    let seen = cx.locks.seen.entry((site.pc, key, top)).or_insert(0);
    *seen += 1;
    if *seen <= MAX_SAME && events < MAX_EVENTS {
        event(cx, LockOp::Acquire, kind, key, tid, site.clone());
        event(cx, LockOp::Release, kind, key, tid, site);
    }
}

/// One holding of the lock ends: the running task's own if it has one.
pub(crate) fn gave(cx: &mut Cx, key: u64, kind: &'static str) {
    let tid = sched::current_tid(cx);
    let Some(holders) = cx.locks.held.get_mut(&key) else {
        return;
    };
    let index = holders
        .iter()
        .rposition(|h| h.tid == tid)
        .unwrap_or(holders.len().saturating_sub(1));
    let holder = holders.remove(index);
    if holders.is_empty() {
        cx.locks.held.remove(&key);
    }
    if let Some(list) = cx.locks.by_task.get_mut(&holder.tid)
        && let Some(at) = list.iter().rposition(|&k| k == key)
    {
        list.remove(at);
    }
    if holder.told {
        let site = trace::site(cx);
        event(cx, LockOp::Release, kind, key, tid, site);
    }
}

/// Who holds the lock; of several readers one.
pub fn holder(cx: &Cx, key: u64) -> Option<Tid> {
    cx.locks.held.get(&key)?.first().map(|h| h.tid)
}

/// Whether the task holds the lock.
fn holds(cx: &Cx, key: u64, tid: Tid) -> bool {
    cx.locks
        .held
        .get(&key)
        .is_some_and(|h| h.iter().any(|h| h.tid == tid))
}

/// For reports: what a lock is and who has it.
pub fn describe(cx: &Cx, key: u64) -> Option<String> {
    let holder = cx.locks.held.get(&key)?.first()?;
    let task = &cx.sched.tasks[holder.tid as usize];
    Some(format!(
        "{} held by {}/{}",
        holder.kind, task.comm, task.pid
    ))
}

/// A lock was initialised at the caller's place: its class is that place.
fn initialised(cx: &mut Cx, key: u64, kind: &'static str, class: u64) -> R<()> {
    if cx.locks.held.contains_key(&key) {
        let what = describe(cx, key).unwrap_or_default();
        trace::misuse(cx, "double-init", &what, key, "init");
        while cx.locks.held.contains_key(&key) {
            gave(cx, key, kind);
        }
    }
    cx.locks.queues.remove(&key);
    cx.locks.told.remove(&("uninitialised", key));
    if class != 0 {
        cx.locks.class.insert(key, class);
    }
    Ok(())
}

/// Whether this was not told yet of this lock; it is now.
fn first_time(cx: &mut Cx, what: &'static str, key: u64) -> bool {
    cx.locks.told.insert((what, key))
}

/// A task is about to wait for a lock: its holder must be in the record.
fn tell_holder(cx: &mut Cx, key: u64) {
    let Some(index) = cx
        .locks
        .held
        .get(&key)
        .and_then(|h| h.iter().position(|h| !h.told))
    else {
        return;
    };
    let Some(holder) = cx.locks.held.get_mut(&key).and_then(|h| h.get_mut(index)) else {
        return;
    };
    holder.told = true;
    let (tid, kind, site) = (holder.tid, holder.kind, holder.site.clone());
    event(cx, LockOp::Acquire, kind, key, tid, site);
}

/// Queues the running task for a lock and sleeps until the lock is handed to it, a signal comes, or the
/// time is over (or the word at `abort` becomes set). Who hands it over takes the waiter off the queue.
#[allow(clippy::too_many_arguments, reason = "each is one word of the wait")]
fn wait_for(
    cx: &mut Cx,
    key: u64,
    write: bool,
    stamp: u64,
    state: u32,
    until: Option<u64>,
    what: &'static str,
    abort: u64,
) -> R<Woken> {
    let tid = sched::current_tid(cx);
    tell_holder(cx, key);
    let queue = cx.locks.queues.entry(key).or_default();
    // Contexts wait in the order of their stamps, the oldest first; all others in the order they came.
    let at = if stamp == 0 {
        queue.len()
    } else {
        queue
            .iter()
            .position(|w| w.stamp != 0 && (w.stamp.wrapping_sub(stamp) as i64) > 0)
            .unwrap_or(queue.len())
    };
    queue.insert(
        at,
        Waiter {
            tid,
            write,
            stamp,
            abort,
        },
    );
    loop {
        let waiting = cx
            .locks
            .queues
            .get(&key)
            .is_some_and(|q| q.iter().any(|w| w.tid == tid));
        let ended = if !waiting {
            Some(Woken::Normally)
        } else if sched::interrupted(cx, tid, state) {
            Some(Woken::Signal)
        } else if until.is_some_and(|until| cx.clock.now >= until)
            || abort != 0 && cx.r16(abort)? != 0
        {
            Some(Woken::Timeout)
        } else {
            None
        };
        if let Some(ended) = ended {
            leave_queue(cx, key, tid);
            sched::set_state(cx, sched::RUNNING)?;
            return Ok(ended);
        }
        sched::set_state(cx, state)?;
        sched::schedule_until(cx, until, what, key)?;
    }
}

fn leave_queue(cx: &mut Cx, key: u64, tid: Tid) {
    if let Some(queue) = cx.locks.queues.get_mut(&key) {
        queue.retain(|w| w.tid != tid);
        if queue.is_empty() {
            cx.locks.queues.remove(&key);
        }
    }
}

/// Takes the next waiter off the queue if `fits`.
fn next_waiter(cx: &mut Cx, key: u64, fits: impl Fn(&Waiter) -> bool) -> Option<Tid> {
    pop_waiter(cx, key, fits).map(|waiter| waiter.tid)
}

/// The same, with what it waits for.
fn pop_waiter(cx: &mut Cx, key: u64, fits: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
    let queue = cx.locks.queues.get_mut(&key)?;
    if !fits(queue.front()?) {
        return None;
    }
    let waiter = queue.pop_front()?;
    if queue.is_empty() {
        cx.locks.queues.remove(&key);
    }
    Some(waiter)
}

fn has_waiters(cx: &Cx, key: u64) -> bool {
    cx.locks.queues.contains_key(&key)
}

/// Gives the lock to a task that waited: it holds it from now on, from where it asked.
fn hand_over(cx: &mut Cx, key: u64, kind: &'static str, tid: Tid) -> R<()> {
    let frame = cx.sched.tasks[tid as usize].frames.last().copied();
    let site = frame.map_or_else(Site::default, |f| Site {
        pc: f.place,
        stack: crate::unwind::callers(cx, tid),
    });
    took_for(cx, key, kind, LockOp::Acquire, tid, site);
    sched::wake_state(cx, tid, sched::NORMAL | sched::WAKEKILL)?;
    Ok(())
}

/// The same-task and atomic-context rules of locks that may sleep.
fn check_sleeping(cx: &mut Cx, key: u64, function: &'static str) {
    let depth = crate::rcu::depth(cx);
    if (crate::context::in_atomic(cx) || depth != 0) && !trace::told(cx, "in-atomic") {
        let mut detail = format!(
            "in_atomic(): {}, irqs_disabled(): {}, preempt_count {:#x}",
            u8::from(crate::context::preempt_count(cx) != 0),
            u8::from(crate::context::irqs_disabled(cx)),
            crate::context::preempt_count(cx)
        );
        if depth != 0 {
            detail = format!("{detail}, RCU nest depth {depth}");
        }
        trace::misuse(cx, "in-atomic", &detail, key, function);
    }
}

/// Whether a lock of this kind spins.
fn spins(kind: &str) -> bool {
    kind.contains("spin") || kind.starts_with("rwlock")
}

/// A system call returns: a lock that only its task may release is told, since no other call may expect it held.
pub(crate) fn back_to_user(cx: &mut Cx, tid: Tid) {
    if cx.sched.tasks[tid as usize].kind == TaskKind::User {
        tell_held(cx, tid, false);
    }
}

/// Tells, once, of the locks that `tid` holds; before its end only of those that no other task may release.
fn tell_held(cx: &mut Cx, tid: Tid, ends: bool) {
    let held = cx.locks.by_task.get(&tid).cloned().unwrap_or_default();
    let process = cx.sched.tasks[tid as usize].kind == TaskKind::User;
    for key in held {
        let Some(holder) = cx
            .locks
            .held
            .get_mut(&key)
            .and_then(|h| h.iter_mut().find(|h| h.tid == tid))
        else {
            continue;
        };
        let owned = holder.kind.contains("mutex") || holder.kind.starts_with("rwsem");
        if !ends && !owned {
            continue;
        }
        // A callback that returns with a spinning lock is told by its preempt_count.
        if std::mem::replace(&mut holder.blamed, true) || spins(holder.kind) && process {
            continue;
        }
        let (kind, site) = (holder.kind, holder.site.clone());
        tell_holder(cx, key);
        let function = if process {
            "exit to user mode"
        } else {
            "do_exit"
        };
        let event = Event::Misuse {
            what: "lock-held".into(),
            detail: format!("a {kind}"),
            key,
            function: function.into(),
            tid,
            site,
        };
        trace::emit(cx, event);
    }
}

/// A task ends: what it still holds stays held for ever, and is told.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) -> R<()> {
    crate::audit::on_exit(cx, tid);
    crate::rcu::on_exit(cx, tid);
    tell_held(cx, tid, true);
    let keys: Vec<u64> = cx.locks.queues.keys().copied().collect();
    for key in keys {
        leave_queue(cx, key, tid);
    }
    Ok(())
}

fn forget_range(cx: &mut Cx, addr: u64, size: u64, what: &str) {
    let keys: Vec<u64> = cx
        .locks
        .held
        .range(addr..addr.saturating_add(size))
        .map(|(&k, _)| k)
        .collect();
    for key in keys {
        let Some(holders) = cx.locks.held.get(&key).cloned() else {
            continue;
        };
        let blamed = holders.iter().any(|h| h.blamed);
        if !blamed && let Some(holder) = holders.first() {
            tell_holder(cx, key);
            let task = &cx.sched.tasks[holder.tid as usize];
            let detail = format!("{what}, {} held by {}/{}", holder.kind, task.comm, task.pid);
            trace::misuse(cx, "freed-held", &detail, key, "kfree");
        }
        for holder in holders {
            if let Some(list) = cx.locks.by_task.get_mut(&holder.tid) {
                list.retain(|&k| k != key);
            }
            if holder.told {
                let site = trace::site(cx);
                let tid = sched::current_tid(cx);
                event(cx, LockOp::Destroy, holder.kind, key, tid, site);
            }
        }
        cx.locks.held.remove(&key);
    }
    let stale: Vec<u64> = cx
        .locks
        .class
        .keys()
        .filter(|&&k| k >= addr && k < addr.saturating_add(size))
        .copied()
        .collect();
    for key in stale {
        cx.locks.class.remove(&key);
    }
}

/// Memory goes: a held lock in it is told, and whatever is armed in it.
pub(crate) fn on_free(cx: &mut Cx, addr: u64, by: &str) -> R<()> {
    let size = crate::mm::guard::block_at(cx, addr).map_or(1, |b| b.size);
    crate::audit::on_free(cx, addr, size, by);
    crate::drivers::kobject::on_free(cx, addr, size, by)?;
    forget_range(cx, addr, size, "freed");
    Ok(())
}

/// A module's memory goes: a held static lock in it is told, and what will still call into it.
pub(crate) fn on_module_free(cx: &mut Cx, index: usize) -> R<()> {
    crate::audit::after_unload(cx, index)?;
    crate::lib::xarray::node::after_unload(cx, index);
    let m = &cx.modules.list[index];
    let (base, size) = (m.core_base, m.core_size.next_multiple_of(map::PAGE));
    forget_range(cx, base, size, "the module's memory is freed");
    Ok(())
}
