//! Every module of the installed kernels, compared with what kmod's modinfo and modprobe say of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lkm_object::check::{Keys, Rules, load_checks};
use lkm_object::{DEFAULT_LIMIT, Layout, ModuleFile, Signature, decompress, layout};

/// All module files under /lib/modules, or the directory LKM_TEST_MODULES names (an unpacked
/// package of another kernel), sorted. Empty only where no kernel package is installed.
fn stock_modules() -> Vec<PathBuf> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                walk(&path, out);
            } else if let Some(name) = path.file_name().and_then(|n| n.to_str())
                && [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
                    .iter()
                    .any(|e| name.ends_with(e))
            {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    let root = std::env::var_os("LKM_TEST_MODULES").unwrap_or_else(|| "/lib/modules".into());
    walk(Path::new(&root), &mut out);
    out.sort();
    if out.is_empty() {
        eprintln!("SKIPPED: no kernel modules under /lib/modules (install a linux-image package)");
    }
    out
}

#[test]
fn every_stock_module_parses_and_hangs_together() {
    let files = stock_modules();
    for path in &files {
        let raw = std::fs::read(path).unwrap();
        let data = decompress(&raw, DEFAULT_LIMIT).unwrap();
        let module = ModuleFile::parse(&data).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = path.file_name().unwrap().to_str().unwrap();
        let stem = file.split(".ko").next().unwrap().replace('-', "_");
        assert_eq!(module.name, stem);
        assert!(module.vermagic.contains("SMP"), "{file}");
        assert!(module.build_id.is_some_and(|id| id.len() == 20), "{file}");
        // Each import has a CRC, under CONFIG_MODVERSIONS.
        if module.has_versions {
            let versions: BTreeMap<_, _> = module.versions.iter().copied().collect();
            for import in &module.imports {
                assert!(
                    versions.contains_key(import.name),
                    "{file}: {}",
                    import.name
                );
            }
        }
        // What is exported is defined under that very name.
        for export in &module.exports {
            let named = module.elf.symbols().any(|s| {
                s.name == export.name && s.shndx == export.section && s.value == export.value
            });
            assert!(named, "{file}: {}", export.name);
        }
        // `__param` and `.modinfo` name the same parameters.
        // (A file with its own MODULE_PARAM_PREFIX has `prefix.name` in the table.)
        let mut table: Vec<_> = module
            .params
            .iter()
            .map(|p| p.name.rsplit('.').next().unwrap())
            .collect();
        let mut typed: Vec<_> = module
            .modinfo
            .parms()
            .iter()
            .filter(|p| p.kind.is_some())
            .map(|p| p.name)
            .collect();
        table.sort();
        table.dedup();
        typed.sort();
        for name in &typed {
            assert!(table.binary_search(name).is_ok(), "{file}: {name}");
        }
        for param in &module.params {
            assert!(param.arg.is_some() || param.ops.is_empty() || param.perm <= 0o777);
        }
    }
    eprintln!("{} modules", files.len());
}

#[test]
fn every_stock_module_passes_the_checks_and_can_be_placed() {
    for path in stock_modules() {
        let raw = std::fs::read(&path).unwrap();
        let data = decompress(&raw, DEFAULT_LIMIT).unwrap();
        let module = ModuleFile::parse(&data).unwrap();
        let rules = Rules {
            keys: Keys::All,
            vermagic: Some(module.vermagic),
            module_struct_size: Some(module.this_module.size),
            ..Rules::default()
        };
        let file = path.display();
        let accepted = load_checks(&data, &rules).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(accepted.info.sig_ok, module.signature.is_some(), "{file}");
        let layout = Layout::new(&accepted.info, &layout::Config::default()).unwrap();
        // Every allocated section has exactly one place, aligned, inside its image, not overlapping.
        for image in [layout::Image::Core, layout::Image::Init] {
            let extent = match image {
                layout::Image::Core => layout.core,
                layout::Image::Init => layout.init,
            };
            let mut end = 0;
            for p in layout.places.iter().filter(|p| p.image == image) {
                let s = &module.elf.sections[p.section];
                assert!(
                    p.offset >= end && p.offset.is_multiple_of(s.align.max(1)),
                    "{file}"
                );
                end = p.offset + p.size;
                let range = match p.pass {
                    layout::Pass::Text => 0..=extent.text,
                    layout::Pass::Rodata => extent.text..=extent.ro,
                    layout::Pass::RoAfterInit => extent.ro..=extent.ro_after_init,
                    layout::Pass::Data => extent.ro_after_init..=extent.size,
                };
                assert!(
                    range.contains(&p.offset) && range.contains(&end),
                    "{file}: {}",
                    s.name
                );
            }
            assert!(extent.size.is_multiple_of(4096));
        }
        let placed = layout.places.len();
        let wanted = module.elf.sections.iter().filter(|s| s.is_alloc()).count();
        let apart = [".modinfo", "__versions", ".data..percpu"]
            .iter()
            .filter(|n| module.elf.section(n).is_some_and(|s| s.is_alloc()))
            .count();
        assert_eq!(placed, wanted - apart, "{file}");
        assert!(
            layout.shown_size(true) >= 3 * 4096
                && layout.shown_size(false) > layout.shown_size(true)
        );
    }
}

/// Output of a kmod tool, or `None` where it is not installed. A module without
/// exports makes `modprobe --show-exports` fail; that is an empty output here.
fn kmod(args: &[&str]) -> Option<String> {
    let out = ["/sbin/", "/usr/sbin/"].iter().find_map(|dir| {
        Command::new(format!("{dir}{}", args[0]))
            .args(&args[1..])
            .output()
            .ok()
    })?;
    let error = String::from_utf8_lossy(&out.stderr);
    let nothing_to_show = error.contains("could not get symbols");
    assert!(out.status.success() || nothing_to_show, "{args:?}: {error}");
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Bytes as modinfo prints them.
fn colons(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
    hex.join(":")
}

#[test]
fn a_sample_equals_what_kmod_says() {
    let files = stock_modules();
    let mut compared = 0;
    for path in files.iter().step_by(40) {
        let raw = std::fs::read(path).unwrap();
        let data = decompress(&raw, DEFAULT_LIMIT).unwrap();
        let module = ModuleFile::parse(&data).unwrap();
        let path = path.to_str().unwrap();
        let Some(text) = kmod(&["modinfo", path]) else {
            eprintln!("SKIPPED: kmod's modinfo is not installed");
            return;
        };
        let says = |key: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix(':').map(str::trim_start))
        };
        assert_eq!(says("name"), Some(module.name), "{path}");
        assert_eq!(
            says("vermagic").map(str::trim_end),
            Some(module.vermagic.trim_end())
        );
        assert_eq!(says("srcversion"), module.srcversion());
        assert_eq!(
            says("depends").unwrap_or(""),
            module.depends().collect::<Vec<_>>().join(",")
        );
        assert_eq!(
            says("sig_id").is_some(),
            module.signature.is_some(),
            "{path}"
        );

        if let Some(trailer) = &module.signature {
            let signature = Signature::from_trailer(trailer).unwrap();
            assert_eq!(says("sig_id"), Some(signature.id_type), "{path}");
            assert_eq!(says("signer").map(str::as_bytes), Some(signature.signer));
            assert_eq!(says("sig_hashalgo"), Some(&*signature.hash_algo));
            assert_eq!(says("sig_key"), Some(&*colons(signature.key_id)));
            let start = text.split_once("signature:").unwrap().1;
            let theirs: String = start
                .lines()
                .enumerate()
                .take_while(|(i, l)| *i == 0 || l.starts_with('\t'))
                .map(|(_, l)| l.trim())
                .collect();
            assert_eq!(theirs, colons(signature.bytes));
        }

        let text = kmod(&["modprobe", "--show-exports", path]).unwrap();
        let mut theirs: Vec<(String, u32)> = text
            .lines()
            .map(|l| {
                let (crc, name) = l.split_once('\t').unwrap();
                let crc = u32::from_str_radix(crc.trim_start_matches("0x"), 16).unwrap();
                (name.to_owned(), crc)
            })
            .collect();
        let mut ours: Vec<(String, u32)> = module
            .exports
            .iter()
            .map(|e| (e.name.to_owned(), e.crc.unwrap_or(0)))
            .collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{path}");

        let text = kmod(&["modprobe", "--show-modversions", path]).unwrap();
        let mut theirs: Vec<&str> = text
            .lines()
            .filter_map(|l| l.split_once('\t'))
            .map(|l| l.1)
            .collect();
        let mut ours: Vec<&str> = module.versions.iter().map(|v| v.0).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{path}");
        compared += 1;
    }
    assert_eq!(compared, files.len().div_ceil(40));
}
