//! `lkm explain`: the page of a rule; or an oops text from a file or standard input, read and explained.

use lkm_judge::explain::{explain_text, page};
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

pub(crate) const HELP: &str = "\
usage: lkm explain [RULE]
       lkm explain [--json] FILE|-

Prints the page of a rule: what it is, what a real kernel does, a bad example, the fix, how the lab sees it. Without
an argument, the rules with one line each. The text of an oops, from a file or standard input, is read and explained.

  --json       the explanation of an oops as JSON
  -h, --help   this text

exit status: 0 done, 2 unknown rule or unreadable text
";

/// Most bytes of a text that are read; an oops has a few thousand.
const MAX_TEXT: u64 = 1 << 20;

pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match explain(args) {
        Ok(text) => {
            // A reader that has seen enough, as `head`, is no error.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("lkm explain: {message}");
            ExitCode::from(2)
        }
    }
}

fn explain(args: Vec<OsString>) -> Result<String, String> {
    use lexopt::prelude::*;
    let mut what: Option<OsString> = None;
    let mut json = false;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("json") => json = true,
            Value(value) if what.is_none() => what = Some(value),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    let Some(what) = what else {
        return Ok(rules());
    };
    if let Some(page) = what.to_str().and_then(page) {
        return Ok(page.to_owned());
    }
    let text = read(&what)?;
    let found = explain_text(&text).ok_or("there is no oops in this text that can be read")?;
    if json {
        let mut line = serde_json::to_string_pretty(&found).map_err(|e| e.to_string())?;
        line.push('\n');
        return Ok(line);
    }
    Ok(found.text())
}

fn rules() -> String {
    lkm_judge::RULES
        .iter()
        .map(|rule| format!("{:<24} {}\n", rule.id, rule.title))
        .collect()
}

fn read(what: &OsString) -> Result<String, String> {
    let mut bytes = Vec::new();
    let shown = what.to_string_lossy();
    if shown == "-" {
        std::io::stdin().take(MAX_TEXT).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(what).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                format!("{shown} is neither a rule nor a file; `lkm explain` lists the rules")
            }
            _ => format!("{shown}: {e}"),
        })?;
        file.take(MAX_TEXT).read_to_end(&mut bytes)
    }
    .map_err(|e| format!("{shown}: {e}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
