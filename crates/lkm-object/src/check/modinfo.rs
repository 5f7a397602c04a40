//! L15-L24: blacklist, `module_layout` CRC, vermagic, licence and the taints `.modinfo` implies.

use super::errno::{ENOEXEC, EPERM};
use super::{Event, LoadInfo, MODULE_INIT_IGNORE_VERMAGIC, Once, Refusal, Rules};
use crate::elf::{SHF_EXECINSTR, SHF_WRITE};

/// L15: `blacklisted`.
///
/// # Errors
/// EPERM for a name on `module_blacklist=`.
pub fn early_mod_check(info: &LoadInfo<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    // An empty command-line parameter blacklists nothing, not even a module without a name.
    let listed = !rules.blacklist.is_empty() && rules.blacklist.split(',').any(|n| n == info.name);
    if listed {
        return Err(Refusal {
            errno: EPERM,
            message: Some(format!("Module {} is blacklisted", info.name)),
            step: "L15",
        });
    }
    Ok(())
}

/// `try_to_force_load`: taints F where the kernel allows it.
fn try_to_force_load(
    step: &'static str,
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    reason: &str,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    if !rules.force_load {
        return Err(Refusal {
            errno: ENOEXEC,
            message: None,
            step,
        });
    }
    let text = format!("{}: {reason}: kernel tainted.", info.mod_name);
    events.push(Event::taint(step, 'F', Some(text), Once::FirstTaint));
    Ok(())
}

/// `check_version`: whether the module was built against this CRC of a symbol.
///
/// `crc` is the exporter's, `None` when it has none. The caller turns an error
/// of an imported symbol into EINVAL; for `module_layout` it is ENOEXEC.
///
/// # Errors
/// ENOEXEC, with the kernel's message, when the versions disagree.
pub fn check_version(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    symbol: &str,
    crc: Option<u32>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let Some(crc) = crc.filter(|_| rules.modversions) else {
        return Ok(());
    };
    if info.index.vers == 0 {
        return try_to_force_load("L16", info, rules, symbol, events);
    }
    let why = match version_of(info, symbol) {
        Some(theirs) if theirs == u64::from(crc) => return Ok(()),
        Some(_) => "disagrees about version of symbol",
        None => "no symbol version for",
    };
    Err(Refusal {
        errno: ENOEXEC,
        message: Some(format!("{}: {why} {symbol}", info.name)),
        step: "L16",
    })
}

/// The CRC `__versions` has for a symbol: a whole word, as the kernel compares it.
fn version_of(info: &LoadInfo<'_>, symbol: &str) -> Option<u64> {
    let elf = &info.elf;
    let word = elf.word_size();
    elf.sections[info.index.vers]
        .data
        .chunks_exact(64)
        .find(|entry| {
            let name = &entry[word..];
            name.starts_with(symbol.as_bytes())
                && name.get(symbol.len()).is_none_or(|&end| end == 0)
        })
        .and_then(|entry| elf.order().word(entry, 0, elf.class64))
}

/// L16: `check_modstruct_version`.
///
/// # Errors
/// ENOEXEC when the module's CRC of `module_layout` is not the kernel's.
pub fn check_modstruct_version(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    check_version(info, rules, "module_layout", rules.layout_crc, events)
}

/// `same_magic`: with CRCs, the release (first word) of both is not compared.
pub fn same_magic(module: &str, kernel: &str, has_crcs: bool) -> bool {
    fn rest(s: &str) -> &str {
        s.find(' ').map_or("", |at| &s[at..])
    }
    if has_crcs {
        rest(module) == rest(kernel)
    } else {
        module == kernel
    }
}

/// The licence table of include/linux/license.h.
pub fn license_is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}

/// L17-L23: `check_modinfo`, vermagic first, then the taints in the kernel's order.
///
/// # Errors
/// ENOEXEC for a wrong vermagic, or a live patch where there is no support for one.
pub fn check_modinfo(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    let get = |key| info.modinfo.get(key);
    let name = info.mod_name;
    let vermagic = get("vermagic").filter(|_| rules.flags & MODULE_INIT_IGNORE_VERMAGIC == 0);
    match (vermagic, rules.vermagic) {
        (None, _) => try_to_force_load("L17", info, rules, "bad vermagic", events)?,
        (Some(theirs), Some(ours)) if !same_magic(theirs, ours, info.index.vers != 0) => {
            return Err(Refusal {
                errno: ENOEXEC,
                message: Some(format!(
                    "{}: version magic '{theirs}' should be '{ours}'",
                    info.name
                )),
                step: "L17",
            });
        }
        _ => {}
    }
    if get("intree").is_none() {
        let text = format!("{name}: loading out-of-tree module taints kernel.");
        events.push(Event::taint("L18", 'O', Some(text), Once::FirstTaint));
    }
    if rules.retpoline && get("retpoline").is_none() {
        let text = format!("{name}: loading module not compiled with retpoline compiler.");
        events.push(Event::log("L19", text));
    }
    if get("staging").is_some() {
        let text = format!(
            "{name}: module is from the staging directory, the quality is unknown, you have been warned."
        );
        events.push(Event::taint("L20", 'C', Some(text), Once::Always));
    }
    if get("livepatch").is_some() {
        if !rules.livepatch {
            return Err(Refusal {
                errno: ENOEXEC,
                message: Some(format!(
                    "{name}: module is marked as livepatch module, but livepatch support is disabled"
                )),
                step: "L21",
            });
        }
        let text = format!("{name}: tainting kernel with TAINT_LIVEPATCH");
        events.push(Event::taint("L21", 'K', Some(text), Once::Boot));
    }
    let license = get("license").unwrap_or("unspecified");
    if !license_is_gpl_compatible(license) {
        let text = format!("{name}: module license '{license}' taints kernel.");
        events.push(Event::taint("L22", 'P', Some(text), Once::FirstTaint));
    }
    if get("test").is_some() {
        let text = format!("{name}: loading test module taints kernel.");
        events.push(Event::taint("L23", 'N', Some(text), Once::FirstTaint));
    }
    Ok(())
}

/// L24: `module_enforce_rwx_sections`.
///
/// # Errors
/// ENOEXEC for a section that is both writable and executable.
pub fn module_enforce_rwx_sections(info: &LoadInfo<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    const WX: u64 = SHF_WRITE | SHF_EXECINSTR;
    if !rules.strict_rwx {
        return Ok(());
    }
    match info.elf.sections.iter().find(|s| s.flags & WX == WX) {
        Some(s) => Err(Refusal {
            errno: ENOEXEC,
            message: Some(format!(
                "{}: section {} (index {}) has invalid WRITE|EXEC flags",
                info.mod_name, s.name, s.index
            )),
            step: "L24",
        }),
        None => Ok(()),
    }
}

/// L33 for the force-load path: shared with the symbol checks.
pub(super) fn force_load_exports(
    info: &LoadInfo<'_>,
    rules: &Rules<'_>,
    events: &mut Vec<Event>,
) -> Result<(), Refusal> {
    try_to_force_load(
        "L33",
        info,
        rules,
        "no versions for exported symbols",
        events,
    )
}
