//! Which module an oops is about, in what state it was, and what the kernel is left with.

use super::State;
use super::parse::{Kind, Oops};

/// Functions of the kernel inside which a module's init runs.
const INIT: &[&str] = &[
    "do_one_initcall",
    "do_init_module",
    "load_module",
    "init_module",
    "finit_module",
];
/// And its exit.
const EXIT: &[&str] = &["delete_module"];

/// A system call's name without what its entry is wrapped in.
pub fn bare(symbol: &str) -> &str {
    let mut name = symbol;
    for prefix in [
        "__x64_sys_",
        "__ia32_sys_",
        "__arm64_sys_",
        "__se_sys_",
        "__do_sys_",
        "SYSC_",
        "SyS_",
        "sys_",
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            name = rest;
            break;
        }
    }
    name
}

/// Whether the chain runs through one of these functions.
pub fn runs_through(oops: &Oops, names: &[&str]) -> bool {
    oops.at
        .iter()
        .chain(&oops.link)
        .chain(oops.frames.iter().filter(|f| f.sure))
        .any(|f| names.contains(&bare(&f.symbol)))
}

/// The module whose code is nearest to the fault; else the one that is loading or unloading there; else, for
/// code that is not there any more, the last one unloaded.
pub fn module_and_state(oops: &Oops) -> (String, Option<State>) {
    let named = oops
        .at
        .iter()
        .chain(oops.frames.iter().filter(|f| f.sure))
        .find(|f| !f.module.is_empty())
        .map(|f| f.module.clone());
    let flagged = |mark: char| {
        oops.modules
            .iter()
            .find(|m| m.flags.contains(mark))
            .map(|m| m.name.clone())
    };
    let in_exit = runs_through(oops, EXIT);
    let in_init = !in_exit && runs_through(oops, INIT);
    // A module's code that no symbol covers: freed with its module.
    let lost = oops.at.as_ref().is_some_and(|f| f.symbol.is_empty());
    let module = match named {
        Some(name) => name,
        None if in_exit => flagged('-').unwrap_or_default(),
        None if in_init => flagged('+').unwrap_or_default(),
        None if lost && !oops.last_unloaded.is_empty() => {
            return (oops.last_unloaded.clone(), Some(State::Gone));
        }
        None => flagged('-').or_else(|| flagged('+')).unwrap_or_default(),
    };
    if module.is_empty() {
        return (module, None);
    }
    let flags = oops
        .modules
        .iter()
        .find(|m| m.name == module)
        .map_or("", |m| m.flags.as_str());
    let state = if flags.contains('-') || in_exit {
        State::Unloading
    } else if flags.contains('+') || in_init {
        State::Loading
    } else {
        State::Live
    };
    (module, Some(state))
}

/// Major and minor number of the release.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What stays behind, by kind and state.
pub fn consequences(oops: &Oops, module: &str, state: Option<State>) -> Vec<String> {
    let mut out = Vec::new();
    match oops.kind {
        Kind::Warning => {
            out.push("a warning: the kernel goes on, tainted W".to_owned());
            return out;
        }
        Kind::Hung => {
            out.push(
                "nothing has crashed: the task is still waiting, with all it holds".to_owned(),
            );
            if state == Some(State::Unloading) {
                out.push(format!(
                    "{module} stays Unloading as long as it waits: every further rmmod gives EBUSY"
                ));
            }
            return out;
        }
        _ => {}
    }
    if !oops.comm.is_empty() {
        out.push(format!(
            "{} was killed where it was: no cleanup ran, locks it held stay locked, memory and references it had are lost",
            oops.comm
        ));
    }
    let v = version(&oops.release);
    // A refused second load: 6.2 (and stable kernels before) answer EBUSY for a GOING module.
    let old = v.is_some_and(|v| v < (4, 1));
    let recent = v.is_none_or(|v| v >= (6, 1));
    // Only the task inside init or exit wedges the module: a thread's death does not.
    let tools = ["insmod", "modprobe", "kmod", "rmmod"];
    let inside =
        runs_through(oops, INIT) || runs_through(oops, EXIT) || tools.contains(&oops.comm.as_str());
    match state {
        Some(State::Loading) if inside => {
            out.push(format!("{module} stays Loading with a count of 1, held by the dead task: rmmod says \"in use\", rmmod -f fails too"));
            out.push(if old {
                "another insmod of it gives EEXIST".to_owned()
            } else {
                "another insmod of it waits for ever (a signal ends it)".to_owned()
            });
        }
        Some(State::Unloading) if inside => {
            let count = if old { "0" } else { "-1" };
            out.push(format!("{module} stays Unloading with a count of {count}: rmmod gives EBUSY for ever"));
            out.push(format!(
                "another insmod of it gives {}",
                if recent { "EBUSY" } else { "EEXIST" }
            ));
        }
        Some(State::Live) => out.push(format!(
            "{module} stays loaded; what the dead task had open is closed, what it had locked is not"
        )),
        Some(State::Gone) => out.push(format!(
            "{module} is not loaded: something still points to where it was, and will again"
        )),
        _ => {}
    }
    if matches!(state, Some(State::Loading | State::Unloading)) && inside {
        out.push("only a reboot, or `lkm unload --force`, takes it away".to_owned());
    }
    out.push("the kernel is tainted D: reboot before you trust it".to_owned());
    out
}
