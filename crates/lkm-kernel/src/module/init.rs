//! do_init_module (kernel/module/main.c): from the call of init to a live module, or back.

use super::{GOING, LIVE, MODULE_WQ, refs, steps};
use crate::abi::R;
use crate::sched::wait::wake_at;
use crate::{Cx, printk, trace};
use lkm_trace::{Event, Phase};

/// Runs init, and makes the module live or takes it back; what load_module answers.
pub(super) fn do_init_module(cx: &mut Cx, index: usize) -> R<i32> {
    let this = cx.modules.list[index].addr;
    let name = cx.modules.list[index].name.clone();
    super::enter_phase(cx, index, Phase::Init);
    let init = cx.r64(this + cx.off.module_init)?;
    let mut ret = 0;
    steps::step(cx, "do_mod_ctors");
    steps::step(cx, "init");
    if init != 0 {
        let before = crate::context::save(cx);
        ret = cx.call_guest(init, &[]) as i32;
        super::words::check(cx)?;
        super::callback_balance(cx, before, "init", init)?;
        trace::emit(
            cx,
            Event::InitResult {
                module: name.clone(),
                value: i64::from(ret),
            },
        );
        if ret == -1 || ret > 0 {
            trace::misuse(cx, "init-return", &ret.to_string(), init, "do_init_module");
        }
    } else {
        trace::emit(
            cx,
            Event::InitResult {
                module: name.clone(),
                value: 0,
            },
        );
    }
    if ret < 0 {
        steps::step(cx, &format!("init answered {ret}"));
        steps::step(cx, "state MODULE_STATE_GOING");
        super::set_state(cx, index, GOING)?;
        steps::old(cx, "synchronize_sched");
        steps::new(cx, "synchronize_rcu");
        steps::step(cx, "module_put: the loader's reference");
        refs::put(cx, this, "init")?;
        steps::step(cx, "notifier MODULE_STATE_GOING");
        super::notify(cx, index, GOING)?;
        steps::old(cx, "module_mutex: lock");
        steps::step(cx, "free_module");
        steps::old(cx, "module_mutex: unlock");
        steps::step(cx, "wake_up(&module_wq)");
        steps::step(cx, &format!("load_module answers {ret}"));
        super::enter_phase(cx, index, Phase::AfterExit);
        super::free_module(cx, index)?;
        wake_at(cx, MODULE_WQ, usize::MAX)?;
        return Ok(ret);
    }
    if ret > 0 {
        let text = format!(
            "do_init_module: '{name}'->init suspiciously returned {ret}, it should follow 0/-E convention\ndo_init_module: loading module anyway...\n"
        );
        printk::log(cx, 4, &text);
    }
    if ret > 0 {
        steps::step(
            cx,
            &format!("init suspiciously answered {ret}: a warning, and the load goes on"),
        );
    }
    steps::step(cx, "state MODULE_STATE_LIVE");
    super::set_state(cx, index, LIVE)?;
    steps::old(cx, "wake_up(&module_wq)");
    steps::step(cx, "notifier MODULE_STATE_LIVE");
    super::notify(cx, index, LIVE)?;
    steps::step(cx, "async_synchronize_full");
    crate::workqueue::asynchronous::synchronize_full(cx)?;
    steps::step(cx, "module_mutex: lock");
    steps::step(cx, "module_put: the loader's reference, 1 to 0");
    refs::put(cx, this, "init")?;
    steps::step(cx, "trim_init_extable");
    steps::step(cx, "kallsyms: core symbols only");
    steps::old(cx, "module_free(module_init): init_size = 0");
    steps::new(cx, "init memory queued to be freed after a grace period");
    steps::step(cx, "module_mutex: unlock");
    steps::new(cx, "wake_up_all(&module_wq)");
    steps::step(cx, "load_module answers 0");
    cx.modules.list[index].syms.retain(|s| !s.init);
    super::drop_init(cx, index);
    // The init memory goes after a grace period: a call that races with the end of init does not fault yet.
    let when = cx.clock.now + 10_000_000;
    crate::time::at(cx, when, free_init_later, index as u64, 0);
    super::enter_phase(cx, index, Phase::Use);
    wake_at(cx, MODULE_WQ, usize::MAX)?;
    Ok(0)
}

fn free_init_later(cx: &mut Cx, index: u64, _: u64) -> R<()> {
    super::free_init(cx, index as usize);
    Ok(())
}
