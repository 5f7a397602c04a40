//! `lkm doctor`: what this machine lets the lab and the live commands do. Each line is found by trying.

use crate::out::out;
use crate::rehearse::run::Lab;
use lkm_kernel::profile::Profile;
use lkm_kernel::rehearse::{Input, Plan};
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

pub(crate) const HELP: &str = "\
usage: lkm doctor

Tries what the lab and the live commands need of this machine, and says what is missing.

  -h, --help   this text

exit status: 0 the lab works here, 2 it does not
";

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    if let Some(arg) = args.first() {
        eprintln!(
            "lkm doctor: {} is not understood; it takes no arguments",
            arg.to_string_lossy()
        );
        return ExitCode::from(2);
    }
    out!("the lab\n");
    let works = match lab() {
        Ok(()) => {
            line(
                true,
                "low addresses, system call filter, traps, two stacks: a module was rehearsed",
                "",
            );
            true
        }
        Err(why) => {
            line(false, "a module could not be rehearsed", &why);
            false
        }
    };
    out!("the live kernel\n");
    live();
    ExitCode::from(if works { 0 } else { 2 })
}

fn line(good: bool, what: &str, why: &str) {
    let mark = if good { "ok     " } else { "missing" };
    match why {
        "" => out!("  {mark} {what}\n"),
        why => out!("  {mark} {what}: {why}\n"),
    }
}

/// Rehearses the plainest example from end to end: whatever the lab needs is used on the way.
fn lab() -> Result<(), String> {
    let (image, _) = crate::examples::find("hello")?;
    let module = Input {
        name: "hello".into(),
        image: Rc::new(image.to_vec()),
        params: String::new(),
    };
    let mut lab = Lab::new(Profile::default(), "6.1.0")?;
    let report = lab.run(
        &Plan {
            with: Vec::new(),
            module,
            cycles: 1,
            answers: lkm_kernel::rehearse::Answers::Plain,
            probe: false,
        },
        false,
    )?;
    match report.result.load {
        Some(0) => Ok(()),
        Some(errno) => Err(format!("the load failed with {errno}")),
        None => Err(report
            .reasons
            .first()
            .cloned()
            .unwrap_or_else(|| "the child did not finish".into())),
    }
}

/// Reads a file of the running kernel, or says why not.
fn readable(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

fn live() {
    let modules = readable("/proc/modules");
    line(
        modules.is_ok(),
        "the list of loaded modules (/proc/modules)",
        &modules.err().unwrap_or_default(),
    );
    let kallsyms = readable("/proc/kallsyms").map(|text| {
        text.lines()
            .take(64)
            .any(|l| !l.starts_with("0000000000000000"))
    });
    match kallsyms {
        Ok(true) => line(true, "addresses of kernel symbols (/proc/kallsyms)", ""),
        Ok(false) => line(
            false,
            "addresses of kernel symbols",
            "they read as zero: needs root, and kernel.kptr_restrict below 2",
        ),
        Err(why) => line(false, "addresses of kernel symbols", &why),
    }
    let kcore = std::fs::File::open("/proc/kcore");
    line(
        kcore.is_ok(),
        "kernel memory (/proc/kcore), for the exact walk of `lkm why`",
        &kcore.err().map(|e| e.to_string()).unwrap_or_default(),
    );
    let btf = std::fs::File::open("/sys/kernel/btf/vmlinux");
    line(
        btf.is_ok(),
        "kernel types (/sys/kernel/btf/vmlinux)",
        &btf.err().map(|e| e.to_string()).unwrap_or_default(),
    );
    let tracing = std::path::Path::new("/sys/kernel/tracing/events/module").is_dir();
    line(
        tracing,
        "module trace events, for `lkm trace`",
        if tracing {
            ""
        } else {
            "tracefs is not mounted, or may not be read"
        },
    );
    if let Ok(text) = readable("/sys/kernel/security/lockdown") {
        let locked = !text.contains("[none]");
        line(
            !locked,
            "no lockdown",
            if locked {
                "unsigned modules are refused, so a forced unload is impossible"
            } else {
                ""
            },
        );
    }
    if let Ok(text) = readable("/proc/sys/kernel/modules_disabled") {
        let disabled = text.trim() == "1";
        line(
            !disabled,
            "modules may be loaded and unloaded",
            if disabled {
                "kernel.modules_disabled is set until the next boot"
            } else {
                ""
            },
        );
    }
}
