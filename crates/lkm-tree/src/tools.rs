//! The six tools, and the name `kmod` itself: arguments in, action, text out.
//!
//! Texts and exit codes are kmod's; `docs/undocumented-kmod-behavior.md` lists
//! where these differ on purpose.

pub mod depmod;
pub mod graph;
pub mod insmod;
pub mod kmod;
pub mod lsmod;
pub mod modinfo;
pub mod modprobe;
pub mod rmmod;

use std::io::Write;

use crate::args::{Event, Parsed, Tool, parse};
use crate::emit;
use crate::fs::Files;
use crate::host::{Host, Process, System};
use crate::kernel::Kernel;
use crate::log::{Level, Log};
use crate::text::basename;

/// What a tool works on, and where it writes.
pub struct World<'a> {
    pub fs: &'a dyn Files,
    pub kernel: &'a dyn Kernel,
    pub host: &'a dyn Host,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// The name it was called by, with its path.
    pub argv0: Vec<u8>,
}

/// Where modules are, below the root.
pub const MODULE_DIRECTORY: &str = "/lib/modules";

/// What the tools say of themselves after `-V`: the kmod whose behaviour they
/// have, the compressions and the signatures they read.
pub const VERSION: &str = concat!(
    "kmod version 34\n+ZSTD +XZ +ZLIB +OPENSSL -MBEDTLS\nlkm version ",
    env!("CARGO_PKG_VERSION"),
    "\n"
);

/// All tools, by the names they are called by.
pub static TOOLS: [&Applet; 7] = [
    &lsmod::LSMOD,
    &rmmod::RMMOD,
    &insmod::INSMOD,
    &modinfo::MODINFO,
    &modprobe::MODPROBE,
    &depmod::DEPMOD,
    &kmod::KMOD,
];

/// A tool and the code behind it.
pub struct Applet {
    pub tool: Tool,
    pub run: fn(&mut World<'_>, &[Vec<u8>]) -> i32,
}

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static Applet> {
    TOOLS.into_iter().find(|a| a.tool.name == name)
}

/// Joins a module's parameters; a value with blanks gets quotes, for the kernel
/// splits at blanks.
pub fn options_from_args(args: &[Vec<u8>]) -> Vec<u8> {
    let quoted = args.iter().map(|a| {
        let at = a.iter().position(|&c| c == b'=').map(|at| at + 1);
        match at.map(|at| a.split_at(at)) {
            Some((key, value)) if value.contains(&b' ') && !matches!(value[0], b'"' | b'\'') => {
                crate::bytes!(key, "\"", value, "\"")
            }
            _ => a.clone(),
        }
    });
    quoted.collect::<Vec<_>>().join(&b' ')
}

impl World<'_> {
    /// The name it was called by.
    pub fn program(&self) -> String {
        String::from_utf8_lossy(basename(&self.argv0)).into_owned()
    }

    /// The messages of this program, with the limit a tool starts with.
    pub fn log(&mut self) -> Log<'_> {
        Log {
            program: String::from_utf8_lossy(basename(&self.argv0)).into_owned(),
            limit: Level::WARNING,
            syslog: false,
            host: self.host,
            err: self.err,
        }
    }

    /// Takes the command line apart.
    pub fn parse(&self, tool: &Tool, args: &[Vec<u8>]) -> Parsed {
        parse(tool, args, self.host.env("POSIXLY_CORRECT").is_some())
    }

    /// What getopt prints.
    pub fn usage_error(&mut self, message: &[u8]) -> i32 {
        let _ = emit!(self.err, self.argv0, ": ", message, "\n");
        1
    }

    /// Handles the options that all tools have; the exit code when the tool is
    /// done with that.
    pub fn common_option(&mut self, tool: &Tool, event: &Event) -> Option<i32> {
        let text = match event {
            Event::Error(message) => return Some(self.usage_error(message)),
            Event::Opt("help", _) => crate::docs::help(tool, &self.program()),
            Event::Opt("version", _) => VERSION.to_string(),
            Event::Opt(..) => return None,
        };
        let written = emit!(self.out, text);
        Some(self.finish(written))
    }

    /// Ends with what was written: a reader who went away is no failure of
    /// ours, but a full disk is.
    pub fn finish(&mut self, written: std::io::Result<()>) -> i32 {
        match written.and_then(|()| self.out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                let text = format!("could not write: {}", crate::errno::Errno::from(e));
                self.log().error(text);
                1
            }
            _ => 0,
        }
    }
}

/// Runs the tool that the process was called as, or that its first argument
/// names; the exit code, or none when that is no tool of ours.
pub fn main(kernel: &dyn Kernel, system: System) -> Option<i32> {
    use std::os::unix::ffi::OsStringExt;

    let mut args = std::env::args_os().map(OsStringExt::into_vec);
    let mut argv0 = args.next().unwrap_or_default();
    let mut args: Vec<Vec<u8>> = args.collect();
    let named = |name: &[u8]| std::str::from_utf8(name).ok().and_then(find);
    let applet = match named(basename(&argv0)) {
        Some(a) => a,
        None => {
            let a = named(args.first()?)?;
            argv0 = args.remove(0);
            a
        }
    };
    Some(with_world(kernel, system, argv0, |world| {
        (applet.run)(world, &args)
    }))
}

/// Runs something in the world of this process; its exit code.
pub fn with_world(
    kernel: &dyn Kernel,
    system: System,
    argv0: Vec<u8>,
    run: impl FnOnce(&mut World<'_>) -> i32,
) -> i32 {
    let host = Process::new(system);
    let mut out = std::io::BufWriter::new(crate::host::Stdout);
    // A line is one write: many modprobes speak at a time while a machine boots.
    let mut err = std::io::LineWriter::with_capacity(4096, std::io::stderr().lock());
    let fs = &crate::fs::RealFiles;
    let mut world = World {
        fs,
        kernel,
        host: &host,
        out: &mut out,
        err: &mut err,
        argv0,
    };
    let code = run(&mut world);
    // Nowhere is left to complain about standard error.
    let _ = err.flush();
    match out.flush() {
        Err(e) if code == 0 && e.kind() != std::io::ErrorKind::BrokenPipe => 1,
        _ => code,
    }
}
