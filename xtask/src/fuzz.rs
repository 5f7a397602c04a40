//! The fuzz targets, each run for a while: `cargo xtask test --long`.

use crate::paths;
use crate::tally::Tally;
use std::process::Command;

/// What brings them.
const INSTALL: &str = "rustup toolchain install nightly; cargo install cargo-fuzz";

/// How long each target runs.
const SECONDS: u32 = 120;

/// Targets whose input is a module file: they begin with the examples.
const MODULE_FILES: &[&str] = &[
    "module",
    "modinfo",
    "facts",
    "signature",
    "dwarf",
    "compress",
];

/// Puts what a target begins with into its corpus; what an earlier run found there stays.
fn seed(target: &str) -> std::io::Result<()> {
    let corpus = paths::root().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    if !MODULE_FILES.contains(&target) {
        return Ok(());
    }
    for entry in std::fs::read_dir(paths::root().join("crates/lkm/examples-ko"))? {
        let path = entry?.path();
        if let (Some("ko"), Some(name)) =
            (path.extension().and_then(|e| e.to_str()), path.file_name())
        {
            std::fs::copy(&path, corpus.join(name))?;
        }
    }
    Ok(())
}

/// As many mutations of each kind are tried.
const MUTATIONS: &str = "100000";
/// Within this much memory, in bytes, and this many seconds for each kind.
const MEMORY: u64 = 2 << 30;
const LIMIT_SECONDS: &str = "3600";

/// The mutation tests of the tools, in their long form: each kind of input in a process of its own, whose
/// memory and time are bounded.
pub fn mutations() -> Tally {
    let mut tally = Tally::new("mutations");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([
            "test",
            "--release",
            "--package",
            "lkm-tree",
            "--test",
            "mutations",
        ])
        .current_dir(paths::root());
    // Built outside of the bounds, which are for what is tested.
    let built = cargo.arg("--no-run").output();
    let program = built.ok().and_then(|out| {
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let path = text.rsplit_once('(')?.1.split(')').next()?.to_owned();
        Some(paths::root().join(path))
    });
    let Some(program) = program else {
        tally.add("build", &["cargo test --no-run names no program".into()]);
        return tally;
    };
    for kind in [
        "modules",
        "modules_of_a_tree",
        "indexes",
        "configuration",
        "signatures",
        "caches",
    ] {
        let out = Command::new("prlimit")
            .arg(format!("--as={MEMORY}"))
            .args(["timeout", LIMIT_SECONDS])
            .arg(&program)
            .args(["--exact", kind])
            .env("LKM_MUTATIONS", MUTATIONS)
            .current_dir(paths::root().join("crates/lkm-tree"))
            .output();
        let wrong = match out {
            Ok(out) if out.status.success() => Vec::new(),
            Ok(out) => {
                let text = [out.stdout, out.stderr].concat();
                vec![format!(
                    "{}: {}",
                    out.status,
                    String::from_utf8_lossy(&text)
                )]
            }
            Err(e) => vec![e.to_string()],
        };
        tally.add(&format!("{MUTATIONS} of {kind}"), &wrong);
    }
    tally
}

/// Runs every target of `fuzz/`, as cargo-fuzz lists them. Without cargo-fuzz or a nightly toolchain that is a
/// failure with the reason and what installs them: `--long` was asked for.
pub fn all() -> Tally {
    let mut tally = Tally::new("fuzz");
    let fuzz = || {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["+nightly", "fuzz"])
            .current_dir(paths::root());
        command
    };
    let list = match fuzz().arg("list").output() {
        Ok(list) if list.status.success() => list.stdout,
        Ok(list) => {
            let why = String::from_utf8_lossy(&list.stderr).trim().to_owned();
            tally.add("cargo fuzz", &[why, INSTALL.to_owned()]);
            return tally;
        }
        Err(e) => {
            tally.add("cargo fuzz", &[e.to_string(), INSTALL.to_owned()]);
            return tally;
        }
    };
    for target in String::from_utf8_lossy(&list).lines() {
        if let Err(e) = seed(target) {
            tally.add(target, &[e.to_string()]);
            continue;
        }
        let status = fuzz()
            .args(["run", target, "--", &format!("-max_total_time={SECONDS}")])
            .status();
        let wrong = match status {
            Ok(status) if status.success() => Vec::new(),
            Ok(status) => vec![status.to_string()],
            Err(e) => vec![e.to_string()],
        };
        tally.add(target, &wrong);
    }
    tally
}
