//! `cargo xtask test`: everything, from what the distribution must bring to the closing line.
//!
//! `--long` adds 100,000 mutations of each input, an hour of random commands at the lab's prompt, and the fuzz
//! targets; `--only GROUP` (units, images, modules, selftests, scripts, stories, tree, kernel, live) runs a part;
//! `-m NAME...` only these test modules.

use crate::compare::{self, Real};
use crate::kbuild::{self, Source};
use crate::kernel::target_directory;
use crate::paths;
use crate::rehearse;
use crate::selftests;
use crate::tally::{self, Tally};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    only: Vec<String>,
    modules: Vec<String>,
    long: bool,
}

impl Wanted {
    fn parse(args: &[String]) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "--long" => wanted.long = true,
                "--only" => wanted
                    .only
                    .push(rest.next().ok_or("--only what?")?.to_owned()),
                "-m" => wanted.modules.extend(rest.by_ref().cloned()),
                _ => {
                    return Err(format!(
                        "cargo xtask test [--long] [--only GROUP]... [-m MODULE...], not {arg}"
                    ));
                }
            }
        }
        if !wanted.modules.is_empty() && wanted.only.is_empty() {
            wanted.only.push("modules".into());
        }
        Ok(wanted)
    }

    fn group(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == name)
    }
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let wanted = Wanted::parse(args)?;
    let missing = crate::setup::ensure();
    for need in &missing {
        println!("missing, and what needs it will fail: {need}");
    }
    let mut groups = Vec::new();
    if wanted.group("units") {
        groups.push(units()?);
    }
    let lkm = release_binary()?;
    if wanted.group("images") {
        groups.push(images());
    }
    if wanted.group("modules") {
        groups.push(modules(&lkm, &wanted.modules));
    }
    if wanted.group("selftests") {
        groups.push(kernel_selftests(&lkm));
    }
    if wanted.group("scripts") {
        groups.push(scripts(&lkm, Real::Recorded));
    }
    if wanted.group("stories") {
        groups.extend(stories(&lkm));
    }
    if wanted.group("tree") {
        groups.push(crate::tree::all(""));
        groups.push(crate::tree::all("6.12"));
        groups.push(kmod_suite());
    }
    if wanted.group("kernel") {
        groups.push(scripts(&lkm, Real::Vm { long: wanted.long }));
        groups.push(on_a_real_kernel());
    }
    if wanted.group("live") {
        groups.extend(live(&lkm));
    }
    if wanted.long {
        groups.push(soak(&lkm));
        groups.push(crate::fuzz::mutations());
        groups.push(crate::fuzz::all());
    }
    let good = tally::close(&groups);
    Ok(ExitCode::from(u8::from(!good)))
}

/// `cargo test` over the workspace, its own counts taken over.
fn units() -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("unit tests");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--no-fail-fast", "--quiet"])
        .current_dir(paths::root())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (passed, failed) = counts(&text);
    tally.add_counts(passed, failed);
    if !output.status.success() {
        println!("{text}");
        if failed == 0 {
            // Something that is not a test went wrong: the build itself.
            tally.add("cargo test", &[output.status.to_string()]);
        }
    }
    // The build without C libraries, which nothing above makes.
    let pure = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--package", "lkm-kmod"])
        .args(["--no-default-features", "--features", "pure-rust"])
        .current_dir(paths::root())
        .status()?;
    let wrong = (!pure.success()).then(|| pure.to_string());
    tally.add("lkm-kmod in pure Rust", &Vec::from_iter(wrong));
    Ok(tally)
}

/// Sums the "test result:" lines of cargo test.
fn counts(text: &str) -> (usize, usize) {
    let number = |line: &str, what: &str| {
        let words: Vec<&str> = line.split([' ', ';', '.']).collect();
        words
            .windows(2)
            .find(|w| w[1] == what)
            .and_then(|w| w[0].parse::<usize>().ok())
            .unwrap_or(0)
    };
    text.lines()
        .filter(|l| l.starts_with("test result:"))
        .fold((0, 0), |(p, f), l| {
            (p + number(l, "passed"), f + number(l, "failed"))
        })
}

/// Builds the program and answers its path.
pub fn release_binary() -> Result<PathBuf, Box<dyn std::error::Error>> {
    // Another build of the program, as one with debug assertions.
    if let Some(other) = std::env::var_os("LKM_BINARY") {
        return Ok(other.into());
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "lkm"])
        .current_dir(paths::root())
        .status()?;
    if !status.success() {
        return Err(format!("cargo build --release: {status}").into());
    }
    Ok(target_directory().join("release/lkm"))
}

fn modules(lkm: &Path, only: &[String]) -> Tally {
    let mut tally = Tally::new("modules");
    let built = paths::headers()
        .map_err(Into::into)
        .and_then(|headers| kbuild::build(&headers, false))
        .and_then(|dir| Ok((dir, kbuild::sources()?)));
    match built {
        Ok((dir, sources)) => {
            let some: Vec<Source> = sources
                .into_iter()
                .filter(|s| only.is_empty() || only.contains(&s.name))
                .collect();
            rehearse::all(lkm, &dir, &some)
        }
        Err(e) => {
            tally.add("build", &[e.to_string()]);
            tally
        }
    }
}

fn kernel_selftests(lkm: &Path) -> Tally {
    let built = paths::headers()
        .map_err(Into::into)
        .and_then(|headers| selftests::build(&headers))
        .and_then(|dir| selftests::all(lkm, &dir));
    built.unwrap_or_else(|e| {
        let mut tally = Tally::new("kernel selftests");
        tally.add("build", &[e.to_string()]);
        tally
    })
}

/// The lab scripts, against the records or against a kernel that is booted for them.
fn scripts(lkm: &Path, from: Real) -> Tally {
    compare::all(lkm, from, &[]).unwrap_or_else(|e| {
        let mut tally = Tally::new("scripts");
        tally.add("set-up", &[e.to_string()]);
        tally
    })
}

/// The images of whole kernels' modules.
fn images() -> Tally {
    crate::images::all(&[]).unwrap_or_else(|e| {
        let mut tally = Tally::new("images");
        tally.add("set-up", &[e.to_string()]);
        tally
    })
}

/// The tests that kmod makes of its tools.
fn kmod_suite() -> Tally {
    crate::kmod_suite::all().unwrap_or_else(|e| {
        let mut tally = Tally::new("kmod's suite");
        tally.add("set-up", &[e.to_string()]);
        tally
    })
}

/// The story scripts, as they are, and on copies with other numbers and names.
fn stories(lkm: &Path) -> Vec<Tally> {
    let failed = |group, e: Box<dyn std::error::Error>| {
        let mut tally = Tally::new(group);
        tally.add("set-up", &[e.to_string()]);
        tally
    };
    let mut groups = vec![crate::stories::all(lkm).unwrap_or_else(|e| failed("stories", e))];
    match crate::copies::all(lkm) {
        Ok(copies) => groups.extend(copies),
        Err(e) => groups.push(failed("stories on copies", e)),
    }
    groups
}

/// Random commands for an hour, at the prompt of the lab.
fn soak(lkm: &Path) -> Tally {
    crate::soak::run(lkm, 60.0, None).unwrap_or_else(|e| {
        let mut tally = Tally::new("soak");
        tally.add("set-up", &[e.to_string()]);
        tally
    })
}

/// The modules on a kernel that is booted for them.
fn on_a_real_kernel() -> Tally {
    crate::real::all(&[]).unwrap_or_else(|e| {
        let mut tally = Tally::new("modules for real");
        tally.add("set-up", &[e.to_string()]);
        tally
    })
}

/// `why`, `trace`, `unload` and the six tools on the installed kernel, and on a newer one, which
/// is fetched and unpacked beside the build when that is possible.
fn live(lkm: &Path) -> Vec<Tally> {
    if let Some(missing) = crate::vm::missing() {
        let mut tally = Tally::new("live");
        tally.skip("all", &missing);
        return vec![tally];
    }
    let mut groups = Vec::new();
    for series in ["", "6.12"] {
        // A kernel without headers is of no use here: the modules are built against them.
        let found =
            crate::kernel::Kernel::find_or_fetch(series, |kernel| kernel.headers().is_some());
        let kernel = match found {
            Ok(kernel) => kernel,
            Err(error) => {
                let mut tally = Tally::new("live");
                let way = format!("{error}; cargo xtask vm --fetch {series} unpacks that kernel");
                tally.skip(series, &way);
                groups.push(tally);
                continue;
            }
        };
        match crate::vm_live::all(lkm, &kernel, &[], false) {
            Ok(tallies) => groups.extend(tallies),
            Err(error) => {
                let mut tally = Tally::new("live");
                tally.add("set-up", &[error.to_string()]);
                groups.push(tally);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn test_results_are_summed() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
            test result: FAILED. 10 passed; 2 failed; 1 ignored\n";
        assert_eq!(counts(text), (13, 2));
    }
}
