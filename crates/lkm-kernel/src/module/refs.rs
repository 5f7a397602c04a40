//! Reference counts of modules (kernel/module/main.c): the raw counter is the guest's word with base 1; who
//! holds what is recorded beside it.

use crate::abi::R;
use crate::{Cx, sched, trace};
use lkm_trace::Event;

/// MODULE_REF_BASE.
pub const BASE: i32 = 1;

/// module_refcount: the raw counter minus the base; −1 while a module is unloading.
pub fn count(cx: &Cx, module: u64) -> R<i32> {
    Ok(cx.r32(module + cx.off.module_refcnt)? as i32 - BASE)
}

/// A reference that is held now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Address of the struct module.
    pub module: u64,
    /// What took it: `init`, `symbol`, `open file`, `try_module_get` …
    pub why: String,
    /// Identity where it has one: a file, a user module.
    pub key: u64,
    /// `comm/pid` or another name of who took it.
    pub holder: String,
    /// Where in the guest it was taken; 0 for the kernel itself.
    pub pc: u64,
}

/// Keeps the list of who holds what; a put takes the reference of the same identity, or else of the same sort, off.
fn remember(cx: &mut Cx, module: u64, delta: i64, why: &str, key: u64, holder: &str) {
    if delta > 0 {
        let pc = trace::site(cx).pc;
        cx.modules.held.push(Held {
            module,
            why: why.to_owned(),
            key,
            holder: holder.to_owned(),
            pc,
        });
        return;
    }
    let by_hand = |why: &str| matches!(why, "try_module_get" | "__module_get" | "module_put");
    let held = &mut cx.modules.held;
    let same = held
        .iter()
        .rposition(|h| h.module == module && key != 0 && h.key == key && h.why == why)
        .or_else(|| {
            held.iter().rposition(|h| {
                h.module == module
                    && h.key == 0
                    && (h.why == why || by_hand(&h.why) && by_hand(why))
            })
        });
    if let Some(at) = same {
        held.remove(at);
    }
}

fn tell(cx: &mut Cx, module: u64, delta: i64, why: &str, key: u64, holder: &str) -> R<()> {
    super::words::note(cx)?;
    let value = i64::from(count(cx, module)?);
    let name =
        super::by_struct(cx, module).map_or_else(String::new, |m| cx.modules.list[m].name.clone());
    let (tid, site) = (sched::current_tid(cx), trace::site(cx));
    remember(cx, module, delta, why, key, holder);
    let event = Event::Ref {
        module: name,
        delta,
        value,
        why: why.into(),
        key,
        holder: holder.into(),
        tid,
        site,
    };
    trace::emit(cx, event);
    Ok(())
}

/// __module_get.
pub fn get(cx: &mut Cx, module: u64, why: &str, key: u64, holder: &str) -> R<()> {
    if module == 0 {
        return Ok(());
    }
    let at = module + cx.off.module_refcnt;
    let raw = cx.r32(at)?;
    cx.w32(at, raw.wrapping_add(1))?;
    tell(cx, module, 1, why, key, holder)
}

/// try_module_get: fails when the module is GOING or its raw counter is 0.
pub fn try_get(cx: &mut Cx, module: u64, why: &str, key: u64, holder: &str) -> R<bool> {
    if module == 0 {
        return Ok(true);
    }
    let state = cx.r32(module + cx.off.module_state)?;
    let raw = cx.r32(module + cx.off.module_refcnt)?;
    if state == super::GOING || raw == 0 {
        return Ok(false);
    }
    get(cx, module, why, key, holder)?;
    Ok(true)
}

/// module_put: decrements if positive; WARNs when it already was 0.
pub fn put(cx: &mut Cx, module: u64, why: &str) -> R<()> {
    put_key(cx, module, why, 0)
}

/// The same, for a reference with an identity.
pub fn put_key(cx: &mut Cx, module: u64, why: &str, key: u64) -> R<()> {
    if module == 0 {
        return Ok(());
    }
    let at = module + cx.off.module_refcnt;
    let raw = cx.r32(at)? as i32;
    if raw <= 0 {
        trace::misuse(
            cx,
            "put-underflow",
            "the count was 0 already",
            module,
            "module_put",
        );
        return crate::traps::warn(cx, "", "module_put");
    }
    cx.w32(at, (raw - 1) as u32)?;
    let state = cx.r32(module + cx.off.module_state)?;
    if raw == BASE && state != super::GOING {
        trace::misuse(
            cx,
            "put-underflow",
            "more puts than gets",
            module,
            "module_put",
        );
    }
    tell(cx, module, -1, why, key, "")?;
    super::delete::count_changed(cx, module)
}

/// Records the loader's own hold when a module is announced.
pub(super) fn tell_init_hold(cx: &mut Cx, index: usize) -> R<()> {
    let module = cx.modules.list[index].addr;
    tell(cx, module, 1, "init", 0, "the loader")
}
