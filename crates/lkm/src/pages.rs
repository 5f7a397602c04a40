//! Manual pages and completions of lkm's own commands, made from the help texts: what `--help` says is the
//! one source.

use lkm_tree::docs::roff;
use std::fmt::Write as _;

/// A help text, read: `usage:` lines, paragraphs, options, and what the exit status means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page<'t> {
    usage: Vec<&'t str>,
    paragraphs: Vec<String>,
    /// An option's names with its argument, and what it does.
    options: Vec<(&'t str, String)>,
    status: Option<&'t str>,
}

/// Reads a help text.
pub(crate) fn read(help: &str) -> Page<'_> {
    let mut page = Page::default();
    let mut open = false;
    for line in help.lines() {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if let Some(usage) = text.strip_prefix("usage:") {
            page.usage.push(usage.trim());
        } else if matches!(text, "Usage:" | "Options:") {
            open = false;
        } else if let Some(status) = text.strip_prefix("exit status:") {
            page.status = Some(status.trim());
        } else if text.is_empty() {
            open = false;
        } else if indent > 0 && text.starts_with('-') {
            let (names, what) = text.split_once("  ").unwrap_or((text, ""));
            page.options.push((names, what.trim().to_owned()));
            open = true;
        } else if indent > 4 && open && !page.options.is_empty() {
            let (_, what) = page.options.last_mut().expect("there is one");
            let _ = write!(what, " {text}");
        } else if indent > 0 && text.starts_with("lkm ") && page.paragraphs.is_empty() {
            page.usage.push(text);
        } else if open && page.options.is_empty() {
            let last = page.paragraphs.last_mut().expect("a paragraph is open");
            let _ = write!(last, " {text}");
        } else {
            page.paragraphs.push(text.to_owned());
            open = page.options.is_empty();
        }
    }
    page
}

/// The manual page of `lkm NAME`, section 1.
pub(crate) fn man(name: &str, summary: &str, help: &str) -> String {
    let page = read(help);
    let mut out = format!(
        ".TH LKM\\-{} 1 {} \"lkm {}\" \"User commands\"\n.SH NAME\nlkm\\-{name} \\- {}\n.SH SYNOPSIS\n",
        name.to_uppercase(),
        lkm_tree::docs::DATE,
        env!("CARGO_PKG_VERSION"),
        roff(summary)
    );
    for (i, usage) in page.usage.iter().enumerate() {
        let break_ = if i > 0 { ".br\n" } else { "" };
        let _ = writeln!(out, "{break_}{}", roff(usage));
    }
    out.push_str(".SH DESCRIPTION\n");
    for (number, text) in page.paragraphs.iter().enumerate() {
        if number > 0 {
            out.push_str(".PP\n");
        }
        let _ = writeln!(out, "{}", roff(text));
    }
    if !page.options.is_empty() {
        out.push_str(".SH OPTIONS\n");
    }
    for (names, what) in &page.options {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(names), roff(what));
    }
    if let Some(status) = page.status {
        let _ = writeln!(out, ".SH EXIT STATUS\n{}", roff(status));
    }
    out
}

/// The long and short options that a help text names, each with whether it takes an argument.
pub(crate) fn options(help: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for (names, _) in read(help).options {
        let argument = names
            .split([' ', '='])
            .any(|word| !word.is_empty() && !word.starts_with('-'));
        for word in names.split([',', ' ']).filter(|w| w.starts_with('-')) {
            let word = word.split(['=', '[']).next().unwrap_or(word);
            all.push((word.to_owned(), argument));
        }
    }
    all
}

/// A command's name, its line and its help text.
pub(crate) type Row<'t> = (&'t str, &'t str, &'t str);

/// Completion of `lkm` and its commands for a shell.
pub(crate) fn completions(rows: &[Row<'_>], shell: &str) -> Option<String> {
    let names: Vec<&str> = rows.iter().map(|r| r.0).collect();
    // Their own completion functions are in the same script.
    let tools: Vec<&str> = lkm_tree::tools::TOOLS.iter().map(|a| a.tool.name).collect();
    let mut out = String::new();
    match shell {
        "bash" => {
            let _ = write!(
                out,
                "_lkm() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} words\n    if [[ $COMP_CWORD == 1 ]]; then COMPREPLY=($(compgen -W \"{} {}\" -- \"$cur\")); return; fi\n    case ${{COMP_WORDS[1]}} in\n    {}) _lkm_${{COMP_WORDS[1]}}; return ;;\n",
                names.join(" "),
                tools.join(" "),
                tools.join("|")
            );
            for (name, _, help) in rows {
                let words: Vec<String> = options(help).into_iter().map(|o| o.0).collect();
                let _ = writeln!(out, "    {name}) words=\"{}\" ;;", words.join(" "));
            }
            out.push_str(
                "    esac\n    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\ncomplete -o filenames -F _lkm lkm\n",
            );
        }
        "zsh" => {
            out.push_str("lkm)\n  if (( CURRENT == 2 )); then\n    local -a commands=(\n");
            for (name, line, _) in rows {
                let _ = writeln!(out, "      '{name}:{}'", line.replace('\'', "'\\''"));
            }
            for applet in lkm_tree::tools::TOOLS {
                let line = applet.tool.summary.replace('\'', "'\\''");
                let _ = writeln!(out, "      '{}:{line}'", applet.tool.name);
            }
            out.push_str("    )\n    _describe command commands\n  else\n    case $words[2] in\n");
            let _ = writeln!(
                out,
                "    {}) shift words; (( CURRENT-- )); _normal ;;",
                tools.join("|")
            );
            for (name, _, help) in rows {
                let words: Vec<String> = options(help).into_iter().map(|o| o.0).collect();
                let _ = writeln!(
                    out,
                    "    {name}) compadd -- {} ; _files ;;",
                    words.join(" ")
                );
            }
            out.push_str("    esac\n  fi ;;\n");
        }
        "fish" => {
            out.push_str("complete -c lkm -n __fish_use_subcommand -f\n");
            for applet in lkm_tree::tools::TOOLS {
                let _ = writeln!(
                    out,
                    "complete -c lkm -n __fish_use_subcommand -a {} -d '{}'",
                    applet.tool.name,
                    applet.tool.summary.replace('\'', "\\'")
                );
            }
            let _ = writeln!(
                out,
                "complete -c lkm -n '__fish_seen_subcommand_from {}' -f -a '(complete -C (commandline -cp | string replace -r \"^\\\\s*\\\\S*lkm\\\\s+\" \"\"))'",
                tools.join(" ")
            );
            for (name, line, help) in rows {
                let _ = writeln!(
                    out,
                    "complete -c lkm -n __fish_use_subcommand -a {name} -d '{}'",
                    line.replace('\'', "\\'")
                );
                for (word, argument) in options(help) {
                    let kind = match word.strip_prefix("--") {
                        Some(long) => format!("-l {long}"),
                        None => format!("-s {}", word.trim_start_matches('-')),
                    };
                    let _ = writeln!(
                        out,
                        "complete -c lkm -n '__fish_seen_subcommand_from {name}' {kind}{}",
                        if argument { " -r" } else { "" }
                    );
                }
            }
        }
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "\
usage: lkm demo [options] FILE
       lkm demo --all

Does a thing, and says
what it did.

  -b, --base DIR   where it is,
                   and what for
  --plain          nothing else

exit status: 0 done, 2 not
";

    #[test]
    fn a_help_text_is_read() {
        let page = read(HELP);
        assert_eq!(page.usage, ["lkm demo [options] FILE", "lkm demo --all"]);
        assert_eq!(page.paragraphs, ["Does a thing, and says what it did."]);
        assert_eq!(
            page.options,
            [
                ("-b, --base DIR", "where it is, and what for".to_owned()),
                ("--plain", "nothing else".to_owned())
            ]
        );
        assert_eq!(page.status, Some("0 done, 2 not"));
        assert_eq!(
            options(HELP),
            [
                ("-b".to_owned(), true),
                ("--base".to_owned(), true),
                ("--plain".to_owned(), false)
            ]
        );
    }

    #[test]
    fn every_command_has_a_page_with_all_its_options() {
        for command in crate::COMMANDS {
            let text = (command.text)();
            let page = read(&text);
            assert!(!page.usage.is_empty(), "{}", command.name);
            let man = man(command.name, command.help, &text);
            for (option, _) in options(&text) {
                assert!(man.contains(&roff(&option)), "{}: {option}", command.name);
            }
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        let texts: Vec<_> = crate::COMMANDS.iter().map(|c| (c.text)()).collect();
        let rows: Vec<Row<'_>> = crate::COMMANDS
            .iter()
            .zip(&texts)
            .map(|(c, text)| (c.name, c.help, text.as_ref()))
            .collect();
        for shell in ["bash", "zsh", "fish"] {
            let script = completions(&rows, shell).expect("a known shell");
            for command in crate::COMMANDS {
                assert!(script.contains(command.name), "{shell}: {}", command.name);
            }
            for applet in lkm_tree::tools::TOOLS {
                assert!(script.contains(applet.tool.name), "{shell}");
            }
        }
        assert_eq!(completions(&rows, "tcsh"), None);
    }
}
