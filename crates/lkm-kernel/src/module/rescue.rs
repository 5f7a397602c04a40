//! What frees a module that its own unload cannot: an oops in init left it COMING with the loader's reference, or one
//! in exit left it GOING.

use super::{COMING, GOING, LIVE, refs};
use crate::abi::{Call, R};
use crate::{Cx, symbols};

/// Kinds of registrations that can be taken back by a call with their key alone, and that call.
const UNDO: &[(&str, &str)] = &[
    ("platform device", "platform_device_unregister"),
    ("misc device", "misc_deregister"),
    ("input device", "input_unregister_device"),
    ("netlink socket", "netlink_kernel_release"),
    ("proc entry", "proc_remove"),
    ("module notifier", "unregister_module_notifier"),
    ("reboot notifier", "unregister_reboot_notifier"),
];

/// The function that takes a kind of registration back by its key alone.
pub(crate) fn undo(kind: &str) -> Option<&'static str> {
    let found = UNDO.iter().find(|(known, _)| *known == kind);
    found.map(|(_, function)| *function)
}

/// Whether a live task other than the running one has a frame in the module.
pub fn busy(cx: &Cx, module: usize) -> bool {
    let me = crate::sched::current(cx);
    (0..cx.sched.tasks.len()).any(|tid| {
        let task = &cx.sched.tasks[tid];
        !task.dead
            && me != Some(tid as u32)
            && task
                .frames
                .iter()
                .any(|f| super::find_by_addr(cx, f.ret) == Some(module))
    })
}

/// Makes the module one that delete_module takes: LIVE, its count at the base, an exit that can run. What was done.
pub fn forge(cx: &mut Cx, module: usize) -> R<Vec<String>> {
    let mut steps = Vec::new();
    let this = cx.modules.list[module].addr;
    let state = super::state(cx, module);
    let off = cx.off;
    if state == COMING || state == GOING {
        steps.extend(take_back(cx, module)?);
        let exit = cx.r64(this + off.module_exit)?;
        if exit != 0 {
            let nothing = symbols::address(cx, "__lkm_pv_nop");
            cx.w64(this + off.module_exit, nothing)?;
            steps.push(
                "exit replaced by one that does nothing: it would undo what init never did".into(),
            );
        }
        super::set_state(cx, module, LIVE)?;
        steps.push(format!("state {state} set to 0 (LIVE)"));
    }
    let count = refs::count(cx, this)?;
    if count != 0 {
        cx.w32(this + off.module_refcnt, refs::BASE as u32)?;
        cx.modules.held.retain(|h| h.module != this);
        steps.push(format!("reference count {count} set to 0"));
    }
    // Not edits by somebody else's code.
    super::words::note(cx)?;
    Ok(steps)
}

/// Unregisters what the module registered and what a call with its key alone takes back, newest first.
fn take_back(cx: &mut Cx, module: usize) -> R<Vec<String>> {
    let mut steps = Vec::new();
    let taken: Vec<crate::trace::Registered> = cx
        .registered
        .iter()
        .rev()
        .filter(|r| super::find_by_addr(cx, r.pc) == Some(module))
        .cloned()
        .collect();
    for entry in taken {
        let row = undo(&entry.kind).and_then(|name| symbols::row(cx, name));
        if let Some(row) = row {
            (row.fun)(cx, &Call::internal([entry.key, 0, 0, 0, 0, 0]))?;
            cx.registered
                .retain(|r| r.key != entry.key || r.kind != entry.kind);
            steps.push(format!(
                "{}({:#x}): what {} made",
                row.name, entry.key, entry.function
            ));
        } else {
            steps.push(format!(
                "left as it is: {} from {} at {:#x}",
                entry.kind, entry.function, entry.key
            ));
        }
    }
    Ok(steps)
}
