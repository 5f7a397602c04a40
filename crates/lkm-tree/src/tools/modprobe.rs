//! modprobe(8): the command line. What it does is in [`load`], [`remove`] and
//! [`show`].

mod load;
mod options;
mod remove;
mod show;

pub use options::MODPROBE;
use options::take;

use super::{MODULE_DIRECTORY, World, options_from_args};
use crate::args::Event;
use crate::bytes;
use crate::catalog::{Catalog, ModuleId};
use crate::config::{Config, modprobe::DEFAULT_PATHS};
use crate::errno::Errno;
use crate::insert::Force;
use crate::json::Json;
use crate::log::{Level, Log};

/// Why modprobe ends: at once, as after a FATAL message, or with an error.
enum Fail {
    Exit,
    Error(Errno),
}

type Done = Result<(), Fail>;

impl From<Errno> for Fail {
    fn from(e: Errno) -> Fail {
        Fail::Error(e)
    }
}

/// What was asked for.
#[derive(Default)]
struct Request {
    all: bool,
    remove: bool,
    remove_holders: bool,
    wait_msec: u64,
    first_time: bool,
    ignore_commands: bool,
    use_blacklist: bool,
    force: bool,
    force_parts: Force,
    dry_run: bool,
    show: bool,
    ignore_loaded: bool,
    lookup_only: bool,
    show_config: bool,
    show_modversions: bool,
    show_exports: bool,
    json: bool,
    ignore_deny: bool,
    config: Vec<Vec<u8>>,
    extra: Vec<Vec<u8>>,
    root: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
    syslog: bool,
    verbosity: i32,
    /// `MODPROBE_OPTIONS` for the commands it runs.
    environment: Option<Vec<u8>>,
}

impl Request {
    /// Whether only something is to be shown of the configuration or of a module.
    fn queries(&self) -> bool {
        self.show_config || self.show_modversions || self.show_exports
    }

    fn pass_on(&mut self, word: &[u8]) {
        self.environment = Some(match self.environment.take() {
            Some(old) => bytes!(old, " ", word),
            None => word.to_vec(),
        });
    }
}

/// All that the parts work with.
struct Session<'s, 'a> {
    r: &'s Request,
    catalog: Catalog<'a>,
    out: &'s mut dyn std::io::Write,
    log: Log<'s>,
    /// The steps of all modules that were asked for, where they are to be JSON.
    json: Option<Json>,
}

impl Session<'_, '_> {
    /// A message that ends modprobe, unless several modules were asked for.
    fn fatal(&mut self, text: impl AsRef<[u8]>, error: Errno) -> Fail {
        let level = if self.r.all {
            Level::WARNING
        } else {
            Level::FATAL
        };
        if self.log.say(level, text) && level == Level::FATAL {
            return Fail::Exit;
        }
        Fail::Error(error)
    }

    /// Prints what the catalog met.
    fn report(&mut self) {
        for e in std::mem::take(&mut self.catalog.errors) {
            self.log.error(e);
        }
    }

    /// What is to be told of each action.
    fn shows(&self) -> bool {
        self.r.show || self.r.verbosity > Level::WARNING.0
    }

    fn print(&mut self, text: impl AsRef<[u8]>) -> Done {
        self.out
            .write_all(text.as_ref())
            .map_err(|e| Fail::Error(e.into()))
    }

    /// The modules that an argument means: a path, a name or an alias.
    fn modules(&mut self, given: &[u8]) -> Result<Vec<ModuleId>, Fail> {
        if given.starts_with(b"/") || given.starts_with(b"./") {
            let found = self.catalog.by_path(given);
            self.report();
            return match found {
                Ok(id) => Ok(vec![id]),
                Err(e) => {
                    let text = bytes!("Failed to get module from path ", given, ": ", e.text());
                    Err(self.fatal(text, Errno::ENOENT))
                }
            };
        }
        let found = self.catalog.lookup(given);
        self.report();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => {
                let text = bytes!(
                    "Module ",
                    given,
                    " not found in directory ",
                    self.catalog.dirname()
                );
                Err(self.fatal(text, Errno::ENOENT))
            }
        }
    }

    /// Runs the command of an install or remove line.
    fn run_command(&self, kind: &str, m: ModuleId, command: &[u8]) -> crate::host::Ended {
        let _ = kind;
        let mut env: Vec<(&str, &[u8])> = vec![("MODPROBE_MODULE", self.catalog.name(m))];
        if let Some(options) = &self.r.environment {
            env.push(("MODPROBE_OPTIONS", options));
        }
        self.log.host.system(command, &env)
    }
}

/// Replaces `$CMDLINE_OPTS`.
fn fill_in(command: &[u8], options: &[u8]) -> Vec<u8> {
    const VARIABLE: &[u8] = b"$CMDLINE_OPTS";
    let mut out = Vec::new();
    let mut rest = command;
    while let Some(at) = rest.windows(VARIABLE.len()).position(|w| w == VARIABLE) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(options);
        rest = &rest[at + VARIABLE.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Splits `MODPROBE_OPTIONS` at blanks; quotes keep them together.
fn split_environment(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut quote = None;
    let mut started = false;
    for &c in text {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if c == b'"' || c == b'\'' => {
                quote = Some(c);
                started = true;
            }
            None if c == b' ' => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            None => word.push(c),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let environment = world.host.env("MODPROBE_OPTIONS");
    let mut all = environment
        .as_deref()
        .map(split_environment)
        .unwrap_or_default();
    all.extend_from_slice(args);
    let parsed = world.parse(&MODPROBE.tool, &all);
    let mut r = Request {
        verbosity: Level::WARNING.0,
        environment,
        ..Request::default()
    };
    for event in &parsed.events {
        if let Some(code) = world.common_option(&MODPROBE.tool, event) {
            return code;
        }
        if let Event::Opt(name, value) = event
            && let Err(text) = take(&mut r, world, name, value.clone().unwrap_or_default())
        {
            world.log().error(text);
            return 1;
        }
    }
    if !r.syslog && world.host.stderr_closed() {
        r.syslog = true;
    }
    let mut log = world.log();
    log.syslog = r.syslog;
    if !r.show_config && parsed.rest.is_empty() {
        log.error("missing parameters. See -h.");
        return 1;
    }
    let version = match &r.version {
        Some(v) => v.clone(),
        None => match world.kernel.release() {
            Ok(v) => v,
            Err(e) => {
                world.log().error(format!("uname() failed: {e}"));
                return 1;
            }
        },
    };
    let root = r.root.clone().unwrap_or_default();
    let dirname = bytes!(root, MODULE_DIRECTORY, "/", version);
    if dirname.len() >= crate::text::PATH_MAX {
        world
            .log()
            .error(bytes!("bad directory ", dirname, ": path too long"));
        return 1;
    }
    let Ok(dirname) = world.fs.absolute(&dirname) else {
        world.log().error("kmod_new() failed!");
        return 1;
    };
    let paths: Vec<&[u8]> = match r.config.is_empty() {
        true => DEFAULT_PATHS.to_vec(),
        false => r.config.iter().map(|c| &c[..]).collect(),
    };
    let command_line = world.kernel.command_line().ok();
    let config = Config::load(world.fs, &dirname, &paths, command_line.as_deref());
    world.log().complaints(&config.complaints);

    let program = world.program();
    let extra: Vec<Vec<u8>> = config
        .directories
        .iter()
        .chain(&r.extra)
        .map(|d| bytes!(d, "/", version))
        .collect();
    let mut catalog = Catalog::new(world.fs, world.kernel, dirname, config);
    for d in extra {
        catalog.add_directory(d);
    }
    let mut session = Session {
        r: &r,
        catalog,
        out: &mut *world.out,
        log: Log {
            program,
            limit: Level(r.verbosity),
            syslog: r.syslog,
            host: world.host,
            err: &mut *world.err,
        },
        json: (r.json && r.show && !r.remove && !r.lookup_only && !r.queries()).then(Json::new),
    };
    if let Some(j) = &mut session.json {
        j.open('[');
    }
    let mut done = act(&mut session, &parsed.rest);
    if let Some(mut j) = session.json.take() {
        j.close(']');
        done = session.print(j.finish()).and(done);
    }
    session.report();
    let code = i32::from(done.is_err());
    let written = world.out.flush();
    code.max(world.finish(written))
}

fn act(s: &mut Session<'_, '_>, args: &[Vec<u8>]) -> Done {
    let r = s.r;
    if r.show_config {
        return show::config(s);
    }
    if r.show_modversions {
        return show::modversions(s, &args[0]);
    }
    if r.show_exports {
        return show::exports(s, &args[0]);
    }
    // All are tried; the last failure is the result.
    let each = |s: &mut Session<'_, '_>, f: &dyn Fn(&mut Session<'_, '_>, &[u8]) -> Done| {
        let mut result = Ok(());
        for a in args {
            match f(s, a) {
                Err(Fail::Exit) => return Err(Fail::Exit),
                Err(e) => result = Err(e),
                Ok(()) => {}
            }
        }
        result
    };
    if r.remove {
        return each(s, &remove::remove);
    }
    if r.all {
        return each(s, &|s, a| load::load(s, a, &[]));
    }
    load::load(s, &args[0], &options_from_args(&args[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_words() {
        let words = split_environment(b"-C '/a b' --x=\"y z\"  -q");
        assert_eq!(
            words,
            [&b"-C"[..], b"/a b", b"--x=y z", b"-q"].map(<[u8]>::to_vec)
        );
    }

    #[test]
    fn command_options() {
        assert_eq!(
            fill_in(b"a $CMDLINE_OPTS b $CMDLINE_OPTS", b"x=1"),
            b"a x=1 b x=1"
        );
    }
}
