//! Loading: the steps of a plan, shown or done.

use super::{Done, Fail, Session, fill_in};
use crate::bytes;
use crate::catalog::{ModuleId, Standing};
use crate::errno::Errno;
use crate::host::Ended;
use crate::insert::insert;
use crate::json::Json;
use crate::plan::{PlanOptions, Step, plan};

/// Loads what a name, alias or path means.
pub fn load(s: &mut Session<'_, '_>, given: &[u8], params: &[u8]) -> Done {
    let modules = s.modules(given)?;
    let mut result = Ok(());
    for m in modules {
        result = one(s, m, params);
    }
    result
}

fn one(s: &mut Session<'_, '_>, m: ModuleId, params: &[u8]) -> Done {
    if s.r.lookup_only {
        let line = bytes!(s.catalog.name(m), "\n");
        return s.print(line);
    }
    let done = probe(s, m, params);
    s.report();
    let Err(Fail::Error(e)) = done else {
        return done;
    };
    let name = s.catalog.name(m).to_vec();
    let why = match e {
        Errno::EEXIST => "Module already in kernel".to_string(),
        Errno::ENOENT => "Unknown symbol in module, or unknown parameter (see dmesg)".to_string(),
        e => e.text(),
    };
    s.log.error(bytes!("could not insert '", name, "': ", why));
    if let Some(cause) = s.catalog.kernel.refusal(e) {
        s.log.hint(cause);
    }
    Err(Fail::Error(e))
}

fn probe(s: &mut Session<'_, '_>, m: ModuleId, params: &[u8]) -> Done {
    let r = s.r;
    if !r.ignore_loaded && s.catalog.is_in_kernel(m) {
        return if r.first_time {
            Err(Errno::EEXIST.into())
        } else {
            Ok(())
        };
    }
    // The blacklist hides a module from its aliases, or with -b altogether.
    let module = s.catalog.module(m);
    if s.catalog.config.blacklisted(&module.name) && (module.alias.is_some() || r.use_blacklist) {
        return Ok(());
    }
    let options = PlanOptions {
        ignore_commands: r.ignore_commands,
        ignore_deny: r.ignore_deny,
    };
    let steps = plan(&mut s.catalog, m, options);
    s.report();
    // What is refused is refused before anything is done for it.
    if let Some(step) = steps.iter().find(|s| s.required && s.refused.is_some())
        && (r.ignore_loaded || !s.catalog.is_in_kernel(step.module))
    {
        let name = s.catalog.name(step.module).to_vec();
        let reason = step.refused.as_deref().unwrap_or(b"");
        s.log
            .error(bytes!("module '", name, "' must not be loaded: ", reason));
        return Err(Errno::EPERM.into());
    }
    for step in &steps {
        let own = if step.module == m { params } else { b"" };
        let done = take_step(s, step, own);
        match done {
            Err(Fail::Exit) => return done,
            Err(Fail::Error(Errno::EEXIST)) if step.module == m && r.first_time => return done,
            Err(Fail::Error(Errno::EEXIST)) => {}
            Err(Fail::Error(_)) if step.required => return done,
            _ => {}
        }
    }
    Ok(())
}

fn take_step(s: &mut Session<'_, '_>, step: &Step, params: &[u8]) -> Done {
    let r = s.r;
    let m = step.module;
    if !r.ignore_loaded && s.catalog.is_in_kernel(m) {
        return Err(Errno::EEXIST.into());
    }
    if let Some(reason) = &step.refused {
        let name = s.catalog.name(m).to_vec();
        s.log.warn(bytes!("not loading '", name, "': ", reason));
        return Err(Errno::EPERM.into());
    }
    let configured = s.catalog.options(m);
    let options = match (configured.is_empty(), params.is_empty()) {
        (true, true) => Vec::new(),
        // kmod leaves the blank of an empty half, and scripts have seen it.
        (false, _) => bytes!(configured, " ", params),
        (true, false) => params.to_vec(),
    };
    match s.json.take() {
        Some(mut j) => {
            describe(s, step, &options, &mut j);
            s.json = Some(j);
        }
        None if s.shows() => show(s, step, &options)?,
        None => {}
    }
    if r.dry_run {
        return Ok(());
    }
    match &step.command {
        Some(command) => {
            let command = fill_in(command, &options);
            let name = s.catalog.name(m).to_vec();
            s.out.flush().map_err(|e| Fail::Error(e.into()))?;
            match s.run_command("install", m, &command) {
                Ended::Code(0) => Ok(()),
                Ended::Code(code) => {
                    let code = code.to_string();
                    s.log.error(bytes!(
                        "Error running install command '",
                        command,
                        "' for module ",
                        name,
                        ": retcode ",
                        code
                    ));
                    Err(Errno::EINVAL.into())
                }
                Ended::NotStarted(e) => {
                    s.log.error(bytes!(
                        "Could not run install command '",
                        command,
                        "' for module ",
                        name,
                        ": ",
                        e.text()
                    ));
                    Err(Errno::EINVAL.into())
                }
            }
        }
        None => {
            let Some(path) = s.catalog.path(m) else {
                let name = s.catalog.name(m).to_vec();
                s.log
                    .error(bytes!("could not find module by name='", name, "'"));
                return Err(Errno::ENOENT.into());
            };
            let (fs, kernel) = (s.catalog.fs, s.catalog.kernel);
            insert(fs, kernel, &path, &options, r.force_parts).map_err(|e| {
                let text = bytes!("Failed to insert module '", path, "': ", e.text());
                s.log.say(crate::log::Level::INFO, text);
                e.into()
            })
        }
    }
}

fn is_builtin(s: &mut Session<'_, '_>, m: ModuleId) -> bool {
    matches!(s.catalog.standing(m), Ok(Standing::Builtin))
}

fn show(s: &mut Session<'_, '_>, step: &Step, options: &[u8]) -> Done {
    if let Some(command) = &step.command {
        return s.print(bytes!("install ", command, " ", options, "\n"));
    }
    match s.catalog.path(step.module) {
        Some(path) => s.print(bytes!("insmod ", path, " ", options, "\n")),
        None if is_builtin(s, step.module) => {
            let line = bytes!("builtin ", s.catalog.name(step.module), "\n");
            s.print(line)
        }
        None => Ok(()),
    }
}

fn describe(s: &mut Session<'_, '_>, step: &Step, options: &[u8], j: &mut Json) {
    let path = s.catalog.path(step.module);
    let builtin = path.is_none() && is_builtin(s, step.module);
    j.open('{');
    let action = match (&step.command, builtin) {
        (Some(_), _) => "install",
        (None, true) => "builtin",
        (None, false) => "insmod",
    };
    j.pair("action", action);
    j.pair("module", s.catalog.name(step.module));
    if let Some(command) = &step.command {
        j.pair("command", command);
    }
    if let Some(path) = path {
        j.pair("path", path);
    }
    j.pair("options", options);
    j.raw("required", step.required);
    j.close('}');
}
