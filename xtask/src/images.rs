//! `cargo xtask images [SERIES...]`: the images of all modules of a Debian kernel, put together by lkm and by an
//! independent loader, byte by byte (`xtask/images`). Without arguments: the installed kernel, and 6.12 when it has been
//! unpacked beside the build.

use crate::kernel::{Kernel, target_directory};
use crate::paths;
use crate::tally::Tally;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

type Error = Box<dyn std::error::Error>;

/// Builds the comparing program, which is no member of the workspace, and answers its path.
fn build() -> Result<PathBuf, Error> {
    let target = target_directory().join("images");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(paths::root().join("xtask/images/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status()?;
    if !status.success() {
        return Err(format!("cargo build: {status}").into());
    }
    Ok(target.join("debug/lkm-images"))
}

/// What the program says of a kernel's modules: nothing when all are the same.
fn compare(program: &PathBuf, kernel: &Kernel) -> Result<Vec<String>, Error> {
    let output = Command::new(program).arg(&kernel.modules).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    println!("{}: {}", kernel.release, lines.last().map_or("", |l| l));
    Ok(if output.status.success() {
        Vec::new()
    } else {
        lines
    })
}

/// The comparison for each of the series; an empty one is the installed kernel.
pub fn all(series: &[String]) -> Result<Tally, Error> {
    let mut tally = Tally::new("images");
    let program = build()?;
    let usual = [String::new(), "6.12".to_owned()];
    let wanted = if series.is_empty() { &usual } else { series };
    for series in wanted {
        match Kernel::find_or_fetch(series, |_| true) {
            Ok(kernel) => tally.add(&kernel.release, &compare(&program, &kernel)?),
            Err(why) => tally.skip(series, &why.to_string()),
        }
    }
    Ok(tally)
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let tally = all(args)?;
    tally.print();
    Ok(ExitCode::from(u8::from(!tally.good())))
}
