//! Finds a module file of the running kernel to take the rescue module's facts from.

use std::fs;
use std::path::{Path, PathBuf};

use lkm_object::{DEFAULT_LIMIT, ModuleFile, decompress};

use crate::proc;
use crate::rescue::Error;
use crate::rescue::facts::{self, Facts, Offsets};
use crate::types::{Missing, Types};

/// Offsets in `struct module` by the kernel's own types.
///
/// # Errors
/// When it lacks a member.
pub fn offsets(types: &Types) -> Result<Offsets, Missing> {
    let at = |member| types.offset("module", member);
    Ok(Offsets {
        list: at("list")?,
        name: at("name")?,
        state: at("state")?,
        refcnt: at("refcnt.counter")?,
        source_list: at("source_list")?,
        init: at("init")?,
        exit: at("exit")?,
        size: types.size("module")?,
    })
}

/// Module files of the running kernel, in the order of its modules.dep.
fn candidates() -> Vec<PathBuf> {
    let base = Path::new("/lib/modules").join(proc::release());
    let index = fs::read_to_string(base.join("modules.dep")).unwrap_or_default();
    index
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(|path| base.join(path))
        .collect()
}

/// The facts, from `given` or from the first module of the kernel's tree that has an init
/// and an exit.
///
/// # Errors
/// In words: there is no such module, or the facts disagree.
pub fn facts(types: &Types, given: Option<&Path>) -> Result<(Facts, PathBuf), String> {
    let offsets = offsets(types).map_err(|e| format!("the kernel's types have no {}", e.0))?;
    let release = proc::release();
    if let Some(path) = given {
        let facts = read(path, offsets, &release)?.map_err(|e| e.to_string())?;
        return Ok((facts, path.to_path_buf()));
    }
    // Far more than are ever needed: almost every module has both.
    for path in candidates().into_iter().filter(|p| p.exists()).take(64) {
        match read(&path, offsets, &release) {
            Ok(Ok(facts)) => return Ok((facts, path)),
            Ok(Err(error)) if !error.to_string().contains("to take the offset from") => {
                return Err(error.to_string());
            }
            _ => {}
        }
    }
    Err(format!(
        "no module file of this kernel under /lib/modules/{release} to take the facts from: give one with --like FILE.ko"
    ))
}

fn read(path: &Path, offsets: Offsets, release: &str) -> Result<Result<Facts, Error>, String> {
    let said = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = fs::read(path).map_err(|e| said(&e))?;
    let bytes = decompress(&bytes, DEFAULT_LIMIT).map_err(|e| said(&e))?;
    let module = ModuleFile::parse(&bytes).map_err(|e| said(&e))?;
    Ok(facts::gather(&module, offsets, release))
}
