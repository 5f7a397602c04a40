//! modprobe's options: what they are called, what the manual says, and what
//! they ask for.

use super::{Request, run};
use crate::args::{Tool, opt};
use crate::bytes;
use crate::insert::Force;
use crate::log::Level;
use crate::tools::{Applet, World};

pub static MODPROBE: Applet = Applet {
    tool: Tool {
        name: "modprobe",
        summary: "add and remove modules from the kernel, with what they depend on",
        usage: &[
            "[options] [-i] [-b] MODULE [PARAMETER=VALUE...]",
            "[options] -a [-i] [-b] MODULE...",
            "[options] -r [-i] MODULE...",
            "[options] -c",
            "[options] -R | -D NAME...",
            "[options] --show-modversions | --show-exports MODULE|FILE",
        ],
        options: &[
            opt(b'a', "all", "Take every argument for a module's name"),
            opt(b'r', "remove", "Remove modules instead of inserting them"),
            opt(0, "remove-dependencies", ""),
            opt(
                0,
                "remove-holders",
                "Also remove the modules that hold it (implies -r)",
            ),
            opt(
                b'w',
                "wait",
                "With -r: wait up to MSEC for a module to become unused",
            )
            .arg("MSEC"),
            opt(0, "resolve-alias", ""),
            opt(b'R', "show-alias", "Print the modules that an alias means"),
            opt(
                0,
                "first-time",
                "Fail if the module is inserted or removed already",
            ),
            opt(
                b'i',
                "ignore-install",
                "Ignore install and remove commands of the module",
            ),
            opt(b'i', "ignore-remove", "The same as --ignore-install"),
            opt(
                b'b',
                "use-blacklist",
                "Apply the blacklist to module names too",
            ),
            opt(b'f', "force", "Same as --force-modversion --force-vermagic"),
            opt(0, "force-modversion", "Ignore the versions of symbols"),
            opt(0, "force-vermagic", "Ignore the version magic"),
            opt(b'D', "show-depends", "Print what would be loaded, in order"),
            opt(0, "showconfig", ""),
            opt(
                b'c',
                "show-config",
                "Print the configuration and the indexes",
            ),
            opt(
                0,
                "show-modversions",
                "Print the symbols a module imports, with their versions",
            ),
            opt(0, "dump-modversions", ""),
            opt(
                0,
                "show-exports",
                "Print the symbols a module exports, with their versions",
            ),
            opt(b'n', "dry-run", "Do nothing but print what would be done"),
            opt(0, "show", ""),
            opt(
                b'C',
                "config",
                "Read configuration from PATH instead; may be repeated",
            )
            .arg("PATH"),
            opt(
                b'd',
                "dirname",
                "Use DIR as file system root for /lib/modules",
            )
            .arg("DIR"),
            opt(b'S', "set-version", "Use VERSION instead of $(uname -r)").arg("VERSION"),
            opt(b's', "syslog", "Print to syslog, not standard error"),
            opt(b'q', "quiet", "Print no messages"),
            opt(b'v', "verbose", "Print more messages"),
            opt(0, "json", "With -c, -D and -n: print JSON").ours(),
            opt(
                0,
                "ignore-deny",
                "Load what deny lines or the allow-list forbid",
            )
            .ours(),
            opt(
                0,
                "extra-dir",
                "Look in DIR/VERSION for modules that are nowhere else",
            )
            .arg("DIR")
            .ours(),
            opt(b'V', "version", "Show the version"),
            opt(b'h', "help", "Show this help"),
        ],
        manual: &[
            (
                "Description",
                "Adds a module to the kernel or removes it, together with the modules it depends \
                 on, as depmod found them. A name may use - or _; an alias (a device's, a file \
                 system's, one of modprobe.d) means all modules that have it. A path that begins \
                 with / or ./ means that file. Words after the module are its parameters.",
            ),
            (
                "",
                "A module that is compressed is handed to the kernel as it is when the kernel \
                 can unpack it; when the kernel cannot after all, it is unpacked here.",
            ),
            (
                "Configuration",
                "Read from *.conf in /etc/modprobe.d, /run/modprobe.d, /usr/local/lib/modprobe.d, \
                 /usr/lib/modprobe.d and /lib/modprobe.d; a file hides those of the same name in \
                 later directories. Directives: alias, blacklist, options, install, remove, \
                 softdep (all lines of a module count), weakdep; and from the kernel command \
                 line module.parameter=value and modprobe.blacklist=a,b.",
            ),
            (
                "",
                "deny PATTERN [REASON]: the modules that match are not loaded: not by name, not \
                 by alias, not as a dependency (then what needs them is not loaded either), and \
                 not as a soft dependency. --ignore-deny overrides it. kmod ignores the line \
                 with a message.",
            ),
            (
                "",
                "allow PATTERN...: where there is one such line, only modules that match one may \
                 be asked for, by name, alias or soft dependency; what they depend on comes with \
                 them. --ignore-deny overrides it.",
            ),
            (
                "",
                "directory PATH: modules that /lib/modules/VERSION does not have are looked for \
                 in PATH/VERSION, which has indexes of its own (for instance /run/modules).",
            ),
            (
                "",
                "An install line holds, whatever soft dependencies the module has: install X \
                 /bin/false keeps X out. (kmod passes over the line when X has a softdep.)",
            ),
            (
                "Environment",
                "MODPROBE_OPTIONS: options put before those of the command line. \
                 MODPROBE_MODULE: set for install and remove commands. KMOD_LOG: what is said \
                 about the configuration: err, info, debug or a number.",
            ),
        ],
        posix: false,
    },
    run,
};

/// Takes an option into account.
pub(super) fn take(
    r: &mut Request,
    world: &mut World<'_>,
    name: &'static str,
    value: Vec<u8>,
) -> Result<(), Vec<u8>> {
    let mut deprecated = |instead: &str| {
        world.log().warn(format!(
            "--{name} is deprecated and scheduled for removal; use --{instead}"
        ));
    };
    match name {
        "all" => r.all = true,
        "remove" => r.remove = true,
        "remove-dependencies" | "remove-holders" => {
            if name == "remove-dependencies" {
                deprecated("remove-holders");
            }
            r.remove_holders = true;
            r.remove = true;
        }
        "wait" => {
            r.wait_msec =
                parse_wait(&value).ok_or_else(|| bytes!("unexpected wait value '", value, "'."))?;
        }
        "first-time" => r.first_time = true,
        "ignore-install" | "ignore-remove" => r.ignore_commands = true,
        "use-blacklist" => r.use_blacklist = true,
        "force" => {
            r.force = true;
            r.force_parts = Force {
                modversion: true,
                vermagic: true,
            };
        }
        "force-modversion" => r.force_parts.modversion = true,
        "force-vermagic" => r.force_parts.vermagic = true,
        "show-depends" => {
            r.ignore_loaded = true;
            r.dry_run = true;
            r.show = true;
        }
        "resolve-alias" | "show-alias" => {
            if name == "resolve-alias" {
                deprecated("show-alias");
            }
            r.lookup_only = true;
        }
        "showconfig" | "show-config" => {
            if name == "showconfig" {
                deprecated("show-config");
            }
            r.show_config = true;
        }
        "dump-modversions" | "show-modversions" => {
            if name == "dump-modversions" {
                deprecated("show-modversions");
            }
            r.show_modversions = true;
        }
        "show-exports" => r.show_exports = true,
        "show" | "dry-run" => {
            if name == "show" {
                deprecated("dry-run");
            }
            r.dry_run = true;
            r.show = true;
        }
        "config" => {
            r.pass_on(b"-C");
            r.pass_on(&value);
            r.config.push(value);
        }
        "dirname" => r.root = Some(value),
        "set-version" => r.version = Some(value),
        "syslog" => {
            r.pass_on(b"-s");
            r.syslog = true;
        }
        "quiet" => {
            r.pass_on(b"-q");
            r.verbosity = Level::EMERG.0;
        }
        "verbose" => {
            r.pass_on(b"-v");
            r.verbosity += 1;
        }
        "json" => r.json = true,
        "ignore-deny" => {
            r.pass_on(b"--ignore-deny");
            r.ignore_deny = true;
        }
        "extra-dir" => {
            r.pass_on(b"--extra-dir");
            r.pass_on(&value);
            r.extra.push(value);
        }
        _ => {}
    }
    Ok(())
}

/// `strtoul(3)` with base 0, all of the text.
fn parse_wait(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (&lower[..], 10),
    };
    u64::from_str_radix(digits, base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_values() {
        for (text, value) in [
            ("10", Some(10)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("", None),
            ("1s", None),
        ] {
            assert_eq!(parse_wait(text.as_bytes()), value, "{text}");
        }
    }
}
