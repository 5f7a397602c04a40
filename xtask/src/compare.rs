//! `cargo xtask compare [SCRIPT...]`: lab scripts on a real kernel in a VM and in the lab, step by
//! step.
//!
//! * without options: runs each script in a VM of its own and in the lab, and compares. Scripts that say that they
//!   take `long` do so when they are named, or with `--long`.
//! * `--kernel SERIES`: on another kernel, as one that `cargo xtask vm --fetch` has unpacked, with the modules of the
//!   named scripts built for it; the records are of a 6.1.
//! * `--recorded`: compares the lab with the records in `modules/scripts/*.steps`, without a VM.
//! * `--record`: runs the VM only and writes those records anew.

use crate::corrupt;
use crate::kbuild;
use crate::kernel::{Kernel, target_directory};
use crate::paths;
use crate::record::{self, Record};
use crate::rehearse::bounded;
use crate::selftests;
use crate::tally::{self, Tally};
use crate::uncertain::Rules;
use crate::vm::{self, Source, VmSpec};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

type Error = Box<dyn std::error::Error>;

/// The lab takes a fraction of this, on a slow and busy machine, too: its time is virtual.
const LAB_LIMIT: Duration = Duration::from_secs(600);

/// Everything a script needs: the modules, their broken copies, the guest's interpreter.
pub struct Stage {
    kernel: Option<Kernel>,
    modules: PathBuf,
    rawsys: PathBuf,
}

impl Stage {
    /// Builds it for the installed kernel.
    pub fn build() -> Result<Stage, Error> {
        let headers = paths::headers()?;
        let modules = kbuild::build(&headers, false)?;
        // Records can be compared where no kernel can be booted.
        let kernel = Kernel::find("6.1").or_else(|_| Kernel::find("")).ok();
        take_selftests(&headers, &modules.join("selftests"))?;
        Stage::on(kernel, modules)
    }

    /// Builds it for another kernel, with the modules that some scripts name.
    fn build_for(series: &str, scripts: &[(String, PathBuf)]) -> Result<Stage, Error> {
        let kernel = Kernel::find(series)?;
        let build = kernel.headers().ok_or("no headers of that kernel")?;
        let release = kernel.release.clone();
        let headers = paths::Headers { release, build };
        let mut names = vec!["hello".to_owned()];
        for (_, path) in scripts {
            let text = fs::read_to_string(path)?;
            let words = text.split_whitespace();
            names.extend(words.filter_map(|w| w.strip_suffix(".ko").map(str::to_owned)));
        }
        let modules = kbuild::build_some(&headers, |name| names.iter().any(|n| n == name))?;
        if selftests::archive().is_some() {
            let built = selftests::build_some(&headers, SELFTESTS)?;
            take_from(&built, &modules.join("selftests"))?;
        }
        Stage::on(Some(kernel), modules)
    }

    fn on(kernel: Option<Kernel>, modules: PathBuf) -> Result<Stage, Error> {
        corrupt::write_all(&modules.join("hello.ko"), &modules.join("corrupt"))?;
        let rawsys = target_directory().join("vm/rawsys");
        if let Some(dir) = rawsys.parent() {
            fs::create_dir_all(dir)?;
        }
        let sources = ["rawsys.c", "rawsys-steps.c", "rawsys-helper.c"]
            .map(|f| paths::root().join("xtask/vm").join(f));
        let status = Command::new("gcc")
            .args(["-static", "-O1", "-Wall", "-o"])
            .arg(&rawsys)
            .args(&sources)
            .status()
            .map_err(|e| format!("gcc: {e}"))?;
        if !status.success() {
            return Err(format!("gcc {}: {status}", sources[0].display()).into());
        }
        Ok(Stage {
            kernel,
            modules,
            rawsys,
        })
    }

    /// The files of a guest: the interpreter, and those modules that a script names.
    fn files(&self, script: &str) -> Result<Vec<(String, Source)>, Error> {
        let mut files = vec![("/bin/rawsys".to_owned(), Source::Host(self.rawsys.clone()))];
        let mut names: Vec<&str> = script
            .split_whitespace()
            .filter(|w| w.ends_with(".ko"))
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let host = self.modules.join(name);
            // A script may name a file that is not there, to see what comes of it.
            if host.is_file() {
                files.push((format!("/x/ko/{name}"), Source::Host(host)));
            }
        }
        Ok(files)
    }

    /// The files that the guest's modprobe finds, below /lib/modules: those of `tree` lines.
    fn tree(&self, release: &str, script: &str) -> Vec<(String, Source)> {
        let names = script.lines().filter_map(|l| l.strip_prefix("tree "));
        names
            .flat_map(str::split_whitespace)
            .filter_map(|name| {
                let base = name.rsplit('/').next()?;
                let place = format!("/lib/modules/{release}/extra/{base}");
                Some((place, Source::Host(self.modules.join(name))))
            })
            .filter(|(_, source)| matches!(source, Source::Host(path) if path.is_file()))
            .collect()
    }

    /// What a real kernel says to a script: the record as the guest printed it.
    pub fn in_vm(&self, name: &str, script: &str) -> Result<String, Error> {
        let kernel = self.kernel.clone().ok_or("no kernel to boot here")?;
        let mut spec = VmSpec::new(kernel);
        spec.kmod();
        let many = long(script)?.is_some();
        if many || script.lines().any(|l| l == "helpers") {
            // Its own modprobe tells how it was started, or is a small one where very many are started.
            spec.files.retain(|(place, _)| place != "/sbin/modprobe");
            let program = Source::Host(self.rawsys.clone());
            spec.files.push(("/sbin/modprobe".to_owned(), program));
            if many {
                let mark = Source::Text(String::new(), false);
                spec.files.push(("/x/many".to_owned(), mark));
            }
        }
        spec.files.extend(self.files(script)?);
        spec.files.push((
            format!("/x/{name}.lab"),
            Source::Text(script.to_owned(), false),
        ));
        let tree = self.tree(&spec.kernel.release, script);
        let index = if tree.is_empty() { "" } else { "depmod -a; " };
        spec.files.extend(tree);
        spec.step(name, &format!("{index}exec rawsys /x/{name}.lab /x/ko"));
        let seconds = long(script)?.unwrap_or(400);
        if let Some(step) = spec.steps.last_mut() {
            step.seconds = seconds as u32;
        }
        for words in script.lines().filter_map(|l| l.strip_prefix("boot ")) {
            spec.append = format!("{} {words}", spec.append);
        }
        // The seconds are the guest's, which a slow machine needs more time for.
        spec.timeout = Duration::from_secs(4 * seconds);
        let result = vm::run(&spec)?;
        let step = result.steps.into_iter().next();
        let step = step.ok_or_else(|| format!("the guest ran nothing:\n{}", result.console))?;
        match step.status {
            Some(0 | 1) => Ok(step.output),
            status => Err(format!(
                "{name}: the guest's interpreter ended with {status:?}:\n{}",
                step.output
            )
            .into()),
        }
    }

    /// What the lab says.
    pub fn in_lab(&self, lkm: &Path, script: &Path) -> Result<String, Error> {
        let mut command = Command::new(lkm);
        command
            .arg("lab")
            .arg(script)
            .args(["--steps", "--modules"]);
        command.arg(&self.modules);
        let ran = bounded(&mut command, LAB_LIMIT)?;
        match ran.code {
            Some(0 | 1) => Ok(ran.stdout),
            code => Err(format!(
                "lkm lab ended with {code:?}: {}",
                ran.stderr.lines().last().unwrap_or("")
            )
            .into()),
        }
    }
}

/// The kernel's own test modules that scripts load, beside the others; without its sources there are none.
pub fn take_selftests(headers: &paths::Headers, to: &Path) -> Result<(), Error> {
    if selftests::archive().is_none() {
        return Ok(());
    }
    take_from(&selftests::build(headers)?, to)
}

/// The kernel's own test modules that scripts load.
const SELFTESTS: &[&str] = &["test_kmod", "test_module"];

fn take_from(built: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to)?;
    for name in SELFTESTS {
        let name = format!("{name}.ko");
        let from = built.join(&name);
        if from.is_file() {
            fs::copy(from, to.join(name))?;
        }
    }
    Ok(())
}

/// All scripts, by name.
pub fn scripts() -> Result<Vec<(String, PathBuf)>, Error> {
    let dir = paths::root().join("modules/scripts");
    let mut found: Vec<(String, PathBuf)> = fs::read_dir(&dir)?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "lab"))
        .filter_map(|p| Some((p.file_stem()?.to_str()?.to_owned(), p)))
        .collect();
    found.sort();
    Ok(found)
}

/// The seconds that a script may take on a kernel that is booted for it, when it says that it takes long.
fn long(script: &str) -> Result<Option<u64>, String> {
    let Some(minutes) = script.lines().find_map(|l| l.strip_prefix("long ")) else {
        return Ok(None);
    };
    let minutes: u64 = minutes
        .trim()
        .parse()
        .map_err(|_| format!("long {minutes}"))?;
    Ok(Some(minutes.min(600) * 60))
}

/// Reads a record as the script wants it compared.
fn read(script: &str, text: &str) -> Result<Record, String> {
    let mut record = record::parse(text)?;
    Rules::of_script(script)?.apply(&mut record);
    Ok(record)
}

/// Compares two records; each step is one test, and one that comes again with the same answer is the same test.
fn count(tally: &mut Tally, script: &str, real: &Record, lab: &Record) {
    for round in record::rounds(&real.steps) {
        for n in round.at..round.at + round.steps {
            let step = &real.steps[n];
            let mut wrong = Vec::new();
            for time in 0..round.times {
                let one = match lab.steps.get(n + time * round.steps) {
                    None => vec!["the lab's record ends before".to_owned()],
                    Some(other) => record::differences(step, other),
                };
                if !one.is_empty() {
                    wrong = one;
                    if round.times > 1 {
                        wrong.push(format!("in round {} of {}", time + 1, round.times));
                    }
                    break;
                }
            }
            tally.add(&format!("{script} @{} {}", n + 1, step.command), &wrong);
        }
    }
    if lab.steps.len() > real.steps.len() {
        tally.add(script, &["the lab did more steps".into()]);
    }
    if real.ever != lab.ever {
        let what = format!("ever: real {:?} lab {:?}", real.ever, lab.ever);
        tally.add(script, &[what]);
    }
}

/// Which side is asked for the real kernel's answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Real {
    /// A kernel that is booted for each script; for those that take long only when that is wanted.
    Vm { long: bool },
    /// The records.
    Recorded,
}

fn recorded(script: &Path) -> Result<String, Error> {
    let path = script.with_extension("steps");
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Compares the lab with a real kernel over some scripts (all, when none is named).
pub fn all(lkm: &Path, from: Real, only: &[String]) -> Result<Tally, Error> {
    on(&Stage::build()?, lkm, from, only)
}

fn on(stage: &Stage, lkm: &Path, from: Real, only: &[String]) -> Result<Tally, Error> {
    let mut tally = Tally::new(match from {
        Real::Vm { .. } => "real kernel",
        Real::Recorded => "lab scripts",
    });
    for (name, path) in scripts()? {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let script = fs::read_to_string(&path)?;
        let real = match from {
            // Its record is compared by the group that compares records.
            Real::Vm { long: false } if only.is_empty() && long(&script)?.is_some() => {
                tally.skip(
                    &name,
                    "takes long on a kernel in QEMU: with --long, or by name",
                );
                continue;
            }
            Real::Vm { .. } => stage.in_vm(&name, &script),
            Real::Recorded => recorded(&path),
        };
        match (real, stage.in_lab(lkm, &path)) {
            (Ok(real), Ok(lab)) => {
                let real = read(&script, &real)?;
                count(&mut tally, &name, &real, &read(&script, &lab)?);
            }
            (Err(e), _) | (_, Err(e)) => tally.add(&name, &[e.to_string()]),
        }
    }
    Ok(tally)
}

/// Writes the records of the real kernel.
fn record_all(only: &[String]) -> Result<(), Error> {
    let stage = Stage::build()?;
    for (name, path) in scripts()? {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let script = fs::read_to_string(&path)?;
        let text = stage.in_vm(&name, &script)?;
        for line in text.lines().filter(|l| l.starts_with("unmet ")) {
            println!("{name}: {line}");
        }
        let record = read(&script, &text)?;
        println!("{name}: {} steps", record.steps.len());
        fs::write(path.with_extension("steps"), record::show(&record))?;
    }
    Ok(())
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let mut only: Vec<String> = Vec::new();
    let mut series = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--kernel" => series = Some(rest.next().ok_or("--kernel which?")?),
            "--record" | "--recorded" | "--long" => {}
            name if name.starts_with('-') => return Err(format!("{name}: no such option").into()),
            name => only.push(name.to_owned()),
        }
    }
    let option = |name: &str| args.iter().any(|a| a == name);
    if option("--record") {
        record_all(&only)?;
        return Ok(ExitCode::SUCCESS);
    }
    let from = match option("--recorded") {
        true => Real::Recorded,
        false => Real::Vm {
            long: option("--long"),
        },
    };
    let lkm = crate::test::release_binary()?;
    let tally = match series {
        None => all(&lkm, from, &only)?,
        Some(_) if from == Real::Recorded => return Err("the records are of a 6.1".into()),
        Some(series) => {
            let mut scripts = scripts()?;
            scripts.retain(|(name, _)| only.is_empty() || only.contains(name));
            on(&Stage::build_for(series, &scripts)?, &lkm, from, &only)?
        }
    };
    Ok(ExitCode::from(u8::from(!tally::close(&[tally]))))
}
