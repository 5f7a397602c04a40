//! The commands about the running kernel: `why`, `trace`, `unload`.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use lexopt::prelude::*;

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

/// Writes an answer; a reader that has gone away is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn bad(command: &str, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("lkm {command}: {error}");
    ExitCode::from(2)
}
