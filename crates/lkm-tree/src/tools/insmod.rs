//! insmod(8): one file into the kernel, nothing else.

use super::{Applet, World, options_from_args};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::errno::Errno;
use crate::insert::{Force, insert};
use crate::log::Level;
use crate::text::path_to_modname;

pub static INSMOD: Applet = Applet {
    tool: Tool {
        name: "insmod",
        summary: "insert a module file into the kernel",
        usage: &["[options] FILE [PARAMETER=VALUE...]"],
        options: &[
            opt(
                b'f',
                "force",
                "Dangerous: --force-modversion and --force-vermagic",
            ),
            opt(0, "force-modversion", "Ignore the versions of symbols"),
            opt(0, "force-vermagic", "Ignore the version magic"),
            opt(b's', "syslog", "Print to syslog, not standard error"),
            opt(b'v', "verbose", "Print more messages"),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[(
            "Description",
            "Inserts one module file, without looking for what it depends on. When the \
                 kernel refuses, the reason is told as far as the kernel lets it be known: \
                 lockdown, signature enforcement, kernel.modules_disabled, a missing capability.",
        )],
        posix: false,
    },
    run,
};

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&INSMOD.tool, args);
    let mut force = Force::default();
    let (mut syslog, mut limit) = (false, Level::ERROR.0);
    for event in &parsed.events {
        if let Some(code) = world.common_option(&INSMOD.tool, event) {
            return code;
        }
        match event {
            Event::Opt("force", _) => {
                force = Force {
                    modversion: true,
                    vermagic: true,
                }
            }
            Event::Opt("force-modversion", _) => force.modversion = true,
            Event::Opt("force-vermagic", _) => force.vermagic = true,
            Event::Opt("syslog", _) => syslog = true,
            Event::Opt("verbose", _) => limit += 1,
            _ => {}
        }
    }
    let (fs, kernel) = (world.fs, world.kernel);
    let mut log = world.log();
    log.syslog = syslog;
    let Some((file, params)) = parsed.rest.split_first() else {
        log.error("missing filename.");
        return 1;
    };
    if file == b"-" {
        log.error("this tool does not support loading from stdin!");
        return 1;
    }
    log.limit = Level(limit);
    let found = fs.absolute(file).and_then(|p| {
        fs.stat(&p)?;
        path_to_modname(&p).ok_or(Errno::ENOENT)?;
        Ok(p)
    });
    let path = match found {
        Ok(path) => path,
        Err(e) => {
            log.error(bytes!("could not load module ", file, ": ", e.text()));
            return 1;
        }
    };
    let Err(e) = insert(fs, kernel, &path, &options_from_args(params), force) else {
        return 0;
    };
    let text = bytes!("Failed to insert module '", path, "': ", e.text());
    log.say(Level::INFO, text);
    let why = match e {
        Errno::ENOEXEC => "Invalid module format".into(),
        Errno::ENOENT => "Unknown symbol in module".into(),
        Errno::ESRCH => "Module has wrong symbol version".into(),
        Errno::EINVAL => "Invalid parameters".into(),
        e => e.text(),
    };
    log.error(bytes!("could not insert module ", file, ": ", why));
    if let Some(cause) = kernel.refusal(e) {
        log.hint(cause);
    }
    1
}
