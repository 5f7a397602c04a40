//! The commands about the running kernel: `why`, `trace`, `unload`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use lkm_judge::why::{Unload, UnloadEnd};
use lkm_live::unload::Options;
use lkm_live::{sys, trace as tracing};

pub(crate) const WHY: &str = "\
usage: lkm why [options] NAME

Says who keeps a module of the running kernel loaded: each reference with its holder and what releases it, what
stays unexplained and why, and what is not pinned but would break without the module. It looks as deep as this
machine and user allow, and says which depth that was.

  --json       the answer as JSON
  -h, --help   this text

exit status: 0 nothing pins it, 1 something does, 2 not loaded, or cannot see
";

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
        return bad("why", &"the name of a module is missing; see --help");
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

pub(crate) const TRACE: &str = "\
usage: lkm trace [options] NAME

Follows who takes and puts the module's references, until it is interrupted: on a terminal a table of call
sites with the last events, else the events as they come with their call traces, and the table at the end.

  --json        each event as an object on a line of its own, the table last
  --seconds N   end by itself
  -h, --help    this text

exit status: 0 it could trace, 2 it could not
";

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
            // Not for users: what removes the instance of a process that was killed.
            Ok(Some(Long(GUARD))) => {
                sys::catch_endings();
                if let Ok(path) = parser.value() {
                    tracing::guard(std::path::Path::new(&path));
                }
                return ExitCode::SUCCESS;
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
        return bad("trace", &"the name of a module is missing; see --help");
    };
    let name = name.to_string_lossy().replace('-', "_");
    sys::catch_endings();
    match follow(&name, json, limit) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => bad("trace", &error),
    }
}

const GUARD: &str = "remove-instance-at-end";

/// How often the table on a terminal is drawn.
const REDRAW: Duration = Duration::from_millis(500);

/// Prints events as they come, and the table of call sites at the end; on a terminal the
/// table as it grows.
fn follow(name: &str, json: bool, limit: Option<Duration>) -> std::io::Result<()> {
    let guard = std::env::current_exe().ok().map(|program| {
        let mut command = std::process::Command::new(program);
        command.arg("trace").arg(format!("--{GUARD}"));
        command
    });
    let mut instance = tracing::Instance::new(name, guard)?;
    eprintln!(
        "lkm trace: following {name} from now on, in {} (removed at the end); for references \
         taken earlier boot with {}",
        instance.path().display(),
        lkm_live::BOOT_TRACE
    );
    let started = Instant::now();
    let mut table = tracing::Table::new();
    let mut last: VecDeque<String> = VecDeque::new();
    let mut drawn: Option<Instant> = None;
    let mut out = std::io::stdout().lock();
    let live = !json && out.is_terminal();
    while !sys::ended() && limit.is_none_or(|limit| started.elapsed() < limit) {
        let events = instance.poll()?;
        for event in &events {
            tracing::count(&mut table, event);
            if json {
                writeln!(out, "{}", serde_json::to_string(event)?)?;
            } else if live {
                last.push_back(event.to_string());
                if last.len() > LAST {
                    last.pop_front();
                }
            } else {
                writeln!(out, "{event}")?;
                for frame in &event.stack {
                    writeln!(out, "        {frame}")?;
                }
            }
        }
        if live && drawn.is_none_or(|at| at.elapsed() >= REDRAW) {
            drawn = Some(Instant::now());
            draw(&mut out, name, &table, &last)?;
        }
        if events.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        out.flush()?;
    }
    if live {
        draw(&mut out, name, &table, &last)
    } else if json {
        writeln!(out, "{}", serde_json::to_string(&table)?)
    } else {
        write!(out, "{}", tracing::describe(&table))
    }
}

/// Events shown below the table on a terminal.
const LAST: usize = 10;

fn draw(
    out: &mut impl Write,
    name: &str,
    table: &tracing::Table,
    last: &VecDeque<String>,
) -> std::io::Result<()> {
    // Home, and clear what is below; lines are not cut, so that nothing is lost at the end.
    write!(out, "\x1b[H\x1b[J{name}: references taken and put\n\n")?;
    write!(out, "{}", tracing::describe(table))?;
    writeln!(out)?;
    for line in last {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

pub(crate) const UNLOAD: &str = "\
usage: lkm unload [options] NAME
       lkm unload --force [--cleanup CALL]... NAME

Unloads a module as rmmod does, and says why when it cannot. With --force it frees one that is stuck.

  --wait[=SECONDS]     wait for the last user
  --holders            unload the modules that use its symbols first
  --force              free a module that is stuck: shows what it would do, and asks
  --cleanup CALL       undo a registration first: unregister_x(symbol), unregister_x(*pointer)
  --like FILE.ko       a module of this kernel to take facts from
  --accept-leftovers   go on although pointers into the module are left
  --dry-run            only show it
  --yes                do not ask; overrides no refusal
  --emit DIR           write the rescue module for another machine of this kernel
  --json               the report as JSON
  -h, --help           this text

exit status: 0 gone, 1 refused, with the reason, 2 cannot
";

/// `lkm unload NAME …`: 0 gone, 1 refused, 2 cannot.
pub fn unload(args: Vec<OsString>) -> ExitCode {
    let (mut json, mut dry, mut name) = (false, false, None);
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
                "dry-run" => {
                    let _: () = dry = true;
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
        return bad("unload", &"the name of a module is missing; see --help");
    };
    if dry && options.yes {
        return bad("unload", &"--dry-run and --yes: which?");
    }
    if options.emit.is_some() && !options.force {
        return bad("unload", &"--emit needs --force");
    }
    let name = name.to_string_lossy();
    let mut answer = lkm_live::unload::unload(&name, &options);
    if let Ok(report) = &mut answer
        && report.end == UnloadEnd::Possible
        && !dry
    {
        match confirm(report, json) {
            Answer::Yes => {
                options.yes = true;
                // Everything is looked at again: it may have moved while we asked.
                answer = lkm_live::unload::unload(&name, &options);
            }
            Answer::No => {
                report.end = UnloadEnd::Refused;
                report.refusals.push("not confirmed".into());
            }
            Answer::Nobody => {
                report.end = UnloadEnd::Refused;
                report.refusals.push(
                    "nobody can be asked here (no terminal): --yes does it, --dry-run only shows it"
                        .into(),
                );
            }
        }
    }
    match answer {
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

/// What came back from the question.
enum Answer {
    Yes,
    No,
    Nobody,
}

/// Shows the dry run and asks; only on a terminal.
fn confirm(report: &Unload, json: bool) -> Answer {
    let input = std::io::stdin();
    if json || !input.is_terminal() || !std::io::stdout().is_terminal() {
        return Answer::Nobody;
    }
    print(&format!("{report}\nFree {} now? [y/N] ", report.module));
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    match input.lock().read_line(&mut line) {
        Ok(_) if matches!(line.trim(), "y" | "Y" | "yes") => Answer::Yes,
        _ => Answer::No,
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
