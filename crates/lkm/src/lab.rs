//! `lkm lab`: the lab's kernel at a prompt, or driven by a script (docs/lab-script.md) with its expectations.

mod act_words;
mod acts;
mod complete;
mod done;
mod files;
mod force;
mod help;
mod kernel;
mod language;
mod message;
pub(crate) mod modprobe;
mod people;
mod prompt;
mod run;
pub(crate) mod script;
pub(crate) mod session;
mod spawn;
mod standing;
mod tell;
mod texts;

pub(crate) use done::Done;
use files::Sources;
use lkm_kernel::profile::Profile;
use script::{Command, Line};
use session::{Session, Setup};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

pub(crate) const HELP: &str = "\
usage: lkm lab [options] [SCRIPT]

Runs a script of system calls and commands on the lab's kernel, or takes them at a prompt when no script is given.
docs/lab-script.md describes the language; `help` at the prompt lists it.

  --modules DIR       where module files are (default: the script's directory; at the prompt the current one)
  -b, --basedir BASE  a module tree, for names given to modprobe at the prompt (default /)
  -k, --kernel KVER   the tree's kernel release, which the lab's kernel takes on
  --profile NAME      rules of kernel 2.6.32, 3.0, 4.1, 4.4, 6.1 or 6.12
  --steps             print the whole record, as `cargo xtask compare` reads it
  --vermagic TEXT     the lab kernel's vermagic (default: that of the script's first good module; at the prompt any)
  -h, --help          this text

exit status: 0 all expectations met, 1 one was not, 2 the script or the machine cannot run
";

#[derive(Default)]
struct Options {
    script: Option<PathBuf>,
    modules: Option<PathBuf>,
    base: Option<PathBuf>,
    kernel: Option<String>,
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
            Short('b') | Long("basedir") => {
                options.base = Some(parser.value().map_err(fail)?.into())
            }
            Short('k') | Long("kernel") => {
                options.kernel = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("profile") => {
                options.profile = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("vermagic") => {
                options.vermagic = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("steps") => options.steps = true,
            Value(value) if options.script.is_none() => options.script = Some(value.into()),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    Ok(options)
}

fn lab(options: &Options) -> Result<ExitCode, String> {
    let Some(path) = options.script.as_deref() else {
        return prompt::run(options);
    };
    let text = read_script(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = script::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let directory = options
        .modules
        .clone()
        .or_else(|| path.parent().map(Path::to_owned))
        .unwrap_or_default();
    let mut sources = Sources::new(directory, options.base.clone());
    if let Some(release) = &options.kernel {
        sources.open_tree(release)?;
    }
    let files = sources
        .of_script(&lines)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let mut setup = setup(&lines, files, options)?;
    setup.tree = sources.tree;
    setup.crcs = symvers(&setup.release).map(Rc::new);
    let met = play(&setup, &lines, options.steps)?;
    Ok(ExitCode::from(u8::from(!met)))
}

/// Most bytes of a script.
const MAX_SCRIPT: u64 = 16 << 20;

fn read_script(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(MAX_SCRIPT + 1);
    if file.read_to_string(&mut text)? as u64 > MAX_SCRIPT {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// The kernel that a script wants: its profile, its command line, the release its files were built for.
fn setup(lines: &[Line], files: run::Files, options: &Options) -> Result<Setup, String> {
    let vermagic = options
        .vermagic
        .clone()
        .or_else(|| session::common_vermagic(&files));
    // The kernel that most of the files were built for; a broken file says nothing of it.
    let release = vermagic.as_deref().and_then(|v| v.split(' ').next());
    let release = options
        .kernel
        .clone()
        .unwrap_or_else(|| release.unwrap_or("6.1.0").to_owned());
    let mut wanted = options.profile.clone();
    let mut boot = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match &line.command {
            Command::Profile(name) => {
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
            Command::Boot(words) => boot.extend(words.iter().cloned()),
            _ => {}
        }
    }
    let profile = match &wanted {
        Some(name) => Profile::named(name).ok_or_else(|| format!("no profile {name}"))?,
        None => Profile::for_release(&release),
    };
    Ok(Setup {
        profile,
        release,
        vermagic,
        crcs: None,
        boot,
        files,
        tree: None,
        prompt: false,
    })
}

/// Runs a script; prints its record, and what was not met. Whether all was.
fn play(setup: &Setup, lines: &[Line], whole: bool) -> Result<bool, String> {
    let mut session = Session::start(setup)?;
    let mut last = Done::default();
    let (mut number, mut met) = (0, true);
    for line in lines {
        let gone = |gone| format!("line {}: {}: {gone}", line.number, line.text);
        match &line.command {
            Command::Step(_) | Command::As(_) | Command::Clock(_) => {
                if last.ret == "panic" {
                    eprintln!("line {}: {}: was not reached", line.number, line.text);
                    return Ok(false);
                }
                if let Some(done) = session.run(&line.text, &line.command).map_err(gone)? {
                    number += 1;
                    done.print(whole.then_some(number));
                    last = done;
                }
            }
            Command::Expect(expect) => {
                if number > 0
                    && let Some(why) = session.unmet(&last, expect).map_err(gone)?
                {
                    eprintln!("line {}: {}: not met: {why}", line.number, line.text);
                    met = false;
                }
            }
            Command::Tree(_) | Command::Profile(_) | Command::Boot(_) | Command::Compared => {}
        }
    }
    Ok(met)
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
