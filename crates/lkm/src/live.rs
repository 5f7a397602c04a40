//! The commands about the running kernel: `why`, `trace`, `unload`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use lkm_live::unload::Options;
use lkm_live::{sys, trace as tracing};

/// `lkm why NAME [--json]`: 0 nothing pins it, 1 something does, 2 not loaded or cannot see.
pub fn why(args: Vec<OsString>) -> ExitCode {
    let mut json = false;
    let mut name = None;
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        match parser.next() {
            Ok(Some(Long("json"))) => json = true,
            Ok(Some(Value(value))) if name.is_none() => name = Some(value),
            Ok(Some(other)) => return bad("why", &other.unexpected()),
            Ok(None) => break,
            Err(error) => return bad("why", &error),
        }
    }
    let Some(name) = name else {
        return bad("why", &"the name of a module is missing");
    };
    let name = name.to_string_lossy();
    match lkm_live::why(&name) {
        Ok(Some(why)) => {
            let pinned = why.pinned;
            if json {
                print(&format!("{}\n", why.json()))
            } else {
                print(&why.to_string())
            }
            ExitCode::from(u8::from(pinned))
        }
        Ok(None) => {
            eprintln!("lkm why: module {name} is not loaded");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("lkm why: /proc/modules: {error}");
            ExitCode::from(2)
        }
    }
}

/// `lkm trace NAME [--json] [--seconds N]`: 0 when it could trace, 2 when not.
pub fn trace(args: Vec<OsString>) -> ExitCode {
    let (mut json, mut limit, mut name) = (false, None, None);
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        let parsed = match parser.next() {
            Ok(Some(Long("json"))) => {
                json = true;
                Ok(())
            }
            Ok(Some(Long("seconds"))) => seconds(&mut parser).map(|s| limit = Some(s)),
            Ok(Some(Value(value))) if name.is_none() => {
                name = Some(value);
                Ok(())
            }
            Ok(Some(other)) => Err(other.unexpected()),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        if let Err(error) = parsed {
            return bad("trace", &error);
        }
    }
    let Some(name) = name else {
        return bad("trace", &"the name of a module is missing");
    };
    let name = name.to_string_lossy().replace('-', "_");
    sys::catch_endings();
    match follow(&name, json, limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => bad("trace", &error),
    }
}

/// Prints events as they come, and the table of call sites at the end.
fn follow(name: &str, json: bool, limit: Option<Duration>) -> std::io::Result<()> {
    let mut instance = tracing::Instance::new(name)?;
    eprintln!(
        "lkm trace: following {name} from now on, in {} (removed at the end); for references \
         taken earlier boot with trace_event=module:module_get,module:module_put",
        instance.path().display()
    );
    let started = Instant::now();
    let mut table = tracing::Table::new();
    let mut out = std::io::stdout().lock();
    while !sys::ended() && limit.is_none_or(|limit| started.elapsed() < limit) {
        let events = instance.poll()?;
        for event in &events {
            tracing::count(&mut table, event);
            if json {
                writeln!(out, "{}", serde_json::to_string(event)?)?;
            } else {
                let at = if event.site.is_empty() { "" } else { " at " };
                let count = event.refcount.map_or(String::new(), |n| format!(" → {n}"));
                writeln!(
                    out,
                    "{} {} {}{count}{at}{}",
                    event.time, event.task, event.action, event.site
                )?;
                for frame in &event.stack {
                    writeln!(out, "        {frame}")?;
                }
            }
        }
        if events.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        out.flush()?;
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&table)?)
    } else {
        write!(out, "{}", tracing::describe(&table))
    }
}

const UNLOAD: &str = "lkm unload NAME [--wait[=SECONDS]] [--holders] [--json]
    [--force [--cleanup 'FUNCTION(*SYMBOL)']... [--like FILE.ko] [--accept-leftovers]
             [--emit DIR] [--yes]]";

/// `lkm unload NAME …`: 0 gone, 1 refused, 2 cannot.
pub fn unload(args: Vec<OsString>) -> ExitCode {
    let (mut json, mut name) = (false, None);
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    loop {
        let parsed = match parser.next() {
            Ok(Some(Value(value))) if name.is_none() => {
                name = Some(value);
                Ok(())
            }
            Ok(Some(Long("json"))) => {
                json = true;
                Ok(())
            }
            Ok(Some(Long("help") | Short('h'))) => {
                print(&format!("{UNLOAD}\n"));
                return ExitCode::SUCCESS;
            }
            Ok(Some(Long("wait"))) => match parser.optional_value() {
                None => {
                    options.wait = Some(Duration::from_secs(u64::from(u32::MAX)));
                    Ok(())
                }
                Some(value) => value
                    .parse()
                    .map(|seconds| options.wait = Some(Duration::from_secs(seconds))),
            },
            Ok(Some(Long("cleanup"))) => parser
                .value()
                .map(|value| options.cleanup.push(value.to_string_lossy().into_owned())),
            Ok(Some(Long("like"))) => parser.value().map(|v| options.like = Some(v.into())),
            Ok(Some(Long("emit"))) => parser.value().map(|v| options.emit = Some(v.into())),
            Ok(Some(Long(flag))) => match flag {
                "holders" => {
                    let _: () = options.holders = true;
                    Ok(())
                }
                "force" => {
                    let _: () = options.force = true;
                    Ok(())
                }
                "yes" => {
                    let _: () = options.yes = true;
                    Ok(())
                }
                "accept-leftovers" => {
                    let _: () = options.accept_leftovers = true;
                    Ok(())
                }
                _ => Err(Long(flag).unexpected()),
            },
            Ok(Some(other)) => Err(other.unexpected()),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        if let Err(error) = parsed {
            return bad("unload", &error);
        }
    }
    let Some(name) = name else {
        return bad("unload", &UNLOAD);
    };
    match lkm_live::unload::unload(&name.to_string_lossy(), &options) {
        Ok(report) => {
            if json {
                print(&format!("{}\n", report.json()))
            } else {
                print(&report.to_string())
            }
            ExitCode::from(report.status())
        }
        Err(error) => bad("unload", &format!("/proc/modules: {error}")),
    }
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    parser.value()?.parse().map(Duration::from_secs)
}

/// Writes an answer; a reader that has gone away is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn bad(command: &str, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("lkm {command}: {error}");
    ExitCode::from(2)
}
