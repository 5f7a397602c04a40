//! `cargo xtask bless-examples`: builds the example modules anew, strips their debug information,
//! and puts them where the program embeds them.

use crate::kbuild;
use crate::paths;
use std::fs;
use std::process::{Command, ExitCode};

/// The modules that are embedded: the examples of the README and the stories of the tour.
const EXAMPLES: &[&str] = &[
    "hello",
    "thread-gone",
    "thread-gone-ref",
    "thread-left",
    "timer-left",
    "kmalloc-leak",
    "misc-left",
    "pin-timer",
    "free-then-use",
    "lock-order",
    "chain-base",
    "chain-middle",
    "chain-top",
    "inherited",
    "vms",
    "force_rmmod",
    "steps",
    "steps-user",
    "asks",
    "asked",
    "asks-itself",
    "mutexes",
    "kstop",
    "bench-cycle",
];

/// The task.
pub fn task(_: &[String]) -> crate::Outcome {
    let headers = paths::headers()?;
    let built = kbuild::build(&headers, false)?;
    let home = paths::root().join("crates/lkm/examples-ko");
    fs::create_dir_all(&home)?;
    for entry in fs::read_dir(&home)?.flatten() {
        if entry.path().extension().is_some_and(|e| e == "ko") {
            fs::remove_file(entry.path())?;
        }
    }
    let mut total = 0;
    for name in EXAMPLES {
        let to = home.join(format!("{name}.ko"));
        let status = Command::new("strip")
            .args(["--strip-debug", "-o"])
            .arg(&to)
            .arg(built.join(format!("{name}.ko")))
            .status()
            .map_err(|e| format!("strip: {e}"))?;
        if !status.success() {
            return Err(format!("strip {name}: {status}").into());
        }
        total += fs::metadata(&to)?.len();
    }
    println!(
        "{} examples for {}, {total} bytes, in {}",
        EXAMPLES.len(),
        headers.release,
        home.display()
    );
    Ok(ExitCode::SUCCESS)
}
