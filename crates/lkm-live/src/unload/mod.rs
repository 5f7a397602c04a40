//! `unload`: takes a module out of the kernel; when it is stuck, frees it first.

#[cfg(target_arch = "x86_64")]
pub mod cleanup;
#[cfg(target_arch = "x86_64")]
mod emit;
#[cfg(target_arch = "x86_64")]
mod force;
mod preflight;
#[cfg(target_arch = "x86_64")]
mod reference;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lkm_judge::why::{Unload, UnloadEnd, Why};

use crate::proc;
use crate::sys;
use crate::why::why;

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Wait until nothing uses it, at most so long.
    pub wait: Option<Duration>,
    /// Unload the modules that use its symbols first.
    pub holders: bool,
    /// Free it when it is stuck.
    pub force: bool,
    /// Do it: without this a forced unload only says what it would do.
    pub yes: bool,
    /// Clean-up calls, in order.
    pub cleanup: Vec<String>,
    /// A module of the running kernel to take facts from.
    pub like: Option<PathBuf>,
    /// Write the rescue module here, for another machine of this kernel; nothing is unloaded.
    pub emit: Option<PathBuf>,
    /// Go on although pointers into the module are left.
    pub accept_leftovers: bool,
}

/// Unloads a module.
///
/// # Errors
/// When not even /proc/modules can be read.
pub fn unload(name: &str, options: &Options) -> io::Result<Unload> {
    let mut report = Unload::new(&name.replace('-', "_"));
    if let Some(directory) = &options.emit {
        let found = why(name)?;
        #[cfg(target_arch = "x86_64")]
        emit::emit(
            &report.module.clone(),
            directory,
            found.as_ref(),
            options,
            &mut report,
        );
        #[cfg(not(target_arch = "x86_64"))]
        report.refusals.extend(preflight::machine());
        report.why = found;
        return Ok(report);
    }
    let mut seen = Vec::new();
    step(name, options, &mut report, &mut seen)?;
    Ok(report)
}

fn step(
    name: &str,
    options: &Options,
    report: &mut Unload,
    seen: &mut Vec<String>,
) -> io::Result<()> {
    let Some(mut found) = why(name)? else {
        report.end = UnloadEnd::Cannot;
        report.refusals.push(format!("module {name} is not loaded"));
        return Ok(());
    };
    let name = found.module.clone();
    if options.holders {
        found = without_holders(&name, options, report, seen, found)?;
    }
    if let Some(limit) = options.wait {
        found = wait(&name, limit, report, found)?;
    }
    if seen.is_empty() {
        report.why = Some(found.clone());
    }
    if options.force && (found.pinned || found.state != "live") {
        if found.state == "live" && found.refs.is_empty() && found.unexplained == 0 {
            report
                .steps
                .push("nothing is stuck: only force is wanting (permanent)".into());
        }
        #[cfg(target_arch = "x86_64")]
        force::force(&found, options, report);
        #[cfg(not(target_arch = "x86_64"))]
        report.refusals.extend(preflight::machine());
        return Ok(());
    }
    if found.pinned {
        refuse(&found, report);
        return Ok(());
    }
    for loss in &found.not_pinned {
        if loss.kind == "interface" || loss.kind == "device" {
            report
                .warnings
                .push(format!("{} {}: {}", loss.kind, loss.object, loss.effect));
        }
    }
    delete(&name, report);
    Ok(())
}

/// Says why it cannot be unloaded, and how it could.
fn refuse(found: &Why, report: &mut Unload) {
    report.end = UnloadEnd::Refused;
    for r in &found.refs {
        report.refusals.push(format!(
            "{} × {} {}, held by {}; release: {}",
            r.count, r.kind, r.object, r.holder, r.release
        ));
    }
    if found.unexplained > 0 {
        report.refusals.push(format!(
            "{} × unexplained; lkm unload --force {} frees it if nothing uses it",
            found.unexplained, found.module
        ));
    }
    report.refusals.extend(found.notes.iter().cloned());
    report.refusals.extend(found.next.iter().cloned());
}

/// Unloads the modules that use this one's symbols, those deepest first.
fn without_holders(
    name: &str,
    options: &Options,
    report: &mut Unload,
    seen: &mut Vec<String>,
    found: Why,
) -> io::Result<Why> {
    let holders = proc::module(name)?.map(|m| m.holders).unwrap_or_default();
    for holder in holders {
        if seen.contains(&holder) {
            continue;
        }
        seen.push(holder.clone());
        // A holder is never forced: its own users come first.
        let plain = Options {
            force: false,
            ..options.clone()
        };
        let mut inner = Unload::new(&holder);
        step(&holder, &plain, &mut inner, seen)?;
        report
            .steps
            .extend(inner.steps.iter().map(|s| format!("{holder}: {s}")));
        report
            .refusals
            .extend(inner.refusals.iter().map(|s| format!("{holder}: {s}")));
    }
    Ok(why(name)?.unwrap_or(found))
}

fn wait(name: &str, limit: Duration, report: &mut Unload, found: Why) -> io::Result<Why> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(20);
    let count =
        || proc::line(format!("/sys/module/{name}/refcnt")).and_then(|t| t.parse::<i64>().ok());
    if found.refcount <= 0 {
        return Ok(found);
    }
    report
        .steps
        .push(format!("waiting for {} references to go", found.refcount));
    while started.elapsed() < limit && count().is_some_and(|n| n != 0) {
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Ok(why(name)?.unwrap_or(found))
}

/// delete_module, and a look whether it is really gone.
fn delete(name: &str, report: &mut Unload) {
    match sys::delete_module(name, libc::O_NONBLOCK) {
        Ok(()) => {
            report.steps.push(format!("delete_module({name}): done"));
            gone(name, report);
        }
        Err(error) => {
            report.steps.push(format!("delete_module({name}): {error}"));
            let cannot = error.raw_os_error() == Some(libc::EPERM);
            report.end = if cannot {
                UnloadEnd::Cannot
            } else {
                UnloadEnd::Refused
            };
            report.refusals.push(if cannot {
                "not permitted: root (CAP_SYS_MODULE) is needed, and kernel.modules_disabled must be 0".into()
            } else {
                format!("the kernel refuses: {error}")
            });
        }
    }
}

fn gone(name: &str, report: &mut Unload) {
    let listed = proc::module(name).ok().flatten().is_some();
    let in_sysfs = std::path::Path::new(&format!("/sys/module/{name}")).exists();
    if listed || in_sysfs {
        report.end = UnloadEnd::Refused;
        report.refusals.push("it is still listed".into());
    } else {
        report.end = UnloadEnd::Gone;
        report
            .steps
            .push("gone from /proc/modules and /sys/module".into());
    }
}
