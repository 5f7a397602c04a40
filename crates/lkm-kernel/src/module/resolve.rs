//! Symbol resolution (find_symbol, resolve_symbol, resolve_symbol_wait, ref_module of kernel/module/main.c).

use super::{COMING, GOING, LIVE, MODULE_WQ, UNFORMED, refs, taint};
use crate::abi::{R, errno::*};
use crate::exports::{Exports, Known};
use crate::sched::wait::{Woken, wait_at};
use crate::{Cx, printk, sched};
use lkm_object::check::LoadInfo;

/// What a lookup gave.
enum Found {
    Value(u64),
    Absent,
    Failed(i32),
    /// The owner is still initialising.
    Busy(usize),
}

/// How long one symbol waits for its owner's init.
const WAIT: u64 = 30_000_000_000;

/// Resolves one undefined symbol for `user`, waiting for an owner that is COMING. Err: the errno, to be logged
/// by the caller as the kernel does.
pub(super) fn wait_for(
    cx: &mut Cx,
    user: usize,
    info: &LoadInfo<'_>,
    name: &str,
) -> R<Result<Option<u64>, i32>> {
    let until = cx.clock.now + WAIT;
    loop {
        match once(cx, user, info, name)? {
            Found::Value(value) => return Ok(Ok(Some(value))),
            Found::Absent => return Ok(Ok(None)),
            Found::Failed(errno) => return Ok(Err(errno)),
            Found::Busy(owner) => {
                let woken = if cx.clock.now >= until {
                    Woken::Timeout
                } else {
                    wait_at(
                        cx,
                        MODULE_WQ,
                        sched::INTERRUPTIBLE,
                        Some(until),
                        "resolve_symbol_wait",
                    )?
                };
                if woken != Woken::Normally {
                    let text = format!(
                        "{}: gave up waiting for init of module {}.\n",
                        cx.modules.list[user].name, cx.modules.list[owner].name
                    );
                    printk::log(cx, 4, &text);
                    return Ok(Err(EBUSY));
                }
            }
        }
    }
}

fn once(cx: &mut Cx, user: usize, info: &LoadInfo<'_>, name: &str) -> R<Found> {
    let proprietary = cx.modules.list[user].taints & (1 << taint::PROPRIETARY) != 0;
    // Modules that the kernel at hand does not have itself come first only when it does not export the name.
    if let Some(known) = cx.profile.exports.find(name).or_else(|| builtin(cx, name)) {
        if known.gpl && proprietary {
            return Ok(Found::Absent);
        }
        if let Some(export) = crate::symbols::find(cx, name)? {
            if known.gpl {
                cx.modules.list[user].using_gplonly = true;
            }
            if let Some(errno) = crc_mismatch(cx, info, name, cx.options.crc_of(name)) {
                return Ok(Found::Failed(errno));
            }
            if !namespace_ok(cx, user, name, known.namespace) {
                return Ok(Found::Failed(EINVAL));
            }
            return Ok(Found::Value(export.value));
        }
    }
    let owners: Vec<(usize, usize)> = cx.modules.exported.get(name).cloned().unwrap_or_default();
    for (owner, index) in owners.into_iter().rev() {
        if super::state(cx, owner) == UNFORMED || owner == user {
            continue;
        }
        let export = cx.modules.list[owner].exports[index].clone();
        if export.gpl && proprietary {
            continue;
        }
        if export.gpl {
            cx.modules.list[user].using_gplonly = true;
        }
        if cx.profile.namespaces && cx.modules.list[owner].taints & (1 << taint::PROPRIETARY) != 0 {
            let (user_name, owner_name) = (
                cx.modules.list[user].name.clone(),
                cx.modules.list[owner].name.clone(),
            );
            if cx.modules.list[user].using_gplonly {
                let text = format!(
                    "{user_name}: module using GPL-only symbols uses symbols {name} from proprietary module {owner_name}.\n"
                );
                printk::log(cx, 3, &text);
                return Ok(Found::Absent);
            }
            if cx.modules.list[user].taints & (1 << taint::PROPRIETARY) == 0 {
                let text = format!(
                    "{user_name}: module uses symbols {name} from proprietary module {owner_name}, inheriting taint.\n"
                );
                printk::log(cx, 4, &text);
                cx.modules.list[user].taints |= 1 << taint::PROPRIETARY;
            }
        }
        if let Some(errno) = crc_mismatch(cx, info, name, export.crc) {
            return Ok(Found::Failed(errno));
        }
        if !namespace_ok(cx, user, name, export.namespace.as_deref().unwrap_or("")) {
            return Ok(Found::Failed(EINVAL));
        }
        return use_module(cx, user, owner, export.addr);
    }
    // Nobody has it: the kernel at hand may still have it as a symbol nobody listed.
    match crate::symbols::find(cx, name)? {
        Some(export) if !(export.gpl && proprietary) => Ok(Found::Value(export.value)),
        _ => Ok(Found::Absent),
    }
}

/// A name that this kernel does not export, but an older one does, or that only the table declares.
fn builtin(cx: &Cx, name: &str) -> Option<Known> {
    if cx.modules.exported.contains_key(name) {
        return None;
    }
    let declared = || crate::symbols::declared(cx, name).then(Known::function);
    Exports::V6_1.find(name).or_else(declared)
}

fn crc_mismatch(cx: &mut Cx, info: &LoadInfo<'_>, name: &str, crc: Option<u32>) -> Option<i32> {
    let mut events = Vec::new();
    let rules = super::load::rules(cx);
    let refusal =
        lkm_object::check::check_version(info, &rules.borrow(), name, crc, &mut events).err();
    refusal.map(|refusal| {
        if let Some(message) = refusal.message {
            printk::log(cx, 4, &format!("{message}\n"));
        }
        EINVAL
    })
}

fn namespace_ok(cx: &mut Cx, user: usize, symbol: &str, namespace: &str) -> bool {
    if namespace.is_empty() || !cx.profile.namespaces {
        return true;
    }
    let m = &cx.modules.list[user];
    if m.namespaces.iter().any(|ns| ns == namespace) {
        return true;
    }
    let text = format!(
        "{}: module uses symbol ({symbol}) from namespace {namespace}, but does not import it.\n",
        m.name
    );
    printk::log(cx, 3, &text);
    false
}

/// ref_module: one reference for each pair of user and owner.
fn use_module(cx: &mut Cx, user: usize, owner: usize, value: u64) -> R<Found> {
    if cx.modules.list[user].uses.contains(&owner) {
        return Ok(Found::Value(value));
    }
    match super::state(cx, owner) {
        COMING => return Ok(Found::Busy(owner)),
        LIVE => {}
        GOING => return Ok(Found::Absent),
        _ => return Ok(Found::Absent),
    }
    let (target, key, holder) = (
        cx.modules.list[owner].addr,
        cx.modules.list[user].addr,
        cx.modules.list[user].name.clone(),
    );
    if !refs::try_get(cx, target, "symbol", key, &holder)? {
        return Ok(Found::Absent);
    }
    cx.modules.list[user].uses.push(owner);
    Ok(Found::Value(value))
}
