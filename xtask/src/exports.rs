//! `cargo xtask exports [--symvers] [IMAGE|SERIES...]`: what a kernel exports, read out of its image, for the tables
//! of `crates/lkm-kernel/data/`: name, kind, namespace, and what a function returns. Facts about an interface, no code.
//!
//! CRCs belong to one build of one kernel and are not kept; `--symvers` prints them, as a Module.symvers.

use crate::kernel::Kernel;
use crate::paths;
use lkm_object::btf::ValueKind;
use lkm_object::vmlinux::{self, Memory};
use lkm_object::{Btf, Elf};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

/// The series for which there is a table.
const SERIES: &[&str] = &["6.1", "6.12"];

/// What a kernel image exports.
struct Exports {
    release: String,
    /// Name to what the table says of it behind the name.
    lines: BTreeMap<String, String>,
    /// Name to a line of a Module.symvers.
    symvers: BTreeMap<String, String>,
}

impl Exports {
    fn read(image: &Path) -> Result<Exports, Error> {
        let raw = std::fs::read(image).map_err(|e| format!("{}: {e}", image.display()))?;
        let release = vmlinux::release(&raw).unwrap_or("unknown").to_owned();
        let whole = vmlinux::vmlinux(&raw)?;
        let elf = Elf::parse(&whole)?;
        let btf = Btf::parse(vmlinux::btf_bytes(&whole)?)?;
        let mut exports = Exports {
            release,
            lines: BTreeMap::new(),
            symvers: BTreeMap::new(),
        };
        for export in vmlinux::exports(&elf) {
            let kind = match export.memory {
                Memory::Text => 'F',
                Memory::Percpu => 'P',
                _ => 'D',
            };
            let returns = match kind {
                'F' => returns(&btf, export.name),
                _ => None,
            };
            let (ret, size) = returns.unwrap_or(('-', 0));
            let licence = if export.gpl { 'G' } else { '-' };
            let namespace = export.namespace.unwrap_or("-");
            exports.lines.insert(
                export.name.to_owned(),
                format!("{kind}{licence}\t{namespace}\t{ret}\t{size}"),
            );
            let gpl = if export.gpl { "_GPL" } else { "" };
            exports.symvers.insert(
                export.name.to_owned(),
                format!(
                    "0x{:08x}\t{}\tvmlinux\tEXPORT_SYMBOL{gpl}\t{}",
                    export.crc.unwrap_or(0),
                    export.name,
                    export.namespace.unwrap_or("")
                ),
            );
        }
        Ok(exports)
    }

    fn table(&self) -> String {
        let lines: String = self
            .lines
            .iter()
            .map(|(name, rest)| format!("{name}\t{rest}\n"))
            .collect();
        format!("# {}\n{lines}", self.release)
    }
}

/// What a function returns: a letter, and the size of the object that a pointer points to.
fn returns(btf: &Btf, name: &str) -> Option<(char, u64)> {
    Some(match btf.func(name)?.ret {
        ValueKind::Void => ('v', 0),
        ValueKind::Bool => ('b', 0),
        ValueKind::Pointer { to } => {
            let object = match btf.value_kind(to) {
                Some(ValueKind::Aggregate { bytes }) => bytes,
                _ => 0,
            };
            ('p', object)
        }
        _ => ('i', 0),
    })
}

fn table_path(series: &str) -> PathBuf {
    paths::root().join(format!("crates/lkm-kernel/data/exports-{series}.tsv"))
}

/// The series of a release that has a table.
fn series_of(release: &str) -> Option<&'static str> {
    SERIES.iter().copied().find(|series| {
        release
            .strip_prefix(series)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let symvers = args.iter().any(|arg| arg == "--symvers");
    let mut wanted: Vec<String> = args
        .iter()
        .filter(|a| !a.starts_with('-'))
        .cloned()
        .collect();
    if wanted.is_empty() {
        wanted = SERIES.iter().map(|s| (*s).to_owned()).collect();
    }
    for what in wanted {
        let image = match what.contains('/') {
            true => PathBuf::from(&what),
            false => Kernel::find(&what)?.image,
        };
        let exports = Exports::read(&image)?;
        if symvers {
            for line in exports.symvers.values() {
                println!("{line}");
            }
            continue;
        }
        let series = series_of(&exports.release)
            .ok_or_else(|| format!("no table for {}", exports.release))?;
        std::fs::write(table_path(series), exports.table())?;
        println!("{}: {} exports", exports.release, exports.lines.len());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table is that of its release; another release of the series may have a few names more or less.
    #[test]
    fn the_tables_are_what_kernels_export() {
        let mut compared = 0;
        for series in SERIES {
            let Ok(kernel) = Kernel::find(series) else {
                eprintln!("SKIPPED: no kernel {series} here");
                continue;
            };
            let exports = Exports::read(&kernel.image).unwrap();
            let kept = std::fs::read_to_string(table_path(series)).unwrap();
            if kept.starts_with(&format!("# {}\n", exports.release)) {
                assert!(kept == exports.table(), "cargo xtask exports {series}");
            }
            let kept: BTreeMap<&str, &str> = kept
                .lines()
                .filter_map(|line| line.split_once('\t'))
                .collect();
            let shared = exports
                .lines
                .iter()
                .filter(|(name, rest)| kept.get(name.as_str()) == Some(&rest.as_str()))
                .count();
            let most = kept.len().max(exports.lines.len());
            assert!(shared * 100 >= most * 99, "{series}: {shared} of {most}");
            compared += 1;
        }
        eprintln!("{compared} tables compared");
    }

    #[test]
    fn a_release_has_a_series() {
        assert_eq!(series_of("6.1.0-9-amd64"), Some("6.1"));
        assert_eq!(series_of("6.12.9+deb12-amd64"), Some("6.12"));
        assert_eq!(series_of("6.13.1"), None);
    }
}
