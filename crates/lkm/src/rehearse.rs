//! `lkm rehearse`: options, and the three ways to run: one file, a name of a tree, a whole tree.

mod all;
pub(crate) mod layouts;
mod replay;
pub(crate) mod run;
mod sweep;

use crate::out::out;
use crate::tree::Tree;
use lkm_judge::picture::Picture;
use lkm_judge::report::sarif::Sarif;
use lkm_judge::{Report, Verdict};
use lkm_kernel::profile::Profile;
use lkm_kernel::rehearse::{Answers, Input, Plan};
use lkm_object::module::ModuleFile;
use run::Lab;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

pub(crate) const HELP: &str = "\
usage: lkm rehearse [options] FILE.ko|NAME [param=value ...]
       lkm rehearse [options] --all

Takes a module through load, init, use, exit and unload in the lab, and says what is wrong with it.

  --with FILE.ko      load this module first (may be repeated)
  -b, --basedir BASE  a module tree: names, dependencies come from there (default /)
  -k, --kernel KVER   the tree's kernel release
  --all               every module of the tree, one JSON object per line, then a summary
  --example NAME      a module that is built into this program (--example list names them)
  --vmlinux IMAGE     the kernel is this one (vmlinux, vmlinuz, or BTF): its layouts, release and symbol versions
                      (default: layouts of the stock kernel, of a matching image, or of the debug information)
  --symvers FILE      check symbol versions with this Module.symvers
  --profile NAME      rules of kernel 2.6.32, 3.0, 4.1, 4.4, 6.1 or 6.12
                      (default: the newest that is not newer than the module)
  --no-faults         do not make the calls that can fail fail, each once
  --schedules N       runs with the tasks in another order (default 4)
  --cycles N          load and unload N times in each run (default 2)
  --probe             a driver of the platform, PCI or I2C bus finds a device that its table names: probe() and
                      remove() are called as well
  --once              one plain run: no faults, one order, one load
  --replay TOKEN      repeat the run of a finding exactly
  --json              the report as JSON
  --sarif FILE        the report as SARIF 2.1.0 as well, for code review systems
  --html FILE         the report as a page as well, with a picture of the life
  --dmesg             show the lab's kernel log as well
  --coverage          print the table of kernel functions and how each is answered
  -h, --help          this text

exit status: 0 no finding, 1 findings, 2 could not judge
";

#[derive(Default, Clone)]
pub(crate) struct Options {
    file: Option<PathBuf>,
    params: Vec<String>,
    with: Vec<PathBuf>,
    base: Option<PathBuf>,
    kernel: Option<String>,
    all: bool,
    shard: Option<(usize, usize)>,
    example: Option<String>,
    profile: Option<String>,
    json: bool,
    sarif: Option<PathBuf>,
    html: Option<PathBuf>,
    dmesg: bool,
    coverage: bool,
    cycles: Option<u32>,
    probe: bool,
    no_faults: bool,
    schedules: Option<u32>,
    once: bool,
    replay: Option<String>,
    vmlinux: Option<PathBuf>,
    symvers: Option<PathBuf>,
}

impl Options {
    /// What is tried beside the plain run.
    fn sweep(&self) -> sweep::Sweep {
        sweep::Sweep {
            faults: !self.no_faults && !self.once,
            schedules: self
                .schedules
                .unwrap_or(if self.once { 0 } else { SCHEDULES }),
        }
    }
}

/// Runs with the tasks in another order, unless told otherwise.
const SCHEDULES: u32 = 4;

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
            Short('b') | Long("basedir") => {
                options.base = Some(parser.value().map_err(fail)?.into())
            }
            Short('k') | Long("kernel") => {
                options.kernel = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("all") => options.all = true,
            Long("shard") => {
                let text = parser.value().map_err(fail)?.string().map_err(fail)?;
                let (index, of) = text.split_once('/').ok_or("--shard wants N/M")?;
                let number = |t: &str| t.parse::<usize>().map_err(|e| e.to_string());
                options.shard = Some((number(index)?, number(of)?.max(1)));
            }
            Long("example") => {
                options.example = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("profile") => {
                options.profile = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("json") => options.json = true,
            Long("sarif") => options.sarif = Some(parser.value().map_err(fail)?.into()),
            Long("html") => options.html = Some(parser.value().map_err(fail)?.into()),
            Long("dmesg") => options.dmesg = true,
            Long("coverage") => options.coverage = true,
            Long("probe") => options.probe = true,
            Long("once") => options.once = true,
            Long("no-faults") => options.no_faults = true,
            Long("schedules") => {
                options.schedules = Some(parser.value().map_err(fail)?.parse().map_err(fail)?)
            }
            Long("vmlinux") => options.vmlinux = Some(parser.value().map_err(fail)?.into()),
            Long("symvers") => options.symvers = Some(parser.value().map_err(fail)?.into()),
            Long("replay") => {
                options.replay = Some(parser.value().map_err(fail)?.string().map_err(fail)?)
            }
            Long("cycles") => {
                options.cycles = Some(parser.value().map_err(fail)?.parse().map_err(fail)?)
            }
            Value(value) if options.file.is_none() && options.example.is_none() => {
                options.file = Some(value.into())
            }
            Value(value) => options.params.push(value.string().map_err(fail)?),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    Ok(options)
}

/// Reads a module file and decompresses it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    const MAX: u64 = 512 << 20;
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if path.is_dir() {
        return Err(told(&"is a directory"));
    }
    // A device or a pipe has no length beforehand.
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| told(&e))?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX + 1), &mut bytes)
        .map_err(|e| told(&e))?;
    if bytes.len() as u64 > MAX {
        return Err(told(&"is too large for a module"));
    }
    let plain = lkm_object::compress::decompress(&bytes, MAX as usize).map_err(|e| told(&e))?;
    match plain {
        std::borrow::Cow::Borrowed(_) => Ok(bytes),
        std::borrow::Cow::Owned(plain) => Ok(plain),
    }
}

/// Writes a file whole or not at all; what is no regular file (a pipe, a terminal) is written to.
fn save(path: &Path, text: &str) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return std::fs::write(path, text).map_err(|e| told(&e));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(|e| told(&e))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|e| told(&e))?;
    file.persist(path).map_err(|e| told(&e.error))?;
    Ok(())
}

fn input(path: &Path, params: String) -> Result<Input, String> {
    let image = read(path)?;
    Ok(named(image, &path.to_string_lossy(), params))
}

/// An input under the name its file gives it; even one that the kernel will refuse has a name in the report.
fn named(image: Vec<u8>, path: &str, params: String) -> Input {
    let name = match ModuleFile::parse(&image) {
        Ok(file) if !file.name.is_empty() => file.name.to_owned(),
        _ => crate::tree::module_name(path),
    };
    Input {
        name,
        image: Rc::new(image),
        params,
    }
}

fn rehearse(options: &Options) -> Result<ExitCode, String> {
    if options.coverage {
        out!("{}", lkm_kernel::coverage());
        return Ok(ExitCode::SUCCESS);
    }
    if options.all {
        if options.html.is_some() {
            return Err("--html draws one module's life, not a tree's; see --help".into());
        }
        return all::all(options);
    }
    let plan = plan(options)?;
    let profile = match &options.profile {
        Some(name) => {
            Profile::named(name).ok_or_else(|| format!("no profile {name}; see --help"))?
        }
        None => Profile::for_release(&run::release_of(&plan.module.image)),
    };
    let release = options
        .kernel
        .clone()
        .unwrap_or_else(|| run::release_of(&plan.module.image));
    let image = options.vmlinux.as_deref();
    let chosen = layouts::choose(&plan.module.image, &release, profile.name, image);
    let mut lab = match chosen {
        Err(why) if image.is_some() => return Err(why),
        Err(why) => {
            let report = Report::refused(&plan.module.name, profile.name, &why);
            return show(options, &report, Picture::default);
        }
        Ok(layouts) => lab(profile, &release, layouts, &plan, options)?,
    };
    let (report, ran) = match &options.replay {
        Some(token) => sweep::again(&mut lab, &plan, token, options.dmesg)?,
        None => sweep::sweep(&mut lab, &plan, options.sweep(), options.dmesg)?,
    };
    show(options, &report, || {
        ran.map(|ran| lab.picture(&plan, &ran)).unwrap_or_default()
    })
}

/// A lab on these layouts. An image that was asked for is the kernel: its release and versions count.
fn lab(
    profile: Profile,
    release: &str,
    layouts: layouts::Layouts,
    plan: &Plan,
    options: &Options,
) -> Result<Lab, String> {
    let image = layouts.release.clone();
    let crcs = options
        .symvers
        .as_deref()
        .map(layouts::read_symvers)
        .transpose()?;
    let release = image.as_deref().unwrap_or(release);
    Lab::on(profile, release, layouts, |o| {
        if let Some(image) = &image {
            let theirs = ModuleFile::parse(&plan.module.image).map(|m| m.vermagic.to_owned());
            // The flags behind the release are those of its configuration, which the module is taken to share.
            let flags = theirs.unwrap_or_default();
            let flags = flags.split_once(' ').map_or("", |(_, flags)| flags);
            o.vermagic = Some(format!("{image} {flags}"));
        }
        if crcs.is_some() {
            o.crcs = crcs;
        }
    })
}

/// Prints and saves a report; its verdict is the exit status.
fn show(
    options: &Options,
    report: &Report,
    picture: impl FnOnce() -> Picture,
) -> Result<ExitCode, String> {
    if let Some(path) = &options.html {
        save(path, &lkm_judge::report::html::html(report, &picture()))?;
    }
    if let Some(path) = &options.sarif {
        let mut log = Sarif::new();
        let value = serde_json::to_value(report).map_err(|e| e.to_string())?;
        log.add(&value, options.file.as_deref().and_then(Path::to_str));
        save(path, &log.finish())?;
    }
    if options.json {
        out!("{}\n", lkm_judge::report::json::pretty(report));
    } else {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        out!("{}", lkm_judge::report::text::text(report, colour));
    }
    Ok(ExitCode::from(match report.verdict {
        Verdict::Clean => 0,
        Verdict::Findings => 1,
        _ => 2,
    }))
}

/// What is to be run: a file, a name of a tree with its dependencies, or an example.
fn plan(options: &Options) -> Result<Plan, String> {
    let params = options.params.join(" ");
    let cycles = options.cycles.unwrap_or(if options.once { 1 } else { 2 });
    let mut with = options
        .with
        .iter()
        .map(|path| input(path, String::new()))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = &options.example {
        let (module, needs) = crate::examples::find(name)?;
        with.extend(
            needs
                .iter()
                .map(|(name, bytes)| named(bytes.to_vec(), name, String::new())),
        );
        return Ok(Plan {
            with,
            module: named(module.to_vec(), name, params),
            cycles,
            answers: Answers::Plain,
            probe: options.probe,
        });
    }
    let file = options
        .file
        .as_deref()
        .ok_or("no module given; see --help")?;
    let text = file.to_string_lossy();
    let is_name = !text.contains('/') && !text.contains(".ko") && !file.exists();
    if !is_name && options.kernel.is_none() {
        return Ok(Plan {
            with,
            module: input(file, params)?,
            cycles,
            answers: Answers::Plain,
            probe: options.probe,
        });
    }
    let release = options
        .kernel
        .clone()
        .or_else(running_release)
        .ok_or("which kernel? give -k KVER")?;
    let base = options.base.clone().unwrap_or_else(|| "/".into());
    let tree = Tree::open(&base, &release)?;
    let (name, module) = if is_name {
        let name = text.replace('-', "_");
        let image = tree.image(&name, false)?;
        (
            name.clone(),
            Input {
                name,
                image,
                params,
            },
        )
    } else {
        let module = input(file, params)?;
        (module.name.clone(), module)
    };
    let mut needs = tree.dependencies(&name);
    if needs.is_empty()
        && let Ok(parsed) = ModuleFile::parse(&module.image)
    {
        // A module from outside of the tree names what it needs itself.
        for need in parsed.depends() {
            needs.extend(tree.dependencies(need));
            needs.push(need.replace('-', "_"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for need in needs.into_iter().filter(|n| seen.insert(n.clone())) {
        if !with.iter().any(|w| w.name == need) {
            with.push(Input {
                image: tree.image(&need, false)?,
                name: need,
                params: String::new(),
            });
        }
    }
    Ok(Plan {
        with,
        module,
        cycles,
        answers: Answers::Plain,
        probe: options.probe,
    })
}

/// uname -r.
fn running_release() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .map(|s| s.trim().to_owned())
}
