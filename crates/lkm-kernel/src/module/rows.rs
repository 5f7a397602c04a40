//! The module subsystem's exported functions.

use super::{kallsyms, refs};
use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::{Cx, printk, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("try_module_get", try_module_get),
    behaves("__module_get", module_get),
    behaves("module_put", module_put),
    behaves("module_refcount", module_refcount),
    behaves("__symbol_get", symbol_get),
    behaves("__symbol_put", symbol_put),
    behaves("symbol_put_addr", symbol_put_addr),
    behaves("kallsyms_lookup_name", kallsyms_lookup_name),
    behaves("find_module", find_module),
];

/// Whether the call comes from the module it is about.
fn from_itself(cx: &Cx, c: &Call, module: u64) -> bool {
    super::find_by_addr(cx, c.ret).is_some_and(|m| cx.modules.list[m].addr == module)
}

fn try_module_get(cx: &mut Cx, c: &Call) -> R {
    let own = c.a[0] != 0 && from_itself(cx, c, c.a[0]);
    let got = refs::try_get(cx, c.a[0], "try_module_get", 0, "")?;
    if own {
        trace::misuse(
            cx,
            "self-get",
            if got { "taken" } else { "refused" },
            c.a[0],
            "try_module_get",
        );
    }
    Ok(u64::from(got))
}

fn module_get(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && from_itself(cx, c, c.a[0]) {
        trace::misuse(cx, "self-get", "taken", c.a[0], "__module_get");
    }
    refs::get(cx, c.a[0], "__module_get", 0, "")?;
    Ok(0)
}

fn module_put(cx: &mut Cx, c: &Call) -> R {
    refs::put(cx, c.a[0], "module_put")?;
    Ok(0)
}

fn module_refcount(cx: &mut Cx, c: &Call) -> R {
    Ok(refs::count(cx, c.a[0])? as i64 as u64)
}

/// The module and export that own an address or name.
fn owner_of(cx: &Cx, name: &str) -> Option<(usize, u64, bool)> {
    let &(owner, index) = cx.modules.exported.get(name)?.last()?;
    let export = &cx.modules.list[owner].exports[index];
    Some((owner, export.addr, export.gpl))
}

fn symbol_get(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    if let Some((owner, addr, gpl)) = owner_of(cx, &name) {
        if !gpl && !cx.profile.old_oops {
            printk::log(
                cx,
                4,
                &format!("failing symbol_get of non-GPLONLY symbol {name}.\n"),
            );
            return Ok(0);
        }
        let module = cx.modules.list[owner].addr;
        if super::state(cx, owner) != super::LIVE
            || !refs::try_get(cx, module, "symbol_get", addr, &name)?
        {
            return Ok(0);
        }
        return Ok(addr);
    }
    match cx.profile.exports.find(&name) {
        Some(known) if !known.gpl && !cx.profile.old_oops => {
            printk::log(
                cx,
                4,
                &format!("failing symbol_get of non-GPLONLY symbol {name}.\n"),
            );
            Ok(0)
        }
        Some(_) => Ok(crate::symbols::find(cx, &name)?.map_or(0, |e| e.value)),
        None => Ok(0),
    }
}

fn symbol_put(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    match owner_of(cx, &name) {
        Some((owner, addr, _)) => {
            let module = cx.modules.list[owner].addr;
            refs::put_key(cx, module, "symbol_get", addr)?;
            Ok(0)
        }
        None if cx.profile.exports.find(&name).is_some() => Ok(0),
        None => {
            trace::misuse(cx, "symbol-put", &name, 0, "__symbol_put");
            Err(crate::abi::Stop::Bug(format!(
                "symbol_put of {name}, which nobody exports"
            )))
        }
    }
}

fn symbol_put_addr(cx: &mut Cx, c: &Call) -> R {
    if let Some(owner) = super::find_by_addr(cx, c.a[0]) {
        let module = cx.modules.list[owner].addr;
        refs::put_key(cx, module, "symbol_get", c.a[0])?;
    }
    Ok(0)
}

fn kallsyms_lookup_name(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    Ok(kallsyms::lookup_name(cx, &name))
}

fn find_module(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    Ok(super::find(cx, &name).map_or(0, |m| cx.modules.list[m].addr))
}
