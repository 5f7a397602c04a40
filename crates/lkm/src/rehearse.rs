//! `lkm rehearse`: reads the files, runs the lab in a confined child, judges what it recorded.

use lkm_judge::{About, Report, RunSymbols, Verdict};
use lkm_kernel::profile::Profile;
use lkm_kernel::rehearse::{Input, Plan};
use lkm_machine::fork;
use lkm_object::elf::Elf;
use lkm_object::module::ModuleFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

const HELP: &str = "\
usage: lkm rehearse [options] FILE.ko [param=value ...]

  --with FILE.ko      load this module first (may be repeated)
  --profile NAME      rules of kernel 2.6.32, 3.0, 4.1, 4.4, 6.1 or 6.12
  --once              one plain run: no second load
  --cycles N          load and unload N times
  --json              the report as JSON

exit status: 0 no finding, 1 findings, 2 could not judge
";

#[derive(Default)]
struct Options {
    file: Option<PathBuf>,
    params: Vec<String>,
    with: Vec<PathBuf>,
    profile: Option<String>,
    json: bool,
    cycles: Option<u32>,
}

/// Types of the built-in tables, as the kernel asks for them.
struct Types<'a>(&'a dyn lkm_object::types::Types);

impl lkm_kernel::layout::Types for Types<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.0.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.0.offset_of(name, path)
    }
}

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match options(args).and_then(|options| rehearse(&options)) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("lkm rehearse: {message}");
            ExitCode::from(2)
        }
    }
}

fn options(args: Vec<OsString>) -> Result<Options, String> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let fail = |e: lexopt::Error| e.to_string();
        match arg {
            Long("with") => options.with.push(parser.value().map_err(fail)?.into()),
            Long("profile") => {
                options.profile = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("json") => options.json = true,
            Long("once") => options.cycles = Some(1),
            Long("cycles") => {
                options.cycles = Some(parser.value().map_err(fail)?.parse().map_err(fail)?)
            }
            Long("help") | Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            Value(value) if options.file.is_none() => options.file = Some(value.into()),
            Value(value) => options.params.push(value.string().map_err(fail)?),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    Ok(options)
}

/// Reads a module file and decompresses it.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let plain = lkm_object::compress::decompress(&bytes, 256 << 20)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(plain.into_owned())
}

fn input(path: &Path, params: String) -> Result<Input, String> {
    let image = read(path)?;
    let name = match ModuleFile::parse(&image) {
        Ok(file) if !file.name.is_empty() => file.name.to_owned(),
        // Even a file that the kernel will refuse has a name in the report.
        _ => path
            .file_stem()
            .map(|s| s.to_string_lossy().replace('-', "_"))
            .unwrap_or_default(),
    };
    Ok(Input {
        name,
        image: Rc::new(image),
        params,
    })
}

fn rehearse(options: &Options) -> Result<ExitCode, String> {
    let file = options
        .file
        .as_deref()
        .ok_or("no module given; see --help")?;
    let module = input(file, options.params.join(" "))?;
    let with = options
        .with
        .iter()
        .map(|path| input(path, String::new()))
        .collect::<Result<Vec<_>, _>>()?;
    let release = release_of(&module.image);
    let profile = match &options.profile {
        Some(name) => Profile::named(name).ok_or_else(|| format!("no profile {name}"))?,
        None => Profile::for_release(&release),
    };
    let plan = Plan {
        with,
        module,
        cycles: options.cycles.unwrap_or(2),
    };
    let report = run(&plan, profile, &release)?;
    if options.json {
        println!("{}", lkm_judge::report::json::pretty(&report));
    } else {
        print!("{}", lkm_judge::report::text::text(&report, false));
    }
    Ok(ExitCode::from(match report.verdict {
        Verdict::Clean => 0,
        Verdict::Findings => 1,
        _ => 2,
    }))
}

/// The kernel release that a module was built for.
fn release_of(image: &[u8]) -> String {
    let vermagic = ModuleFile::parse(image)
        .map(|m| m.vermagic.to_owned())
        .unwrap_or_default();
    vermagic
        .split(' ')
        .next()
        .filter(|r| !r.is_empty())
        .unwrap_or("6.1.0")
        .to_owned()
}

/// Runs a plan in a child and judges its record.
fn run(plan: &Plan, profile: Profile, release: &str) -> Result<Report, String> {
    let types = lkm_object::builtin::builtin(release)
        .or_else(|| lkm_object::builtin::builtin("6.1"))
        .ok_or_else(|| format!("no type information for kernel {release}"))?;
    if !fork::single_threaded() {
        return Err("internal error: the lab must start before any thread".into());
    }
    let options = lkm_kernel::Options {
        release: release.to_owned(),
        ..lkm_kernel::Options::default()
    };
    let mut cx = lkm_kernel::boot(profile, options, &Types(types))?;
    let limits = fork::Limits {
        wall: Duration::from_secs(60),
        record: lkm_trace::MAX_TRACE,
        memory: 1 << 30,
    };
    let outcome = fork::run(limits, |record| {
        lkm_kernel::rehearse::run(&mut cx, record, plan)
    })
    .map_err(|e| e.to_string())?;
    let trace = lkm_trace::decode(&outcome.record);
    let elves: Vec<(&str, Elf<'_>)> = std::iter::once(&plan.module)
        .chain(&plan.with)
        .filter_map(|input| Some((input.name.as_str(), Elf::parse(&input.image).ok()?)))
        .collect();
    let symbols = RunSymbols::from_trace(&trace, |name| {
        elves.iter().find(|(n, _)| *n == name).map(|(_, e)| e)
    });
    let about = About {
        module: plan.module.name.clone(),
        profile: profile.name.to_owned(),
        runs: 1,
        replay: None,
        cut_short: match outcome.ended {
            fork::Ended::Normally => None,
            fork::Ended::LabFailure(why) => Some(format!("lab failure: {why}")),
            fork::Ended::Signal(signal) => Some(format!("the child was killed by signal {signal}")),
            fork::Ended::TimedOut => Some("the child did not end in time".into()),
        },
    };
    if std::env::var_os("LKM_TRACE").is_some() {
        for event in &trace.events {
            eprintln!("{event:?}");
        }
    }
    Ok(lkm_judge::judge(&trace, &symbols, &about))
}
