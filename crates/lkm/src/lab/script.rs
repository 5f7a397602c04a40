//! The script language of `lkm lab` (docs/lab-script.md): lines into commands.

pub(crate) use super::language::{Command, Expect, Fd, Line, Step, User};
use super::{act_words, help};
use lkm_kernel::mm::task_struct::Reap;
use lkm_kernel::module::syscalls::Pointer;

/// Splits a line into words; a quoted part may hold blanks and the escapes `\"`, `\\` and `\n`.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut chars = line.chars();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => match chars.next() {
                Some('n') => word.get_or_insert_default().push('\n'),
                Some('0') => word.get_or_insert_default().push('\0'),
                Some(c @ ('"' | '\\')) => word.get_or_insert_default().push(c),
                _ => return Err("unknown escape; there are \\\", \\\\, \\n and \\0".into()),
            },
            '#' if !quoted && word.is_none() => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

/// Most lines that a script has when its blocks are written out.
const MAX_LINES: usize = 100_000;

/// Parses a script; the lines of a block come as often as it says. The error names the line.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    // How often the open block is done, where it begins among the lines, and its own line.
    let mut block: Option<(usize, usize, usize)> = None;
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        let fail = |why: &str| Err(format!("line {number}: {why}"));
        let words: Vec<&str> = raw.split_whitespace().collect();
        match words.as_slice() {
            ["repeat", times] => {
                let Some(times) = times.parse().ok().filter(|&n| n > 0) else {
                    return fail("repeat N, and then lines up to an end");
                };
                if block.replace((times, lines.len(), number)).is_some() {
                    return fail("a block in a block");
                }
                continue;
            }
            ["end"] => {
                let Some((times, from, _)) = block.take() else {
                    return fail("an end without repeat N before it");
                };
                let round = lines[from..].to_vec();
                if round.len().saturating_mul(times) > MAX_LINES {
                    return fail("too much is repeated");
                }
                for _ in 1..times {
                    lines.extend_from_slice(&round);
                }
                continue;
            }
            _ => {}
        }
        match parse_line(raw) {
            Ok(Some((text, command))) => lines.push(Line {
                number,
                text,
                command,
            }),
            Ok(None) => {}
            Err(why) => return fail(&why),
        }
    }
    match block {
        Some((_, _, number)) => Err(format!("line {number}: a block without an end")),
        None => Ok(lines),
    }
}

/// Parses one line: its text without comment, and the command; None when it says nothing.
pub(crate) fn parse_line(raw: &str) -> Result<Option<(String, Command)>, String> {
    let words = words(raw)?;
    let Some((first, rest)) = words.split_first() else {
        return Ok(None);
    };
    let text = raw.trim().to_owned();
    let command = match (first.as_str(), rest) {
        ("as", [who]) if who == "root" => Command::As(User::Root),
        ("as", [who]) if who == "nobody" => Command::As(User::Nobody),
        ("as", [who, without, what])
            if who == "root" && without == "without" && what == "CAP_SYSLOG" =>
        {
            Command::As(User::NoSyslog)
        }
        ("as", _) => return Err("as root, as root without CAP_SYSLOG, or as nobody".into()),
        ("long", [minutes]) if number(minutes).is_ok() => Command::Compared,
        ("long", _) => return Err("long MINUTES".into()),
        ("uncertain", [what, _])
            if matches!(what.as_str(), "order" | "count" | "step" | "whether") =>
        {
            Command::Compared
        }
        ("uncertain", _) => {
            return Err("uncertain order|count|step|whether \"PATTERN\"".into());
        }
        ("boot", words) => {
            if let Some(word) = words.iter().find(|w| {
                !w.starts_with("module_blacklist=") && !w.starts_with("module.sig_enforce=")
            }) {
                return Err(format!(
                    "{word}: the lab knows module_blacklist= and module.sig_enforce="
                ));
            }
            Command::Boot(words.to_vec())
        }
        ("tree", [_, ..]) => Command::Tree(rest.to_vec()),
        ("profile", [name]) => Command::Profile(name.clone()),
        ("clock" | "wait", [time]) => Command::Clock(duration(time)?),
        ("expect", rest) => Command::Expect(expectation(rest)?),
        _ => Command::Step(step(first, rest)?),
    };
    Ok(Some((text, command)))
}

/// Most times that a command is repeated.
const MAX_TIMES: u64 = 100_000;

fn duration(text: &str) -> Result<u64, String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1_000_000),
        (None, Some(number)) => (number, 1_000_000_000),
        (None, None) => (text, 1_000_000_000),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text}: a time is like 5, 5s or 300ms"))?;
    number
        .checked_mul(unit)
        .filter(|&ns| ns <= 86_400_000_000_000)
        .ok_or("at most a day".into())
}

fn expectation(words: &[String]) -> Result<Expect, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["errno", name] => Ok(Expect::Errno((*name).to_owned())),
        ["output", text] => Ok(Expect::Output((*text).to_owned())),
        ["log", text] => Ok(Expect::Log((*text).to_owned())),
        ["log", count, text] => {
            let count = count.parse().map_err(|_| format!("{count} is no count"))?;
            Ok(Expect::LogTimes(count, (*text).to_owned()))
        }
        ["notes", texts @ ..] if !texts.is_empty() => Ok(Expect::Notes(
            texts.iter().map(|text| (*text).to_owned()).collect(),
        )),
        ["finding", rule, text @ ..] if text.len() < 2 => Ok(Expect::Finding {
            rule: (*rule).to_owned(),
            text: text.first().map(|text| (*text).to_owned()),
        }),
        ["module", name, "absent"] => Ok(Expect::Module {
            name: (*name).to_owned(),
            state: "absent".into(),
            count: None,
        }),
        [
            "module",
            name,
            state @ ("Live" | "Loading" | "Unloading"),
            count,
        ] => Ok(Expect::Module {
            name: (*name).to_owned(),
            state: (*state).to_owned(),
            count: Some(count.parse().map_err(|_| format!("{count} is no count"))?),
        }),
        _ => Err(
            "expect errno NAME, output \"TEXT\", log [COUNT] \"TEXT\", notes \"TEXT\"..., finding RULE [\"TEXT\"], or module NAME STATE COUNT".into(),
        ),
    }
}

/// Splits `key=value` options off; what is left are the plain words.
fn options<'w>(words: &'w [String], keys: &[&str]) -> (Vec<&'w str>, Vec<(&'w str, &'w str)>) {
    let mut plain = Vec::new();
    let mut keyed = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) if keys.contains(&key) => keyed.push((key, value)),
            _ => plain.push(word.as_str()),
        }
    }
    (plain, keyed)
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<i64>().ok().map(|n| n as u64),
    };
    parsed.ok_or_else(|| format!("{text} is no number"))
}

fn step(first: &str, rest: &[String]) -> Result<Step, String> {
    match first {
        "init_module" => {
            // The first two words are the file and the parameter string, which may hold a '='.
            let head = rest.len().min(2);
            let (plain, keyed) = options(&rest[head..], &["len", "ptr", "args"]);
            let (Some(file), []) = (rest.first(), plain.as_slice()) else {
                return Err(
                    "init_module FILE \"PARAMS\" [len=N] [ptr=null|bad] [args=null|bad]".into(),
                );
            };
            let mut step = (None, Pointer::Good, Pointer::Good);
            for (key, value) in keyed {
                match key {
                    "len" => step.0 = Some(number(value)?),
                    "ptr" => step.1 = Pointer::Bad,
                    _ => step.2 = Pointer::Bad,
                }
            }
            let params = rest.get(1).cloned().unwrap_or_default();
            Ok(Step::InitModule {
                file: file.clone(),
                params,
                args: step.2,
                len: step.0,
                pointer: step.1,
            })
        }
        "finit_module" => {
            let head = rest.len().min(2);
            let (plain, keyed) = options(&rest[head..], &["flags", "open", "fd", "args"]);
            let (Some(file), []) = (rest.first(), plain.as_slice()) else {
                return Err("finit_module FILE \"PARAMS\" [flags=N] [open=rdonly|wronly|rdwr] [fd=-1|dir|pipe|null] [args=null|bad]".into());
            };
            let (mut flags, mut fd, mut args) = (0, Fd::Read, Pointer::Good);
            for (key, value) in keyed {
                match (key, value) {
                    ("flags", value) => flags = number(value)? as u32,
                    ("open", "rdonly") => fd = Fd::Read,
                    ("open", "wronly") => fd = Fd::Write,
                    ("open", "rdwr") => fd = Fd::ReadWrite,
                    ("fd", "-1") => fd = Fd::None,
                    ("fd", "dir" | "pipe" | "null") => fd = Fd::Irregular,
                    ("args", _) => args = Pointer::Bad,
                    _ => return Err(format!("{key}={value} is not known")),
                }
            }
            let params = rest.get(1).cloned().unwrap_or_default();
            Ok(Step::FinitModule {
                file: file.clone(),
                params,
                args,
                flags,
                fd,
            })
        }
        "delete_module" => {
            let (plain, keyed) = options(rest, &["flags", "ptr"]);
            let [name] = plain.as_slice() else {
                return Err(
                    "delete_module NAME [flags=nonblock|trunc|nonblock,trunc] [ptr=null|bad]"
                        .into(),
                );
            };
            let (mut flags, mut pointer) = (0, Pointer::Good);
            for (key, value) in keyed {
                if key == "ptr" {
                    pointer = Pointer::Bad;
                    continue;
                }
                for flag in value.split(',') {
                    flags |= match flag {
                        "nonblock" => lkm_kernel::module::delete::O_NONBLOCK,
                        "trunc" => lkm_kernel::module::delete::O_TRUNC,
                        other => number(other)? as u32,
                    };
                }
            }
            Ok(Step::DeleteModule {
                name: (*name).to_owned(),
                flags,
                pointer,
            })
        }
        "insmod" | "rmmod" | "lsmod" | "modprobe" | "modinfo" => Ok(Step::Tool {
            name: first.to_owned(),
            args: rest.to_vec(),
        }),
        "echo" => match rest {
            [text, arrow, path] if arrow == ">" => Ok(Step::Write {
                path: path.clone(),
                text: format!("{text}\n"),
            }),
            _ => Err("echo TEXT > PATH".into()),
        },
        "dmesg" => Ok(Step::Dmesg),
        "ps" => Ok(Step::Ps),
        _ => other_step(first, rest),
    }
}

/// One word and perhaps `--json`.
fn with_json(usage: &str, rest: &[String]) -> Result<(String, bool), String> {
    let (flags, words): (Vec<&String>, Vec<&String>) = rest.iter().partition(|w| *w == "--json");
    match words.as_slice() {
        [module] => Ok(((*module).clone(), !flags.is_empty())),
        _ => Err(usage.into()),
    }
}

fn other_step(first: &str, rest: &[String]) -> Result<Step, String> {
    let one = |usage: &str| match rest {
        [word] => Ok(word.clone()),
        _ => Err(format!("{first} {usage}")),
    };
    match first {
        "mknod" => match rest {
            [path, kind, major, minor] if kind == "c" => {
                let (major, minor) = (number(major)?, number(minor)?);
                // Twelve and twenty bits.
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return Err("a major number has 12 bits, a minor number 20".into());
                }
                Ok(Step::Mknod {
                    path: path.clone(),
                    major: major as u32,
                    minor: minor as u32,
                })
            }
            _ => Err("mknod PATH c MAJOR MINOR".into()),
        },
        "cat" => Ok(Step::Cat(one("PATH")?)),
        "ls" => Ok(Step::Ls(one("PATH")?)),
        "lsof" => Ok(Step::Lsof(one("PID|NAME")?)),
        "why" => {
            let (module, json) = with_json("why [--json] MODULE", rest)?;
            Ok(Step::Why { module, json })
        }
        "findings" => match rest {
            [] => Ok(Step::Findings(None)),
            [module] => Ok(Step::Findings(Some(module.clone()))),
            _ => Err("findings [MODULE]".into()),
        },
        "reap" => match one("delay|soon|now|reuse")?.as_str() {
            "delay" => Ok(Step::Reap(Reap::Delay)),
            "soon" => Ok(Step::Reap(Reap::Soon)),
            "now" => Ok(Step::Reap(Reap::Now)),
            "reuse" => Ok(Step::Reap(Reap::Reuse)),
            _ => Err("reap delay|soon|now|reuse".into()),
        },
        "trace" => match one("on|off")?.as_str() {
            "on" => Ok(Step::Steps(true)),
            "off" => Ok(Step::Steps(false)),
            _ => Err("trace on|off".into()),
        },
        "unload" => match rest {
            [force, rest @ ..] if force == "--force" => {
                let (module, json) = with_json("unload --force [--json] MODULE", rest)?;
                Ok(Step::Force { module, json })
            }
            _ => Err("unload --force [--json] MODULE".into()),
        },
        "kill" => match rest {
            [who] => Ok(Step::Kill {
                who: who.clone(),
                signal: 15,
            }),
            [who, signal] => Ok(Step::Kill {
                who: who.clone(),
                signal: number(signal.trim_start_matches('-'))? as u32,
            }),
            _ => Err("kill PID|NAME [SIGNAL]".into()),
        },
        "sysctl" => {
            let word = rest.join("=");
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            if name.is_empty() {
                return Err("sysctl NAME[=VALUE]".into());
            }
            Ok(Step::Sysctl {
                name: name.to_owned(),
                value,
            })
        }
        "join" => Ok(Step::Join(one("NAME")?)),
        "stop" => Ok(Step::Stop(one("NAME")?)),
        "write" => match rest {
            // A descriptor's name has no slash.
            [name, text] if !name.contains('/') => {
                let words = [name.clone(), text.clone()];
                act_words::parse("put", &words)
                    .unwrap_or(Err(String::new()))
                    .map(Step::Does)
            }
            [path, text] => Ok(Step::Write {
                path: path.clone(),
                text: text.clone(),
            }),
            _ => Err("write PATH \"TEXT\"".into()),
        },
        "mount" => match rest {
            [kind, dir] => Ok(Step::Mount {
                kind: kind.clone(),
                dir: dir.clone(),
                source: "none".to_owned(),
            }),
            [kind, dir, source] => Ok(Step::Mount {
                kind: kind.clone(),
                dir: dir.clone(),
                source: source.clone(),
            }),
            _ => Err("mount TYPE DIRECTORY [SOURCE]".into()),
        },
        "umount" => Ok(Step::Umount(one("DIRECTORY")?)),
        "repeat" => match rest {
            [times, command, rest @ ..] if command != "repeat" => match number(times)? {
                times @ 0..=MAX_TIMES => Ok(Step::Repeat {
                    times: times as u32,
                    step: Box::new(step(command, rest)?),
                }),
                _ => Err(format!("at most {MAX_TIMES} times")),
            },
            _ => Err("repeat N COMMAND...".into()),
        },
        "helpers" => match rest {
            [] => Ok(Step::Helpers(None)),
            [on] if on == "on" || on == "off" => Ok(Step::Helpers(Some(on == "on"))),
            _ => Err("helpers [on|off]".into()),
        },
        "start" => match rest {
            [name, command, rest @ ..] => match step(command, rest)? {
                Step::Does(_) => Err(format!(
                    "{command} runs in its process without start: what waits there goes on in the background"
                )),
                step => Ok(Step::Start {
                    name: name.clone(),
                    step: Box::new(step),
                }),
            },
            _ => Err("start NAME COMMAND...".into()),
        },
        other => match act_words::parse(other, rest) {
            Some(doing) => Ok(Step::Does(doing?)),
            None => Err(match help::find(other) {
                Some(entry) => format!("{} {}", entry.name, entry.usage),
                None => format!("{other}: no such command; docs/lab-script.md has them all"),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Command {
        parse_line(line).unwrap().unwrap().1
    }

    #[test]
    fn words_keep_quotes_together() {
        assert_eq!(
            words(r#"a "b c" d="e f" # rest"#).unwrap(),
            ["a", "b c", "d=e f"]
        );
        assert_eq!(words(r#""x\n\"y\"""#).unwrap(), ["x\n\"y\""]);
        assert!(words("\"open").is_err());
    }

    #[test]
    fn a_block_comes_as_often_as_it_says() {
        let texts = |script: &str| {
            let lines = parse(script)?;
            Ok::<_, String>(
                lines
                    .into_iter()
                    .map(|l| (l.number, l.text))
                    .collect::<Vec<_>>(),
            )
        };
        let line = |number, text: &str| (number, text.to_owned());
        assert_eq!(
            texts("repeat 2\nlsmod\nps\nend\nrepeat 3 ps\n").unwrap(),
            [
                line(2, "lsmod"),
                line(3, "ps"),
                line(2, "lsmod"),
                line(3, "ps"),
                line(5, "repeat 3 ps")
            ]
        );
        for wrong in [
            "repeat 2\nps\n",
            "end\n",
            "repeat x\nps\nend\n",
            "repeat 0\nps\nend\n",
            "repeat 2\nrepeat 2\nps\nend\nend\n",
            "repeat 99999999999\nps\nend\n",
        ] {
            assert!(texts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_and_what_is_compared_is_read() {
        assert_eq!(one("as nobody"), Command::As(User::Nobody));
        assert_eq!(
            one("as root without CAP_SYSLOG"),
            Command::As(User::NoSyslog)
        );
        assert!(parse_line("as root without CAP_CHOWN").is_err());
        assert_eq!(one("uncertain order \"a * b\""), Command::Compared);
        assert!(parse_line("uncertain often \"a\"").is_err());
        assert!(parse_line("long").is_err());
    }

    #[test]
    fn a_parameter_string_is_not_taken_for_an_option() {
        let Command::Step(Step::InitModule { params, len, .. }) =
            one("init_module f.ko \"len=3\" len=0")
        else {
            panic!("not a step")
        };
        assert_eq!((params.as_str(), len), ("len=3", Some(0)));
    }

    #[test]
    fn times_and_flags_are_read() {
        assert_eq!(one("clock +5s"), Command::Clock(5_000_000_000));
        assert_eq!(one("clock +300ms"), Command::Clock(300_000_000));
        let Command::Step(Step::FinitModule { flags, .. }) = one("finit_module f \"\" flags=-1")
        else {
            panic!()
        };
        assert_eq!(flags, u32::MAX);
        assert_eq!(one("wait 5"), Command::Clock(5_000_000_000));
        assert!(parse_line("clock 99999999s").is_err());
        assert!(parse_line("clock soon").is_err());
        assert!(parse_line("frobnicate").is_err());
    }
}
