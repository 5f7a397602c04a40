//! Removing: what came after a module, the module, what only it needed.

use super::{Done, Fail, Session, fill_in};
use crate::bytes;
use crate::catalog::{ModuleId, Standing};
use crate::errno::Errno;
use crate::host::Ended;
use crate::kernel::DeleteFlags;
use crate::log::Level;

/// Removes what a name or an alias means.
pub fn remove(s: &mut Session<'_, '_>, given: &[u8]) -> Done {
    let found = s.catalog.lookup(given);
    s.report();
    let found = found?;
    if found.is_empty() {
        return Err(s.fatal(bytes!("Module ", given, " not found."), Errno::ENOENT));
    }
    for m in found {
        remove_module(s, m, s.r.remove_holders, false)?;
        s.report();
    }
    Ok(())
}

/// Removes modules, the last one first. Failures are passed over unless told
/// otherwise.
fn remove_list(s: &mut Session<'_, '_>, list: &[ModuleId], stop: bool) -> Done {
    for &m in list.iter().rev() {
        match remove_module(s, m, false, true) {
            Err(Fail::Exit) => return Err(Fail::Exit),
            Err(e) if stop => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn remove_module(
    s: &mut Session<'_, '_>,
    m: ModuleId,
    holders: bool,
    ignore_builtin: bool,
) -> Done {
    let r = s.r;
    let name = s.catalog.name(m).to_vec();
    let (mut pre, mut post, mut command) = (Vec::new(), Vec::new(), None);
    if !r.ignore_commands {
        (pre, post) = s.catalog.softdeps(m);
        command = s.catalog.config.remove_command(&name).map(<[u8]>::to_vec);
    }
    if command.is_none() && !r.ignore_loaded {
        match s.catalog.standing(m) {
            Err(_) if r.first_time => {
                let text = bytes!("Module ", name, " is not in kernel.");
                return Err(s.fatal(text, Errno::ENOENT));
            }
            Err(_) => return Ok(()),
            Ok(Standing::Builtin) if ignore_builtin => return Ok(()),
            Ok(Standing::Builtin) => {
                return Err(s.fatal(bytes!("Module ", name, " is builtin."), Errno::ENOENT));
            }
            Ok(Standing::Loaded(_)) => {}
        }
    }
    remove_list(s, &post, false)?;
    if holders {
        let names = match s.catalog.kernel.holders(&name) {
            Ok(names) => names,
            Err(e) => {
                let text = bytes!(
                    "could not open '/sys/module/",
                    name,
                    "/holders': ",
                    e.text()
                );
                s.log.error(text);
                Vec::new()
            }
        };
        let list: Vec<ModuleId> = names.iter().map(|n| s.catalog.by_name(n)).collect();
        remove_list(s, &list, true)?;
    }
    if command.is_none()
        && !r.ignore_loaded
        && r.wait_msec == 0
        && s.catalog.kernel.refcnt(&name).is_ok_and(|n| n > 0)
    {
        let fail = s.fatal(bytes!("Module ", name, " is in use."), Errno::EBUSY);
        explain(s, &name);
        return Err(fail);
    }
    match command {
        Some(command) => run_remove(s, m, &name, &command)?,
        None => {
            if s.catalog.kernel.refcnt(&name) != Err(Errno::ENOENT) {
                delete(s, &name)?;
            }
            for dep in s.catalog.dependencies(m) {
                let dep = s.catalog.name(dep).to_vec();
                if s.catalog.kernel.refcnt(&dep) == Ok(0) {
                    // That it stays is no failure.
                    let _ = delete(s, &dep);
                }
            }
        }
    }
    remove_list(s, &pre, false)
}

/// Says who keeps a module, where the kernel can be asked.
fn explain(s: &mut Session<'_, '_>, name: &[u8]) {
    if s.log.limit < Level::ERROR {
        return;
    }
    for line in s.catalog.kernel.why(name) {
        s.log.hint(line);
    }
}

fn run_remove(s: &mut Session<'_, '_>, m: ModuleId, name: &[u8], command: &[u8]) -> Done {
    let command = fill_in(command, b"");
    if s.shows() {
        s.print(bytes!("remove ", command, "\n"))?;
    }
    if s.r.dry_run {
        return Ok(());
    }
    s.out.flush().map_err(|e| Fail::Error(e.into()))?;
    match s.run_command("remove", m, &command) {
        Ended::Code(0) => Ok(()),
        ended => {
            let text = bytes!("Error running remove command for ", name);
            let error = match ended {
                Ended::Code(code) => Errno(code),
                Ended::NotStarted(e) => e,
            };
            Err(s.fatal(text, error))
        }
    }
}

fn delete(s: &mut Session<'_, '_>, name: &[u8]) -> Done {
    let r = s.r;
    if s.shows() {
        s.print(bytes!("rmmod ", name, "\n"))?;
    }
    if r.dry_run {
        return Ok(());
    }
    let mut flags = DeleteFlags::NONBLOCK;
    if r.force {
        flags |= DeleteFlags::FORCE;
    }
    let mut deadline = None;
    let mut pause = 1u64;
    let e = loop {
        let e = match s.catalog.kernel.delete(name, DeleteFlags(flags)) {
            Ok(()) => return Ok(()),
            Err(e) => e,
        };
        if e != Errno::EAGAIN || r.wait_msec == 0 {
            break e;
        }
        // Ever longer pauses, up to the time that was allowed.
        let now = s.log.host.now_msec();
        let end = *deadline.get_or_insert(now.saturating_add(r.wait_msec));
        if now >= end {
            break e;
        }
        pause = pause.saturating_mul(2).min(end - now);
        s.log.host.sleep_msec(pause);
    };
    if e == Errno::EEXIST {
        if !r.first_time {
            return Ok(());
        }
        return Err(s.fatal(bytes!("Module ", name, " is not in kernel."), e));
    }
    s.log
        .error(bytes!("could not remove '", name, "': ", e.text()));
    match e {
        Errno::EAGAIN | Errno::EBUSY => explain(s, name),
        e => {
            if let Some(cause) = s.catalog.kernel.refusal(e) {
                s.log.hint(cause);
            }
        }
    }
    Err(e.into())
}
