//! `--help`, from the rows of a tool's options.

use crate::args::{Opt, Tool};

/// How wide the column of options is.
const COLUMN: usize = 30;

fn names(o: &Opt) -> String {
    let mut s = match o.short {
        Some(c) => format!("-{}", c as char),
        None => "  ".into(),
    };
    if !o.long.is_empty() {
        s.push_str(if o.short.is_some() { ", --" } else { "  --" });
        s.push_str(o.long);
    }
    if let Some(a) = o.arg {
        s.push(' ');
        s.push_str(a);
    }
    s
}

/// What `--help` prints.
pub fn help(tool: &Tool, program: &str) -> String {
    let mut out = String::from("Usage:\n");
    for u in tool.usage {
        out.push_str(&format!("\t{program} {u}\n"));
    }
    out.push_str("Options:\n");
    for o in tool.options.iter().filter(|o| !o.help.is_empty()) {
        let names = names(o);
        let mut line = format!("\t{names:<COLUMN$}");
        if names.len() >= COLUMN {
            line.push(' ');
        }
        let mut width = 0;
        for word in o.help.split(' ') {
            if width + word.len() > 50 && width > 0 {
                out.push_str(line.trim_end());
                out.push('\n');
                line = format!("\t{:<COLUMN$}", "");
                width = 0;
            }
            line.push_str(word);
            line.push(' ');
            width += word.len() + 1;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
