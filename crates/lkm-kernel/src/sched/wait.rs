//! Waiting by the address of an object: what completions and the like use for their sleepers, who are
//! reached by calls alone. First come, first served.

use crate::Cx;
use crate::abi::R;
use crate::sched::{self, Tid};

/// Sleepers by the address they wait at.
#[derive(Default)]
pub struct Sleepers {
    list: Vec<(u64, Tid)>,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Somebody woke it.
    Normally,
    /// A signal did.
    Signal,
    /// The time ran out.
    Timeout,
}

/// Sleeps at `addr` in `state` until woken there, interrupted, or `until` (virtual ns).
pub fn wait_at(
    cx: &mut Cx,
    addr: u64,
    state: u32,
    until: Option<u64>,
    what: &'static str,
) -> R<Woken> {
    let tid = sched::current_tid(cx);
    cx.sleepers.list.push((addr, tid));
    loop {
        let ended = if !cx.sleepers.list.contains(&(addr, tid)) {
            Some(Woken::Normally)
        } else if sched::interrupted(cx, tid, state) {
            Some(Woken::Signal)
        } else if until.is_some_and(|until| cx.clock.now >= until) {
            Some(Woken::Timeout)
        } else {
            None
        };
        if let Some(ended) = ended {
            cx.sleepers.list.retain(|&entry| entry != (addr, tid));
            return Ok(ended);
        }
        sched::set_state(cx, state)?;
        sched::schedule_until(cx, until, what, addr)?;
    }
}

/// Wakes up to `count` sleepers at `addr`, oldest first; how many.
pub fn wake_at(cx: &mut Cx, addr: u64, count: usize) -> R<usize> {
    let mut woken = 0;
    while woken < count {
        let Some(index) = cx.sleepers.list.iter().position(|&(a, _)| a == addr) else {
            break;
        };
        let (_, tid) = cx.sleepers.list.remove(index);
        sched::wake_state(cx, tid, sched::NORMAL | sched::WAKEKILL)?;
        woken += 1;
    }
    Ok(woken)
}

/// Whether anyone sleeps at `addr`.
pub fn any_at(cx: &Cx, addr: u64) -> bool {
    cx.sleepers.list.iter().any(|&(a, _)| a == addr)
}
