//! delete_module (kernel/module/main.c): the checks in their order, then the teardown.

use super::{COMING, GOING, LIVE, UNFORMED, refs, steps};
use crate::abi::{R, errno::*};
use crate::sched::wait::{wait_at, wake_at};
use crate::{Cx, sched, trace};
use lkm_trace::{Event, Phase};

/// O_TRUNC: force.
pub const O_TRUNC: u32 = 0o1000;
/// O_NONBLOCK.
pub const O_NONBLOCK: u32 = 0o4000;

/// The system call, after the name was copied. 0 or a negative errno.
pub fn delete_module(cx: &mut Cx, name: &str, flags: u32) -> R<i32> {
    let tid = sched::current_tid(cx);
    if !cx.sched.tasks[tid as usize].capable || cx.modules.disabled {
        return Ok(-EPERM);
    }
    steps::old(cx, "stop_machine_create");
    steps::step(cx, "module_mutex: lock, or EINTR");
    let result = checked_delete(cx, name, flags)?;
    if result != 0 {
        steps::step(cx, "module_mutex: unlock");
    }
    steps::old(cx, "stop_machine_destroy");
    steps::step(cx, &format!("delete_module answers {result}"));
    trace::emit(
        cx,
        Event::UnloadResult {
            module: name.into(),
            errno: i64::from(result),
        },
    );
    Ok(result)
}

fn checked_delete(cx: &mut Cx, name: &str, flags: u32) -> R<i32> {
    super::words::check(cx)?;
    steps::step(cx, "find_module, or ENOENT");
    let Some(index) = super::find(cx, name).filter(|&m| super::state(cx, m) != UNFORMED) else {
        return Ok(-ENOENT);
    };
    let this = cx.modules.list[index].addr;
    steps::step(
        cx,
        "source_list empty, or EWOULDBLOCK: other modules use it",
    );
    if !super::users(cx, index)?.is_empty() {
        return Ok(-EWOULDBLOCK);
    }
    steps::step(cx, "state MODULE_STATE_LIVE, or EBUSY");
    if super::state(cx, index) != LIVE {
        return Ok(-EBUSY);
    }
    let forced = flags & O_TRUNC != 0 && cx.options.force_unload;
    let (init, exit) = (
        cx.r64(this + cx.off.module_init)?,
        cx.r64(this + cx.off.module_exit)?,
    );
    if init != 0 && exit == 0 {
        if !forced {
            return Ok(-EBUSY);
        }
        super::taint_kernel(cx, super::taint::FORCED_RMMOD);
    }
    steps::step(cx, "init has an exit, or EBUSY unless forced");
    steps::old(cx, "waiter = current");
    if cx.profile.delete_waits && flags & O_NONBLOCK == 0 {
        steps::step(cx, "try_stop_module: state MODULE_STATE_GOING at once");
        // 2.6.32 and 3.0: GOING at once, then wait for the count, uninterruptibly.
        super::set_state(cx, index, GOING)?;
        steps::step(cx, "wait_for_zero_refcount, unless forced");
        while !forced && refs::count(cx, this)? != 0 {
            wait_at(
                cx,
                this,
                sched::UNINTERRUPTIBLE,
                None,
                "wait_for_zero_refcount",
            )?;
        }
    } else {
        steps::old(cx, "try_stop_module: stop_machine, or EWOULDBLOCK");
        steps::new(
            cx,
            "try_stop_module: the base reference goes, or EWOULDBLOCK",
        );
        let raw = cx.r32(this + cx.off.module_refcnt)? as i32;
        if raw < refs::BASE {
            return Err(crate::abi::Stop::Bug(
                "kernel BUG in try_release_module_ref".into(),
            ));
        }
        if raw > refs::BASE && !forced {
            return Ok(-EWOULDBLOCK);
        }
        if raw > refs::BASE {
            tell_forced(cx, index, raw - refs::BASE);
            super::taint_kernel(cx, super::taint::FORCED_RMMOD);
        } else {
            // The base goes: from now on lsmod shows −1 and try_module_get fails.
            cx.w32(this + cx.off.module_refcnt, 0)?;
        }
        steps::step(cx, "state MODULE_STATE_GOING");
        super::set_state(cx, index, GOING)?;
    }
    steps::step(cx, "module_mutex: unlock");
    let exit = cx.r64(this + cx.off.module_exit)?;
    let name = cx.modules.list[index].name.clone();
    steps::step(cx, "exit");
    if exit != 0 {
        super::enter_phase(cx, index, Phase::Exit);
        let before = crate::context::save(cx);
        cx.call_guest(exit, &[]);
        super::callback_balance(cx, before, "exit", exit)?;
    }
    // Without an exit function there was nothing to do, and that is done.
    trace::emit(
        cx,
        Event::ExitResult {
            module: name.clone(),
            how: "done".into(),
        },
    );
    steps::step(cx, "notifier MODULE_STATE_GOING");
    super::notify(cx, index, GOING)?;
    steps::step(cx, "async_synchronize_full");
    crate::workqueue::asynchronous::synchronize_full(cx)?;
    steps::old(cx, "module_mutex: lock");
    steps::step(cx, "last_unloaded_module");
    steps::step(cx, "free_module");
    steps::old(cx, "module_mutex: unlock");
    cx.modules.last_unloaded = Some((name, super::taint::letters(cx, index, None)));
    super::enter_phase(cx, index, Phase::AfterExit);
    super::free_module(cx, index)?;
    wake_at(cx, super::MODULE_WQ, usize::MAX)?;
    Ok(0)
}

/// Tells that a module goes although somebody holds references on it (O_TRUNC).
fn tell_forced(cx: &mut Cx, index: usize, count: i32) {
    let m = &cx.modules.list[index];
    let (this, name) = (m.addr, m.name.clone());
    let held: Vec<String> = cx
        .modules
        .held
        .iter()
        .filter(|h| h.module == this)
        .map(|h| match h.holder.as_str() {
            "" => h.why.clone(),
            holder => format!("{} by {holder}", h.why),
        })
        .take(8)
        .collect();
    let held = match held.is_empty() {
        true => String::new(),
        false => format!(" ({})", held.join(", ")),
    };
    let detail = format!("{name} with {count} references{held}");
    trace::misuse(cx, "unload-forced", &detail, this, "delete_module");
}

/// A put on a module that somebody waits to unload (2.6.32, 3.0) wakes the waiter.
pub(crate) fn count_changed(cx: &mut Cx, module: u64) -> R<()> {
    let state = cx.r32(module + cx.off.module_state)?;
    if state == GOING && cx.profile.delete_waits || state == COMING {
        wake_at(cx, module, usize::MAX)?;
    }
    Ok(())
}
