//! `cargo xtask marks`: writes which kernel functions a test shows to behave, and by which test, to
//! `crates/lkm-kernel/data/conformed.tsv`. From there reports and `lkm rehearse --coverage` take the mark *behaves*.
//!
//! A test is a module of `modules/conform/`, which names what it checks at its head (`//#Conforms:`), or one of the
//! kernel's own test modules, for which `xtask/data/selftest-functions.tsv` does. That each of them really uses
//! what is claimed for it is checked where it is built.

use crate::kbuild;
use crate::paths;
use crate::tally;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

fn list_path() -> PathBuf {
    paths::root().join("crates/lkm-kernel/data/conformed.tsv")
}

/// What the kernel's own test modules check: the module, and the functions.
pub fn selftests() -> Result<Vec<(String, Vec<String>)>, Error> {
    let path = paths::root().join("xtask/data/selftest-functions.tsv");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (module, names) = line.split_once('\t').ok_or(format!("no tab: {line}"))?;
            let names = names.split(' ').map(str::to_owned).collect();
            Ok((module.to_owned(), names))
        })
        .collect()
}

/// The list as the heads of the modules and the table make it: a name and the first test that shows it.
fn list() -> Result<String, Error> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for source in kbuild::sources()? {
        for name in source.directives()?.conforms {
            shown.entry(name).or_insert_with(|| source.name.clone());
        }
    }
    for (module, names) in selftests()? {
        if tally::is_known("kernel selftests", &module) {
            continue;
        }
        for name in names {
            shown.entry(name).or_insert_with(|| module.clone());
        }
    }
    Ok(shown
        .iter()
        .map(|(name, test)| format!("{name}\t{test}\n"))
        .collect())
}

/// The task.
pub fn task(_: &[String]) -> crate::Outcome {
    let list = list()?;
    let changed = fs::read_to_string(list_path()).ok().as_deref() != Some(&list);
    if changed {
        fs::write(list_path(), &list)?;
    }
    println!(
        "{} functions are shown to behave{}",
        list.lines().count(),
        if changed { "; the list is new" } else { "" }
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_what_the_tests_say() {
        let kept = std::fs::read_to_string(super::list_path()).unwrap();
        assert_eq!(kept, super::list().unwrap(), "cargo xtask marks");
        assert!(kept.lines().count() >= 400, "functions with a test");
    }
}
