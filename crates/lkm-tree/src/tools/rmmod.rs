//! rmmod(8): modules out of the kernel, nothing else.

use super::{Applet, MODULE_DIRECTORY, World};
use crate::args::{Event, Tool, opt};
use crate::bytes;
use crate::catalog::{Catalog, Standing};
use crate::config::Config;
use crate::errno::Errno;
use crate::kernel::DeleteFlags;
use crate::log::{Level, Log};

pub static RMMOD: Applet = Applet {
    tool: Tool {
        name: "rmmod",
        summary: "remove modules from the kernel",
        usage: &["[options] MODULE..."],
        options: &[
            opt(b'f', "force", "Dangerous: remove a module that is in use"),
            opt(b's', "syslog", "Print to syslog, not standard error"),
            opt(b'v', "verbose", "Print more messages"),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[(
            "Description",
            "Removes modules by name. A module that is in use is not removed, and what uses \
                 it is told.",
        )],
        posix: false,
    },
    run,
};

fn run(world: &mut World<'_>, args: &[Vec<u8>]) -> i32 {
    let parsed = world.parse(&RMMOD.tool, args);
    let (mut force, mut syslog, mut limit) = (false, false, Level::ERROR.0);
    for event in &parsed.events {
        if let Some(code) = world.common_option(&RMMOD.tool, event) {
            return code;
        }
        match event {
            Event::Opt("force", _) => force = true,
            Event::Opt("syslog", _) => syslog = true,
            Event::Opt("verbose", _) => limit += 1,
            _ => {}
        }
    }
    let (fs, kernel) = (world.fs, world.kernel);
    let mut log = world.log();
    log.syslog = syslog;
    if parsed.rest.is_empty() {
        log.error("missing module name.");
        return 1;
    }
    let release = kernel.release().unwrap_or_default();
    let dirname = bytes!(MODULE_DIRECTORY, "/", release);
    let mut catalog = Catalog::new(fs, kernel, dirname, Config::default());
    log.limit = Level(limit);
    let mut code = 0;
    for given in &parsed.rest {
        // A file's name will do for the module's.
        let found = match fs.stat(given) {
            Ok(_) => catalog.by_path(given),
            Err(_) => Ok(catalog.by_name(given)),
        };
        let id = match found {
            Ok(id) => id,
            Err(e) => {
                log.error(bytes!("could not use module ", given, ": ", e.text()));
                return 1;
            }
        };
        let standing = catalog.standing(id);
        let name = catalog.name(id).to_vec();
        if !force && !may_go(&catalog, &name, standing, &mut log) {
            code = 1;
            continue;
        }
        let mut flags = DeleteFlags::NONBLOCK;
        if force {
            flags |= DeleteFlags::FORCE;
        }
        if let Err(e) = kernel.delete(&name, DeleteFlags(flags)) {
            log.error(bytes!("could not remove '", name, "': ", e.text()));
            log.error(bytes!("could not remove module ", given, ": ", e.text()));
            match e {
                Errno::EAGAIN | Errno::EBUSY => explain(&catalog, &name, &mut log),
                e => {
                    if let Some(cause) = kernel.refusal(e) {
                        log.hint(cause);
                    }
                }
            }
            code = 1;
        }
    }
    code
}

/// Whether the module is loaded and nothing uses it; says so if not.
fn may_go(
    catalog: &Catalog<'_>,
    name: &[u8],
    standing: Result<Standing, Errno>,
    log: &mut Log<'_>,
) -> bool {
    match standing {
        Ok(Standing::Builtin) => {
            log.error(bytes!("Module ", name, " is builtin."));
            return false;
        }
        Err(_) => {
            log.error(bytes!("Module ", name, " is not currently loaded"));
            return false;
        }
        Ok(Standing::Loaded(_)) => {}
    }
    match catalog.kernel.holders(name) {
        Ok(holders) if !holders.is_empty() => {
            let names = holders.join(&b' ');
            log.error(bytes!("Module ", name, " is in use by: ", names));
            return false;
        }
        Ok(_) => {}
        Err(e) => {
            log.error(bytes!(
                "could not open '/sys/module/",
                name,
                "/holders': ",
                e.text()
            ));
        }
    }
    match catalog.kernel.refcnt(name) {
        Ok(n) if n > 0 => {
            log.error(bytes!("Module ", name, " is in use"));
            explain(catalog, name, log);
            false
        }
        Ok(n) => n == 0,
        Err(e) => {
            if e == Errno::ENOENT {
                log.error("Module unloading is not supported");
            }
            false
        }
    }
}

fn explain(catalog: &Catalog<'_>, name: &[u8], log: &mut Log<'_>) {
    for line in catalog.kernel.why(name) {
        log.hint(line);
    }
}
