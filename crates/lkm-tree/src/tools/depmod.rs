//! depmod(8).

mod memory;
mod quick;
mod read;

use memory::Memory;
use quick::up_to_date;
use read::read_all;

use super::{Applet, MODULE_DIRECTORY, World};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::config::depmod::{DEFAULT_PATHS, DepmodConfig};
use crate::depmod::output::{Input, Notes};
use crate::depmod::publish::{PublishError, publish, remove_leftovers};
use crate::depmod::resolve::{Checks, Tree, Unresolved, order};
use crate::depmod::scan::{Found, Scan};
use crate::depmod::{MODULES_MAX, cycles, output, symbols};
use crate::emit;
use crate::errno::Errno;
use crate::fs::{Files, OpenDir};
use crate::log::{Level, Log};

pub static DEPMOD: Applet = Applet {
    tool: Tool {
        name: "depmod",
        summary: "generate modules.dep and map files",
        usage: &["[-b DIR] [-e] [-E FILE | -F FILE] [-n] [-v] [-A] [VERSION] [FILE...]"],
        options: &[
            opt(b'a', "all", "Probe all modules"),
            opt(b'A', "quick", "Only do the work if there is a newer module"),
            opt(b'b', "basedir", "Use DIR as file system root").arg("DIR"),
            opt(
                b'm',
                "moduledir",
                "Module directory below the root (default: /lib/modules)",
            )
            .arg("DIR"),
            opt(b'o', "outdir", "Write below DIR (default: the basedir)").arg("DIR"),
            opt(
                b'C',
                "config",
                "Read configuration from PATH; may be repeated",
            )
            .arg("PATH"),
            opt(
                b'E',
                "symvers",
                "Check symbol versions against this Module.symvers",
            )
            .arg("FILE"),
            opt(
                b'F',
                "filesyms",
                "Take the kernel's symbols from this System.map",
            )
            .arg("FILE"),
            opt(
                b'e',
                "errsyms",
                "Report symbols that nothing supplies (needs -E or -F)",
            ),
            opt(
                b'v',
                "verbose",
                "Be verbose: say which module needs which, and why",
            ),
            opt(
                b'n',
                "show",
                "Write the text tables to standard output, and no file",
            ),
            opt(b'n', "dry-run", "The same as --show"),
            opt(
                b'P',
                "symbol-prefix",
                "Skip this character in front of symbols",
            )
            .arg("CHAR"),
            opt(b'w', "warn", "Warn on duplicates"),
            opt(
                0,
                "incremental",
                "Remember what modules contain, and read only changed ones; once done, every run does",
            )
            .ours(),
            opt(0, "no-incremental", "Read all modules, and forget what was remembered").ours(),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[
            (
                "Description",
                "Reads every module below /lib/modules/VERSION, on all processors, and writes \
                 modules.dep, modules.alias, modules.symbols, modules.softdep, modules.weakdep, \
                 modules.devname and the binary indexes that modprobe reads. The files equal \
                 kmod's byte for byte. They are replaced together and atomically: when depmod is \
                 killed, or the disk is full, the old ones or the new ones are there.",
            ),
            (
                "",
                "A module that is damaged, or a module or directory that cannot be read, is named and \
                 left out, the others are indexed, and the exit status is 1.",
            ),
            (
                "Incremental runs",
                "With --incremental, what modules contain is remembered in modules.lkm-cache and \
                 modules.lkm-facts. As long as the first is there, later runs read only modules \
                 that came or whose inode, size or times have changed, and write only indexes in \
                 which something changes; the result is the same. --no-incremental removes both.",
            ),
            (
                "Configuration",
                "Read from *.conf in /etc/depmod.d, /run/depmod.d, /usr/local/lib/depmod.d, \
                 /usr/lib/depmod.d and /lib/depmod.d. Directives: search DIR..., override MODULE \
                 VERSION DIR, external VERSION DIR, exclude DIR.... VERSION is * or an extended \
                 regular expression.",
            ),
        ],
        posix: false,
    },
    run,
};

#[derive(Default)]
struct Request {
    all: bool,
    quick: bool,
    root: Vec<u8>,
    module_directory: Option<Vec<u8>>,
    outdir: Option<Vec<u8>>,
    config: Vec<Vec<u8>>,
    symvers: Option<Vec<u8>>,
    system_map: Option<Vec<u8>>,
    checks: Checks,
    verbosity: i32,
    show: bool,
    warn_duplicates: bool,
    incremental: bool,
    no_incremental: bool,
}

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&DEPMOD.tool, args);
    let mut r = Request::default();
    for event in &parsed.events {
        if let Some(code) = world.common_option(&DEPMOD.tool, event) {
            return code;
        }
        let Event::Opt(name, value) = event else {
            continue;
        };
        let value = value.clone().unwrap_or_default();
        match *name {
            "all" => r.all = true,
            "quick" => r.quick = true,
            "basedir" | "outdir" => match world.fs.absolute(&value) {
                Ok(p) if *name == "basedir" => r.root = p,
                Ok(p) => r.outdir = Some(p),
                Err(_) => {
                    let what = if *name == "basedir" {
                        "image path "
                    } else {
                        "output directory "
                    };
                    world.log().error(bytes!("invalid ", what, value));
                    return 1;
                }
            },
            "moduledir" => r.module_directory = Some(value),
            "config" => r.config.push(value),
            "symvers" => {
                r.symvers = Some(value);
                r.checks.versions = true;
            }
            "filesyms" => r.system_map = Some(value),
            "errsyms" => r.checks.unknown = true,
            "verbose" => r.verbosity += 1,
            "show" | "dry-run" => r.show = true,
            "symbol-prefix" => match value[..] {
                [c] => r.checks.prefix = Some(c),
                _ => {
                    world.log().say(Level::FATAL, "-P only takes a single char");
                    return 1;
                }
            },
            "warn" => r.warn_duplicates = true,
            "incremental" => r.incremental = true,
            "no-incremental" => r.no_incremental = true,
            _ => {}
        }
    }
    match depmod(world, r, &parsed.rest) {
        Ok(()) => 0,
        Err(code) => code,
    }
}

/// `%u.%u`, whatever follows.
fn is_version_number(v: &[u8]) -> bool {
    let mut parts = v.splitn(2, |&c| c == b'.');
    let (Some(a), Some(b)) = (parts.next(), parts.next()) else {
        return false;
    };
    !a.is_empty() && a.iter().all(u8::is_ascii_digit) && b.first().is_some_and(u8::is_ascii_digit)
}

fn depmod(world: &mut World<'_>, mut r: Request, rest: &[Vec<u8>]) -> Result<(), i32> {
    let (fs, host, kernel) = (world.fs, world.host, world.kernel);
    let program = world.program();
    let out = &mut *world.out;
    let mut log = Log {
        program,
        limit: Level(Level::WARNING.0 + r.verbosity),
        syslog: false,
        host,
        err: world.err,
    };
    let (version, files) = match rest.split_first() {
        Some((v, files)) if is_version_number(v) => (v.clone(), files),
        Some((v, _)) => {
            log.error(bytes!("Bad version passed ", v));
            return Err(1);
        }
        None => match kernel.release() {
            Ok(v) => (v, rest),
            Err(e) => {
                log.say(Level::FATAL, format!("uname() failed: {e}"));
                return Err(1);
            }
        },
    };
    let below = match &r.module_directory {
        Some(d) => d
            .iter()
            .position(|&c| c != b'/')
            .map_or(&b""[..], |at| &d[at..])
            .to_vec(),
        None => MODULE_DIRECTORY[1..].into(),
    };
    let dirname = bytes!(r.root, "/", below, "/", version);
    let outname = bytes!(
        r.outdir.as_ref().unwrap_or(&r.root),
        "/",
        below,
        "/",
        version
    );
    for d in [&dirname, &outname] {
        if d.len() >= crate::text::PATH_MAX {
            log.error(bytes!("Bad directory ", d, ": path too long"));
            return Err(1);
        }
    }
    r.all |= files.is_empty();
    if r.quick {
        if r.show || up_to_date(fs, &dirname, &mut log) {
            return Ok(());
        }
        r.all = true;
    }

    let mut tree = Tree::default();
    load_kernel_symbols(fs, &mut r, &mut tree, &mut log)?;

    let paths: Vec<&[u8]> = match r.config.is_empty() {
        true => DEFAULT_PATHS.to_vec(),
        false => r.config.iter().map(|c| &c[..]).collect(),
    };
    let mut failed = false;
    let config = match r.all {
        true => DepmodConfig::load(fs, &paths, &version),
        false => DepmodConfig::default(),
    };
    for c in &config.complaints {
        log.say(if c.minor { Level::INFO } else { Level::ERROR }, &c.text);
    }
    let mut memory = Memory::open(fs, &outname, &r, &config);
    if memory.rerun(fs, &dirname, &outname, &config) {
        return Ok(());
    }
    let mut clean = config.complaints.is_empty();
    let mut scan = Scan::new(fs, &dirname, &config);
    scan.searched = memory.on.then(Vec::new);
    find(&mut scan, r.all, files, &mut log)?;
    clean &= scan.errors.is_empty() && !scan.ambiguous;
    failed |= scan.incomplete;
    let (mut found, searched) = (scan.found, scan.searched.unwrap_or_default());
    if found.len() >= MODULES_MAX {
        log.say(
            Level::FATAL,
            format!(
                "could not build module array: {} modules are too many",
                found.len()
            ),
        );
        return Err(1);
    }

    let dir = fs.open_dir(&dirname).ok();
    let mut missing = Vec::new();
    let source = |name: &str, missing: &mut Vec<Vec<u8>>| {
        read_source(dir.as_deref(), &dirname, name, missing)
    };
    let modules_order = source("modules.order", &mut missing);
    for w in missing.drain(..) {
        log.warn(w);
    }
    if let Some(line) = order(&mut found, modules_order.as_deref()) {
        let text = format!("modules.order:{line} corrupted line misses '\\n'");
        log.error(bytes!(dirname, "/", text));
        clean = false;
    }

    memory.recall(fs, &outname);
    let read = read_all(fs, host, &found, &r, &memory);
    memory.take(&dirname, &searched, &found, &read);
    let mut modules = Vec::with_capacity(found.len());
    for (found, read) in found.into_iter().zip(read) {
        match read.facts {
            Ok(facts) => modules.push((found, facts)),
            Err(e) => {
                let text = e.to_string();
                log.error(bytes!(
                    "failed to load symbols from ",
                    found.path,
                    ": ",
                    text
                ));
                failed = true;
            }
        }
    }
    tree.add_modules(modules, r.checks);
    r.checks.needs = r.verbosity > 0;
    let resolution = tree.resolve(r.checks);
    for n in &resolution.needs {
        let path = |m: usize| &tree.modules[m].found.path;
        if emit!(
            out,
            path(n.module),
            " needs \"",
            n.symbol,
            "\": ",
            path(n.owner),
            "\n"
        )
        .is_err()
        {
            failed = true;
        }
    }
    let resolution_is_silent = resolution.unresolved.is_empty();
    for u in resolution.unresolved {
        match u {
            Unresolved::Unknown { module, symbol } => {
                let path = &tree.modules[module].found.path;
                log.warn(bytes!(path, " needs unknown symbol ", symbol));
            }
            Unresolved::Version { module, symbol } => {
                let path = &tree.modules[module].found.path;
                log.warn(bytes!(path, " disagrees about version of symbol ", symbol));
            }
        }
    }
    let ranks = tree.deps.ranks().map_err(|users| {
        report_cycles(&tree, &users, &mut log);
        1
    })?;

    // What is missing is told at the place where kmod would notice.
    let mut notes = Notes::default();
    let (builtin, modinfo) = match r.show {
        true => (None, None),
        false => (
            source("modules.builtin", &mut notes.missing[0]),
            source("modules.builtin.modinfo", &mut notes.missing[1]),
        ),
    };
    let missing = notes.missing.iter().map(Vec::len).sum::<usize>();
    let input = Input {
        tree: &tree,
        builtin: builtin.as_deref(),
        builtin_modinfo: modinfo.as_deref(),
        warn_duplicates: r.warn_duplicates,
        closures: &tree.deps.closures(&ranks),
    };
    let contents = output::files(&input, !r.show, &mut notes);
    for w in &notes.warnings {
        log.warn(w);
    }
    for e in &notes.errors {
        log.error(e);
    }
    failed |= notes.incomplete;
    clean &= notes.warnings.len() == missing && notes.errors.is_empty();
    if r.show {
        for f in contents.iter().filter(|f| f.text) {
            if emit!(out, f.content).is_err() {
                failed = true;
            }
        }
    } else {
        clean &= !failed && resolution_is_silent;
        let dir = write(fs, &outname, &contents, &mut log)?;
        memory.save(fs, &dirname, &*dir, (&tree, &contents), clean);
    }
    if failed || out.flush().is_err() {
        Err(1)
    } else {
        Ok(())
    }
}

fn load_kernel_symbols(
    fs: &dyn Files,
    r: &mut Request,
    tree: &mut Tree,
    log: &mut Log<'_>,
) -> Result<(), i32> {
    type Add = fn(&mut Tree, &[u8], &[u8], Option<u8>) -> Vec<Vec<u8>>;
    let (path, add): (&Vec<u8>, Add) = match (&r.symvers, &r.system_map) {
        (Some(path), _) => (path, symbols::add_symvers),
        (None, Some(path)) => (path, symbols::add_system_map),
        (None, None) => {
            if r.checks.unknown {
                log.warn("-e needs -E or -F");
                r.checks.unknown = false;
            }
            return Ok(());
        }
    };
    match fs.read_named(path, crate::config::FILE_MAX) {
        Ok(text) => {
            for e in add(tree, path, &text, r.checks.prefix) {
                log.error(e);
            }
            Ok(())
        }
        Err(e) => {
            log.say(
                Level::FATAL,
                bytes!("could not load ", path, ": ", e.text()),
            );
            Err(1)
        }
    }
}

fn find(scan: &mut Scan<'_>, all: bool, files: &[Vec<u8>], log: &mut Log<'_>) -> Result<(), i32> {
    if all {
        let searched = scan.search();
        for e in &scan.errors {
            log.error(e);
        }
        if let Err(e) = searched {
            log.say(Level::FATAL, format!("could not search modules: {e}"));
            return Err(1);
        }
        return Ok(());
    }
    for path in files {
        if !path.starts_with(b"/") {
            log.say(Level::FATAL, bytes!(path, ": not absolute path."));
            return Err(1);
        }
        let found = match scan.fs.stat(path) {
            Ok(_) => Found::named(path, scan.dirname).ok_or(Errno::ENOENT),
            Err(e) => Err(e),
        };
        match found {
            Ok(found) => {
                if !scan.add_named(found) {
                    let text = bytes!("could not add module ", path, ": ", Errno::EEXIST.text());
                    log.say(Level::FATAL, text);
                    return Err(1);
                }
            }
            Err(e) => {
                log.say(
                    Level::FATAL,
                    bytes!("could not create module ", path, ": ", e.text()),
                );
                return Err(1);
            }
        }
    }
    Ok(())
}

/// A file of the module directory that something is made from.
fn read_source(
    dir: Option<&dyn OpenDir>,
    dirname: &[u8],
    name: &str,
    missing: &mut Vec<Vec<u8>>,
) -> Option<Vec<u8>> {
    let Some(dir) = dir else {
        let text = Errno::ENOENT.text();
        missing.push(bytes!("could not open directory ", dirname, ": ", text));
        return None;
    };
    match dir
        .file(name.as_bytes())
        .and_then(|f| f.read_all(crate::config::FILE_MAX))
    {
        Ok(text) => Some(text),
        Err(e) => {
            missing.push(bytes!(
                "could not open ",
                name,
                " at ",
                dirname,
                ": ",
                e.text()
            ));
            None
        }
    }
}

fn report_cycles(tree: &Tree, users: &[u32], log: &mut Log<'_>) {
    let (found, count) = cycles::find(&tree.deps, users);
    for cycle in found {
        let names: Vec<&[u8]> = cycle
            .iter()
            .map(|&m| tree.modules[m as usize].name())
            .collect();
        log.error(bytes!("Cycle detected: ", names.join(&b" -> "[..])));
    }
    log.error(format!("Found {count} modules in dependency cycles!"));
}

/// Writes the indexes; the directory they are in.
fn write(
    fs: &dyn Files,
    outname: &[u8],
    contents: &[output::File],
    log: &mut Log<'_>,
) -> Result<Box<dyn OpenDir>, i32> {
    if let Err(e) = fs.make_dirs(outname) {
        log.say(
            Level::FATAL,
            bytes!("could not create directory ", outname, ": ", e.text()),
        );
        return Err(1);
    }
    let dir = fs.open_dir(outname).map_err(|e| {
        log.say(
            Level::FATAL,
            bytes!("could not open directory ", outname, ": ", e.text()),
        );
        1
    })?;
    let alive = |pid: u32| fs.stat(format!("/proc/{pid}").as_bytes()).is_ok();
    remove_leftovers(&*dir, &alive);
    match publish(&*dir, contents) {
        Ok(()) => Ok(dir),
        Err(e) => {
            let text = match e {
                PublishError::Write(name, e) => format!("Could not write index '{name}': {e}"),
                PublishError::Rename(name, e) => format!("Could not rename index '{name}': {e}"),
            };
            log.error(text);
            Err(1)
        }
    }
}
