//! The machine's memory between two cycles of a rehearsal: where an audit finds everything given back, the addresses
//! of the cycle before are used again and its modules are forgotten, so that each cycle starts from the same image.
//! Where something is left, everything stays as it is, and the next cycle lives beside it.

use crate::mm::{guard, slab};
use crate::{Cx, audit, module};

/// How the machine was before the first cycle.
pub(crate) struct Mark {
    modules: usize,
    next_addr: u64,
    objects: usize,
    armed: usize,
    registered: usize,
    tasks: usize,
}

/// Notes how the machine is.
pub(crate) fn mark(cx: &mut Cx) -> Mark {
    guard::mark(cx);
    cx.modules.keep = true;
    Mark {
        modules: cx.modules.list.len(),
        next_addr: cx.modules.next_addr,
        objects: slab::live(cx),
        armed: audit::armed(cx),
        registered: cx.registered.len(),
        tasks: cx.sched.alive(),
    }
}

/// The audit: nothing of what was made since the mark is left. Then the machine is as it was at the mark.
pub(crate) fn restore(cx: &mut Cx, mark: &Mark) -> bool {
    let gone = cx.modules.list[mark.modules.min(cx.modules.list.len())..]
        .iter()
        .all(|m| m.gone);
    let empty = gone
        && slab::live(cx) == mark.objects
        && audit::armed(cx) == mark.armed
        && cx.registered.len() == mark.registered
        && cx.sched.alive() == mark.tasks
        && cx.traps.oopses == 0;
    if empty {
        module::forget(cx, mark.modules, mark.next_addr);
        guard::recycle(cx);
    }
    empty
}
