//! The fuzz targets, each run for a while: `cargo xtask test --long`.

use crate::paths;
use crate::tally::Tally;
use std::process::Command;

/// How long each target runs.
const SECONDS: u32 = 60;

/// Runs every target of `fuzz/`, as cargo-fuzz lists them. Without cargo-fuzz that is a failure
/// with the reason: `--long` was asked for.
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
            tally.add("cargo fuzz", &[why]);
            return tally;
        }
        Err(e) => {
            tally.add("cargo fuzz", &[e.to_string()]);
            return tally;
        }
    };
    for target in String::from_utf8_lossy(&list).lines() {
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
