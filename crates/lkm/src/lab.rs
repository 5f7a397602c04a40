//! `lkm lab SCRIPT`: drives the lab's kernel by a script (docs/lab-script.md) and checks its expectations.

mod acts;
mod force;
mod kernel;
pub(crate) mod modprobe;
mod people;
mod run;
mod script;
mod tell;

use crate::rehearse::run::Lab;
use lkm_kernel::profile::Profile;
use lkm_machine::fork;
use lkm_trace::{Event, Trace};
use script::{Command, Expect, Line};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

const HELP: &str = "\
usage: lkm lab [options] SCRIPT

Runs a script of system calls and commands on the lab's kernel. docs/lab-script.md describes the language.

  --modules DIR       where the script's module files are (default: the script's directory)
  --profile NAME      rules of kernel 2.6.32, 3.0, 4.1, 4.4, 6.1 or 6.12
  --steps             print the whole record, as `cargo xtask compare` reads it
  --vermagic TEXT     the lab kernel's vermagic (default: that of the first good module)
  -h, --help          this text

exit status: 0 all expectations met, 1 one was not, 2 the script cannot run
";

#[derive(Default)]
struct Options {
    script: Option<PathBuf>,
    modules: Option<PathBuf>,
    profile: Option<String>,
    vermagic: Option<String>,
    steps: bool,
}

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match options(args).and_then(|options| lab(&options)) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("lkm lab: {message}");
            ExitCode::from(2)
        }
    }
}

fn options(args: Vec<OsString>) -> Result<Options, String> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    let fail = |e: lexopt::Error| e.to_string();
    while let Some(arg) = parser.next().map_err(fail)? {
        match arg {
            Long("modules") => options.modules = Some(parser.value().map_err(fail)?.into()),
            Long("profile") => {
                options.profile = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("vermagic") => {
                options.vermagic = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("steps") => options.steps = true,
            Long("help") | Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            Value(value) if options.script.is_none() => options.script = Some(value.into()),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    Ok(options)
}

fn lab(options: &Options) -> Result<ExitCode, String> {
    let path = options
        .script
        .as_deref()
        .ok_or("no script given; see --help")?;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = script::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let directory = options
        .modules
        .clone()
        .or_else(|| path.parent().map(Path::to_owned))
        .unwrap_or_default();
    let files = read_files(&lines, &directory);
    let vermagic = options.vermagic.clone().or_else(|| common_vermagic(&files));
    // The kernel that most of the files were built for; a broken file says nothing of it.
    let release = vermagic.as_deref().and_then(|v| v.split(' ').next());
    let release = release.unwrap_or("6.1.0").to_owned();
    let mut wanted = options.profile.clone();
    for (index, line) in lines.iter().enumerate() {
        if let Command::Profile(name) = &line.command {
            if lines[..index]
                .iter()
                .any(|l| matches!(l.command, Command::Step(_)))
            {
                return Err(format!(
                    "line {}: profile comes before the first step",
                    line.number
                ));
            }
            wanted = wanted.or_else(|| Some(name.clone()));
        }
    }
    let profile = match &wanted {
        Some(name) => Profile::named(name).ok_or_else(|| format!("no profile {name}"))?,
        None => Profile::for_release(&release),
    };
    let mut lab = Lab::with(profile, &release, |o| {
        o.vermagic = vermagic;
        o.trusted_signatures = false;
        o.crcs = symvers(&release).map(Rc::new);
        for line in &lines {
            if let Command::Boot(words) = &line.command {
                for word in words {
                    match word.split_once('=') {
                        Some(("module_blacklist", names)) => names.clone_into(&mut o.blacklist),
                        Some(("module.sig_enforce", value)) => o.sig_enforce = value == "1",
                        _ => {}
                    }
                }
            }
        }
    })?;
    let (trace, ended) = lab.record(|cx, record| run::run(cx, record, &lines, &files))?;
    let steps = steps(&trace);
    if ended != fork::Ended::Normally {
        return Err(format!(
            "the lab ended early, after {} steps: {ended:?}",
            steps.len()
        ));
    }
    Ok(ExitCode::from(u8::from(!present(
        &lines,
        &steps,
        options.steps,
    ))))
}

/// Reads the files that the script names; one that is not there is a bad descriptor in the step.
fn read_files(lines: &[Line], directory: &Path) -> run::Files {
    let mut files = run::Files::new();
    for line in lines {
        let names: Vec<&str> = match &line.command {
            Command::Step(step) => step.file().into_iter().collect(),
            Command::Tree(names) => names.iter().map(String::as_str).collect(),
            _ => continue,
        };
        for name in names {
            if !files.contains_key(name)
                && let Ok(bytes) = std::fs::read(directory.join(name))
            {
                files.insert(name.to_owned(), Rc::new(bytes));
            }
        }
    }
    files
}

/// The vermagic that most of the files have: that of the kernel they were built for.
fn common_vermagic(files: &run::Files) -> Option<String> {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for file in files.values() {
        if let Ok(module) = lkm_object::module::ModuleFile::parse(file)
            && !module.vermagic.is_empty()
        {
            *seen.entry(module.vermagic.to_owned()).or_default() += 1;
        }
    }
    seen.into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(vermagic, _)| vermagic)
}

/// The CRCs of the kernel's exports, when its headers are installed; else symbol versions are not checked.
fn symvers(release: &str) -> Option<std::collections::BTreeMap<String, u32>> {
    let path = Path::new("/lib/modules")
        .join(release)
        .join("build/Module.symvers");
    let text = std::fs::read_to_string(path).ok()?;
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let crc = u32::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()?;
        let name = fields.next()?;
        (fields.next()? == "vmlinux").then(|| (name.to_owned(), crc))
    });
    Some(rows.collect())
}

/// A step's record.
#[derive(Default)]
struct Done {
    text: String,
    ret: String,
    lines: Vec<(String, String)>,
}

fn steps(trace: &Trace) -> Vec<Done> {
    let mut steps: Vec<Done> = Vec::new();
    for event in &trace.events {
        match event {
            Event::Step { text, .. } => steps.push(Done {
                text: text.clone(),
                ..Done::default()
            }),
            Event::Output { kind, text } => {
                if let Some(step) = steps.last_mut() {
                    if kind == "ret" {
                        step.ret.clone_from(text);
                    } else {
                        step.lines.push((kind.clone(), text.clone()));
                    }
                }
            }
            _ => {}
        }
    }
    steps
}

impl Done {
    fn of(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.lines
            .iter()
            .filter(move |(k, _)| k == kind)
            .map(|(_, text)| text.as_str())
    }

    /// Why an expectation is not met.
    fn unmet(&self, expect: &Expect) -> Option<String> {
        let list = |lines: Vec<&str>| {
            if lines.is_empty() {
                "nothing".to_owned()
            } else {
                lines.join(" | ")
            }
        };
        match expect {
            Expect::Errno(name) => {
                let name = if name == "EAGAIN" {
                    "EWOULDBLOCK"
                } else {
                    name
                };
                (self.ret != name).then(|| format!("got {}", self.ret))
            }
            Expect::Output(text) => (!self.of("out").any(|l| l.contains(text)))
                .then(|| format!("the output is {}", list(self.of("out").collect()))),
            Expect::Log(text) => (!self.of("log").any(|l| l.contains(text)))
                .then(|| format!("the log has {}", list(self.of("log").collect()))),
            Expect::Notes(texts) => {
                let mut notes = self.of("note");
                let missing = texts.iter().find(|text| !notes.any(|n| n.contains(*text)));
                missing.map(|text| {
                    let notes: Vec<&str> = self.of("note").collect();
                    format!("no \"{text}\" in its place among {}", list(notes))
                })
            }
            Expect::Module { name, state, count } => {
                let line = self.of("mod").find(|l| l.split(' ').next() == Some(name));
                let got = line.map(|l| l.split(' ').collect::<Vec<_>>());
                let met = match (&got, count) {
                    (None, None) => true,
                    (Some(fields), Some(count)) => {
                        fields.get(3) == Some(&state.as_str())
                            && fields.get(1) == Some(&count.to_string().as_str())
                    }
                    _ => false,
                };
                (!met).then(|| line.map_or("it is absent".to_owned(), |l| format!("it is {l}")))
            }
        }
    }
}

/// Prints the record and what was not met; whether all was.
fn present(lines: &[Line], steps: &[Done], whole: bool) -> bool {
    let mut at = 0;
    let mut met = true;
    for line in lines {
        match &line.command {
            Command::Step(_) => {
                let Some(step) = steps.get(at) else {
                    eprintln!("line {}: {}: was not reached", line.number, line.text);
                    return false;
                };
                at += 1;
                if whole {
                    println!("@{at} {}", step.text);
                    println!("ret {}", step.ret);
                    for kind in ["mod", "log", "out"] {
                        for text in step.of(kind) {
                            println!("{kind} {text}");
                        }
                    }
                } else {
                    println!("$ {}", step.text);
                    for text in step.of("out") {
                        println!("{text}");
                    }
                    for text in step.of("note") {
                        println!("  [lab] {text}");
                    }
                    for text in step.of("log") {
                        println!("  [log] {text}");
                    }
                    if step.ret != "0" {
                        println!("  [lab] {}", step.ret);
                    }
                }
            }
            Command::Expect(expect) => {
                if let Some(why) = at
                    .checked_sub(1)
                    .and_then(|i| steps.get(i))
                    .and_then(|step| step.unmet(expect))
                {
                    eprintln!("line {}: {}: not met: {why}", line.number, line.text);
                    met = false;
                }
            }
            _ => {}
        }
    }
    met
}
