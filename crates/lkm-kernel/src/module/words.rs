//! The words of `struct module` that code of modules can write by hand: state, count, init, exit and the links of
//! the module list. The kernel notes them whenever it writes them itself, and looks at them at each crossing from
//! module code: what differs then was written by somebody else, and is told.

use super::kallsyms;
use crate::abi::R;
use crate::{Cx, trace};

/// The tracked words of one module, as the kernel left them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words {
    state: u32,
    refcnt: i32,
    init: u64,
    exit: u64,
    next: u64,
    prev: u64,
}

/// Which modules are watched: index and words, oldest first.
#[derive(Debug, Default)]
pub struct State {
    watched: Vec<(usize, Words)>,
}

/// Longest module list that is walked.
const MAX_LIST: usize = 4096;

fn read(cx: &Cx, module: usize) -> R<Words> {
    let this = cx.modules.list[module].addr;
    let off = &cx.off;
    Ok(Words {
        state: cx.r32(this + off.module_state)?,
        refcnt: cx.r32(this + off.module_refcnt)? as i32,
        init: cx.r64(this + off.module_init)?,
        exit: cx.r64(this + off.module_exit)?,
        next: cx.r64(this + off.module_list)?,
        prev: cx.r64(this + off.module_list + 8)?,
    })
}

/// Watches a module from now on: its struct is complete.
pub(super) fn watch(cx: &mut Cx, module: usize) -> R<()> {
    let words = read(cx, module)?;
    cx.modules.words.watched.retain(|(m, _)| *m != module);
    cx.modules.words.watched.push((module, words));
    Ok(())
}

/// The module's memory goes.
pub(super) fn forget(cx: &mut Cx, module: usize) {
    cx.modules.words.watched.retain(|(m, _)| *m != module);
}

/// The kernel has written some of the words itself.
pub(super) fn note(cx: &mut Cx) -> R<()> {
    for at in 0..cx.modules.words.watched.len() {
        let module = cx.modules.words.watched[at].0;
        cx.modules.words.watched[at].1 = read(cx, module)?;
    }
    Ok(())
}

/// Tells what was written by others since the words were noted, and goes by what they say now.
pub fn check(cx: &mut Cx) -> R<()> {
    for at in 0..cx.modules.words.watched.len() {
        let (module, old) = cx.modules.words.watched[at];
        let new = read(cx, module)?;
        if new != old {
            cx.modules.words.watched[at].1 = new;
            edited(cx, module, old, new)?;
        }
    }
    Ok(())
}

const fn state_name(state: u32) -> &'static str {
    match state {
        super::LIVE => "LIVE",
        super::COMING => "COMING",
        super::GOING => "GOING",
        super::UNFORMED => "UNFORMED",
        _ => "none of the four",
    }
}

fn edited(cx: &mut Cx, module: usize, old: Words, new: Words) -> R<()> {
    let mut what = Vec::new();
    if old.state != new.state {
        what.push(format!(
            "state {} ({}) is now {} ({})",
            old.state,
            state_name(old.state),
            new.state,
            state_name(new.state)
        ));
    }
    if old.refcnt != new.refcnt {
        let base = super::refs::BASE;
        what.push(format!(
            "reference count {} is now {}",
            old.refcnt.wrapping_sub(base),
            new.refcnt.wrapping_sub(base)
        ));
    }
    for (name, old, new) in [("init", old.init, new.init), ("exit", old.exit, new.exit)] {
        if old != new {
            let describe = |cx: &Cx, at: u64| match at {
                0 => "NULL".to_owned(),
                at => kallsyms::describe(cx, at),
            };
            what.push(format!(
                "{name} {} is now {}",
                describe(cx, old),
                describe(cx, new)
            ));
        }
    }
    let (this, name) = (
        cx.modules.list[module].addr,
        cx.modules.list[module].name.clone(),
    );
    if (old.next, old.prev) != (new.next, new.prev) {
        let listed = on_list(cx, this)?;
        match (cx.modules.list[module].listed, listed) {
            (true, false) => what.push("it is taken off the module list".into()),
            (false, true) => what.push("it is put on the module list".into()),
            // Its neighbour was taken away or put in: told there.
            _ => {}
        }
        cx.modules.list[module].listed = listed;
    }
    if what.is_empty() {
        return Ok(());
    }
    let detail = format!("{name}: {}", what.join(", "));
    trace::misuse(cx, "state-edited", &detail, this, "");
    Ok(())
}

/// Whether a walk of the guest's list meets the module.
fn on_list(cx: &Cx, this: u64) -> R<bool> {
    let (head, entry) = (cx.modules.head, this + cx.off.module_list);
    let mut at = cx.r64(head)?;
    for _ in 0..MAX_LIST {
        if at == entry || at == head {
            return Ok(at == entry);
        }
        // A list that modules have broken is followed as far as it goes.
        match cx.r64(at) {
            Ok(next) => at = next,
            Err(_) => break,
        }
    }
    Ok(false)
}
