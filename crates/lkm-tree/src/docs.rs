//! Help, man pages and completions, all from the rows of a tool's options.

use std::fmt::Write;

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

fn shown(tool: &Tool) -> impl Iterator<Item = &Opt> {
    tool.options.iter().filter(|o| !o.help.is_empty())
}

/// What `--help` prints.
pub fn help(tool: &Tool, program: &str) -> String {
    let mut out = String::from("Usage:\n");
    for u in tool.usage {
        let _ = writeln!(out, "\t{program} {u}");
    }
    out.push_str("Options:\n");
    for o in shown(tool) {
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

/// Text for roff: backslashes and dashes are not its own, and no line begins
/// with a request.
pub fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.lines().map(|l| match l.starts_with(['.', '\'']) {
        true => format!("\\&{l}"),
        false => l.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// When the text of the manual pages was last gone through.
pub const DATE: &str = "2026-11-21";

/// The man page, section 8.
pub fn man(tool: &Tool) -> String {
    let mut out = format!(
        ".TH {} 8 {DATE} \"lkm {}\" \"System administration\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n",
        tool.name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        tool.name,
        roff(tool.summary)
    );
    for (i, u) in tool.usage.iter().enumerate() {
        let break_ = if i > 0 { ".br\n" } else { "" };
        let _ = writeln!(out, "{break_}.B {}\n{}", tool.name, roff(u));
    }
    for (heading, text) in tool.manual {
        if heading.is_empty() {
            out.push_str(".PP\n");
        } else {
            let _ = writeln!(out, ".SH {}", roff(&heading.to_uppercase()));
        }
        let _ = writeln!(out, "{}", roff(text));
    }
    out.push_str(".SH OPTIONS\n");
    for o in shown(tool) {
        let _ = writeln!(out, ".TP\n.B {}\n{}.", roff(names(o).trim()), roff(o.help));
        if o.ours {
            out.push_str("(Not in kmod, where it is refused.)\n");
        }
    }
    out.push_str(
        ".SH EXIT STATUS\n0 when all went well, 1 otherwise.\n.SH SEE ALSO\n\
         .BR insmod (8),\n.BR rmmod (8),\n.BR modprobe (8),\n.BR lsmod (8),\n.BR modinfo (8),\n\
         .BR depmod (8),\n.BR modprobe.d (5),\n.BR depmod.d (5)\n",
    );
    out
}

/// What an argument of a tool is, for completions.
fn arguments(tool: &Tool) -> &'static str {
    match tool.name {
        "insmod" => "file",
        "rmmod" => "loaded",
        "modprobe" | "modinfo" => "module",
        _ => "none",
    }
}

/// A completion script for these tools: `bash`, `zsh` or `fish`.
pub fn completions(tools: &[&Tool], shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash(tools)),
        "zsh" => Some(zsh(tools)),
        "fish" => Some(fish(tools)),
        _ => None,
    }
}

const MODULES: &str =
    "find /lib/modules/$(uname -r)/ -name '*.ko*' -printf '%f\\n' 2>/dev/null | sed 's/\\.ko.*//'";
const VERSIONS: &str = "ls /lib/modules 2>/dev/null";
const LOADED: &str = "cut -d' ' -f1 /proc/modules 2>/dev/null";

/// What an option's argument may be, besides a file.
enum Choice {
    Words(&'static str),
    /// What a command prints.
    Output(&'static str),
}

fn choice(tool: &Tool, arg: Option<&str>) -> Option<Choice> {
    Some(match (tool.name, arg?) {
        (_, "VERSION") => Choice::Output(VERSIONS),
        ("lsmod", "KEY") => Choice::Words("name size used"),
        ("modinfo", "FIELD") => Choice::Words(
            "alias author build-id depends description filename firmware intree license name \
             parm sig_hashalgo sig_id sig_key signature signer softdep srcversion vermagic version",
        ),
        _ => return None,
    })
}

fn bash(tools: &[&Tool]) -> String {
    let mut out = String::from("# bash completion; generated from the options' tables\n");
    for t in tools {
        let mut words = Vec::new();
        let mut with_file = Vec::new();
        let mut with_choice = String::new();
        for o in shown(t) {
            let mut all = Vec::new();
            if let Some(c) = o.short {
                all.push(format!("-{}", c as char));
            }
            if !o.long.is_empty() {
                all.push(format!("--{}", o.long));
            }
            if matches!(o.arg, Some("DIR" | "PATH" | "FILE")) {
                with_file.extend(all.iter().cloned());
            }
            let list = match choice(t, o.arg) {
                Some(Choice::Words(words)) => words.to_string(),
                Some(Choice::Output(command)) => format!("$({command})"),
                None => String::new(),
            };
            if !list.is_empty() {
                let _ = writeln!(
                    with_choice,
                    "    case $prev in {}) COMPREPLY=($(compgen -W \"{list}\" -- \"$cur\")); return ;; esac",
                    all.join("|")
                );
            }
            words.extend(all);
        }
        let words = words.join(" ");
        let rest = match arguments(t) {
            "file" => "COMPREPLY=($(compgen -f -- \"$cur\"))".to_string(),
            "loaded" => format!("COMPREPLY=($(compgen -W \"$({LOADED})\" -- \"$cur\"))"),
            // A path will do for a name, and what is removed is loaded.
            "module" => format!(
                "if [[ $cur == */* ]]; then COMPREPLY=($(compgen -f -- \"$cur\"))\n    \
                 elif [[ {name} == modprobe && \" ${{COMP_WORDS[*]}} \" =~ \" -\"([a-zA-Z]*r[a-zA-Z]*|-remove|-remove-holders)\" \" ]]\n    \
                 then COMPREPLY=($(compgen -W \"$({LOADED})\" -- \"$cur\"))\n    \
                 else COMPREPLY=($(compgen -W \"$({MODULES})\" -- \"$cur\")); fi",
                name = t.name
            ),
            _ if t.name == "kmod" => {
                "COMPREPLY=($(compgen -W \"help list static-nodes\" -- \"$cur\"))".to_string()
            }
            _ => "COMPREPLY=()".to_string(),
        };
        let name = t.name;
        let _ = write!(
            out,
            "_lkm_{name}() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n"
        );
        if !with_file.is_empty() {
            let _ = writeln!(
                out,
                "    case $prev in {}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;; esac",
                with_file.join("|")
            );
        }
        out.push_str(&with_choice);
        let _ = writeln!(
            out,
            "    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"{words}\" -- \"$cur\"))\n    else {rest}; fi\n}}\ncomplete -F _lkm_{name} {name}"
        );
    }
    out
}

fn zsh(tools: &[&Tool]) -> String {
    let names: Vec<&str> = tools.iter().map(|t| t.name).collect();
    let mut out = format!(
        "#compdef {}\n# generated from the options' tables\n",
        names.join(" ")
    );
    out.push_str("case $service in\n");
    for t in tools {
        let _ = write!(out, "{}) _arguments -s", t.name);
        for o in shown(t) {
            let text = o
                .help
                .replace('\'', "'\\''")
                .replace(['[', ']'], "")
                .replace(':', "\\:");
            let arg = match o.arg {
                Some(a @ ("DIR" | "PATH" | "FILE")) => format!(":{a}:_files"),
                Some(a) => match choice(t, o.arg) {
                    Some(Choice::Words(words)) => format!(":{a}:({words})"),
                    Some(Choice::Output(command)) => format!(":{a}:( $({command}) )"),
                    None => format!(":{a}: "),
                },
                None => String::new(),
            };
            // The shell runs a command between other quotes only.
            let arg = match arg.contains("$(") {
                true => format!("'\"{arg}\"'"),
                false => arg,
            };
            if let Some(c) = o.short {
                let _ = write!(out, " \\\n  '-{}[{text}]{arg}'", c as char);
            }
            if !o.long.is_empty() {
                let _ = write!(out, " \\\n  '--{}[{text}]{arg}'", o.long);
            }
        }
        let _ = match arguments(t) {
            "file" => write!(out, " \\\n  '*:file:_files'"),
            "loaded" => write!(out, " \\\n  \"*:module:(${{(f)$({LOADED})}})\""),
            "module" => write!(out, " \\\n  \"*:module:(${{(f)$({MODULES})}})\""),
            _ => Ok(()),
        };
        out.push_str(" ;;\n");
    }
    out.push_str("esac\n");
    out
}

fn fish(tools: &[&Tool]) -> String {
    let mut out = String::from("# fish completion; generated from the options' tables\n");
    for t in tools {
        match arguments(t) {
            "file" => {}
            "loaded" => {
                let _ = writeln!(out, "complete -c {} -f -a \"({LOADED})\"", t.name);
            }
            "module" => {
                let list = MODULES
                    .replace("$(uname -r)", "(uname -r)")
                    .replace('"', "\\\"");
                let _ = writeln!(out, "complete -c {} -f -a \"({list})\"", t.name);
            }
            _ => {
                let _ = writeln!(out, "complete -c {} -f", t.name);
            }
        }
        for o in shown(t) {
            let _ = write!(out, "complete -c {}", t.name);
            if let Some(c) = o.short {
                let _ = write!(out, " -s {}", c as char);
            }
            if !o.long.is_empty() {
                let _ = write!(out, " -l {}", o.long);
            }
            match o.arg {
                Some("DIR" | "PATH" | "FILE") => out.push_str(" -r -F"),
                Some(_) => {
                    out.push_str(" -x");
                    let _ = match choice(t, o.arg) {
                        Some(Choice::Words(words)) => write!(out, " -a '{words}'"),
                        Some(Choice::Output(command)) => write!(out, " -a '({command})'"),
                        None => Ok(()),
                    };
                }
                None => {}
            }
            let _ = writeln!(out, " -d '{}'", o.help.replace('\'', "\\'"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::TOOLS;

    #[test]
    fn every_option_is_in_every_text() {
        let tools: Vec<&Tool> = TOOLS.iter().map(|a| &a.tool).collect();
        let scripts: Vec<String> = ["bash", "zsh", "fish"]
            .iter()
            .map(|s| completions(&tools, s).unwrap())
            .collect();
        for t in tools {
            let (help, man) = (help(t, t.name), man(t));
            for o in shown(t).filter(|o| !o.long.is_empty()) {
                assert!(
                    help.contains(&format!("--{}", o.long)),
                    "{} --{}",
                    t.name,
                    o.long
                );
                assert!(
                    man.contains(&roff(&format!("--{}", o.long))),
                    "{} --{}",
                    t.name,
                    o.long
                );
                assert!(scripts[0].contains(&format!("--{}", o.long)));
                assert!(scripts[1].contains(&format!("--{}[", o.long)));
                assert!(scripts[2].contains(&format!("-l {}", o.long)));
            }
        }
        assert_eq!(completions(&[], "tcsh"), None);
    }

    #[test]
    fn no_option_means_two_things() {
        for t in TOOLS.iter().map(|a| &a.tool) {
            for (i, a) in t.options.iter().enumerate() {
                for b in &t.options[i + 1..] {
                    assert!(
                        a.long != b.long || a.long.is_empty(),
                        "{} --{}",
                        t.name,
                        a.long
                    );
                    assert!(!(a.arg.is_some() && a.short.is_some() && a.short == b.short));
                }
            }
        }
    }

    #[test]
    fn roff_requests_are_not_made_by_text() {
        assert_eq!(roff(".x a-b"), "\\&.x a\\-b");
    }
}
