//! What can still run code of a module: every subsystem that will call a function later says so here when it
//! is armed and when it no longer is. The audit after unload (and after a failed load) tells what is left,
//! and freeing memory that something armed lies in is told at once.

use crate::abi::R;
use crate::sched::Tid;
use crate::{Cx, module, trace};
use lkm_trace::{Event, Site};
use std::collections::BTreeMap;

/// Something armed.
#[derive(Debug, Clone)]
struct Armed {
    function: u64,
    detail: String,
    site: Site,
    /// It runs now: its own memory may be freed by it.
    running: bool,
}

/// What is armed, by address and kind.
#[derive(Default)]
pub struct State {
    armed: BTreeMap<(u64, &'static str), Armed>,
}

/// `function` will be called because of the object at `key`; armed again, it keeps the new place.
pub fn arm(cx: &mut Cx, kind: &'static str, key: u64, function: u64, detail: &str) {
    let site = trace::site(cx);
    let entry = Armed {
        function,
        detail: detail.into(),
        site,
        running: false,
    };
    // Re-armed from its own callback by a call that returns to the kernel: where it was first armed from outside says more than a kernel frame.
    let outside = module::find_by_addr(cx, entry.site.pc).is_none();
    match cx.audit.armed.get_mut(&(key, kind)) {
        Some(old) if outside => {
            old.function = function;
            old.running = false;
        }
        _ => {
            cx.audit.armed.insert((key, kind), entry);
        }
    }
}

/// Arms for a place found earlier (a thread is made before it is known by address).
pub fn arm_at(cx: &mut Cx, kind: &'static str, key: u64, function: u64, detail: &str, site: Site) {
    let entry = Armed {
        function,
        detail: detail.into(),
        site,
        running: true,
    };
    cx.audit.armed.insert((key, kind), entry);
}

/// The function runs now: the object itself is its own to free, but the code must stay.
pub fn running(cx: &mut Cx, kind: &'static str, key: u64) {
    if let Some(armed) = cx.audit.armed.get_mut(&(key, kind)) {
        armed.running = true;
    }
}

/// The function has run, unless the object was armed again meanwhile.
pub fn ran(cx: &mut Cx, kind: &'static str, key: u64) {
    if cx
        .audit
        .armed
        .get(&(key, kind))
        .is_some_and(|armed| armed.running)
    {
        cx.audit.armed.remove(&(key, kind));
    }
}

/// It will not be called any more.
pub fn disarm(cx: &mut Cx, kind: &'static str, key: u64) {
    cx.audit.armed.remove(&(key, kind));
}

/// How much is armed.
pub(crate) fn armed(cx: &Cx) -> usize {
    cx.audit.armed.len()
}

/// A module's memory is about to go: tells everything that still points into it.
pub(crate) fn after_unload(cx: &mut Cx, index: usize) -> R<()> {
    let inside = |cx: &Cx, addr: u64| module::find_by_addr(cx, addr) == Some(index);
    let left: Vec<(u64, &'static str, Armed)> = cx
        .audit
        .armed
        .iter()
        .filter(|((key, _), armed)| inside(cx, armed.function) || inside(cx, *key))
        .map(|(&(key, kind), armed)| (key, kind, armed.clone()))
        .collect();
    for (key, kind, armed) in left {
        trace::emit(
            cx,
            Event::Leftover {
                kind: kind.into(),
                key,
                function: armed.function,
                detail: armed.detail,
                site: armed.site,
            },
        );
    }
    Ok(())
}

/// Memory of `size` bytes at `addr` is about to be freed.
pub(crate) fn on_free(cx: &mut Cx, addr: u64, size: u64, by: &str) {
    let found: Vec<(u64, &'static str)> = cx
        .audit
        .armed
        .range((addr, "")..(addr.saturating_add(size.max(1)), ""))
        .filter(|(_, armed)| !armed.running)
        .map(|(&k, _)| k)
        .collect();
    for (key, kind) in found {
        let function = cx.audit.armed.get(&(key, kind)).map_or(0, |a| a.function);
        let detail = format!(
            "a {kind} that will call {} is in it, at offset {}",
            module::kallsyms::describe(cx, function),
            key - addr
        );
        // A driver core that gives a device's memory back has no caller in the module: who armed it is told then.
        let here = trace::site(cx);
        let site = match module::find_by_addr(cx, here.pc) {
            None => cx.audit.armed.get(&(key, kind)).map(|a| a.site.clone()),
            Some(_) => None,
        };
        let site = site.unwrap_or(here);
        trace::misuse_at(cx, "active-free", &detail, addr, by, site);
    }
}

/// A task has ended: it runs no code of its function any more.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) {
    let ts = cx.sched.tasks[tid as usize].ts;
    disarm(cx, "kthread", ts);
}
