//! Who keeps the code behind an open file, a socket or a mount in memory: the modules that the kernel takes a
//! reference on are compared with the module that the operations lie in.

use crate::abi::R;
use crate::hash::Set;
use crate::{Cx, trace};

/// Tables of operations that were told of, so that each is told once.
#[derive(Debug, Default)]
pub struct State {
    told: Set<u64>,
}

/// The module that goes on being used through a table of operations: the one that the table is in, or that one of
/// its methods is in. A module that can never be unloaded does not count.
fn home(cx: &Cx, ops: u64, methods: &[u64]) -> R<Option<usize>> {
    let mut found = super::find_by_addr(cx, ops);
    for &offset in methods {
        if found.is_some() {
            break;
        }
        if offset != crate::layout::NONE {
            found = super::find_by_addr(cx, cx.r64(ops + offset)?);
        }
    }
    let Some(module) = found.filter(|&m| !cx.modules.list[m].gone) else {
        return Ok(None);
    };
    let this = cx.modules.list[module].addr;
    let permanent =
        cx.r64(this + cx.off.module_init)? != 0 && cx.r64(this + cx.off.module_exit)? == 0;
    Ok((!permanent).then_some(module))
}

/// Whether a reference on `owner` keeps `home` loaded: it is the same, or it uses it.
fn keeps(cx: &Cx, owner: usize, home: usize) -> bool {
    let mut seen = vec![owner];
    let mut at = 0;
    while let Some(&module) = seen.get(at) {
        if module == home {
            return true;
        }
        for &used in &cx.modules.list[module].uses {
            if !seen.contains(&used) {
                seen.push(used);
            }
        }
        at += 1;
    }
    false
}

/// Tells when none of `owners` (addresses of struct module, or 0) keeps the code of `ops` loaded; `what` is what
/// a user opens or mounts, `methods` are offsets of operations in the table.
pub(crate) fn check(
    cx: &mut Cx,
    what: &str,
    ops: u64,
    methods: &[u64],
    owners: &[u64],
    function: &'static str,
) -> R<()> {
    if ops == 0 {
        return Ok(());
    }
    let Some(home) = home(cx, ops, methods)? else {
        return Ok(());
    };
    let held = owners
        .iter()
        .filter_map(|&owner| super::by_struct(cx, owner))
        .any(|owner| keeps(cx, owner, home));
    if held || !cx.modules.owners.told.insert(ops) {
        return Ok(());
    }
    let m = &cx.modules.list[home];
    let (this, name) = (m.addr, m.name.clone());
    let detail = format!(
        "{what}: its operations are in {name}, and whoever has it open holds no reference on {name}"
    );
    trace::misuse(cx, "missing-owner", &detail, this, function);
    Ok(())
}

/// The same for a struct file_operations; its own owner counts too.
pub(crate) fn check_fops(
    cx: &mut Cx,
    what: &str,
    fops: u64,
    owner: u64,
    function: &'static str,
) -> R<()> {
    if fops == 0 {
        return Ok(());
    }
    let off = cx.off;
    let methods = [
        off.fops_open,
        off.fops_release,
        off.fops_read,
        off.fops_write,
        off.fops_ioctl,
        off.fops_poll,
    ];
    let own = cx.r64(fops + off.fops_owner)?;
    check(cx, what, fops, &methods, &[own, owner], function)
}

/// A module's memory goes, and with it the tables in it.
pub(super) fn forget(cx: &mut Cx, module: usize) {
    let m = &cx.modules.list[module];
    let (base, end) = (m.core_base, m.core_base + m.core_size);
    cx.modules
        .owners
        .told
        .retain(|&ops| !(base..end).contains(&ops));
}
