//! Module options on the kernel's command line: `module.param=value`, and
//! `modprobe.blacklist=a,b`.
//!
//! The boot loader may have moved the quotes: `"mod.param=a b"` is taken as
//! `mod.param="a b"`.

use super::{Complaint, Config};
use crate::bytes;
use crate::text::underscores;

/// As much of the command line as is looked at.
const LIMIT: usize = 4095;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Ignore,
    Module,
    Param,
    Value,
}

/// Adds what the command line says to the configuration.
pub fn parse(line: &[u8], config: &mut Config) {
    let line = &line[..line.len().min(LIMIT)];
    let line = &line[..line.iter().position(|&c| c == 0).unwrap_or(line.len())];

    let mut state = State::Module;
    let mut quoted = false;
    let mut quote_start = None;
    let (mut module, mut param, mut value) = (0, 0, 0);
    for (p, c) in line.iter().copied().chain([0]).enumerate() {
        match c {
            b'"' => {
                quoted = !quoted;
                // A quote may start a word or stand in a value, nowhere else.
                if quoted && state == State::Module && p == module {
                    quote_start = Some(p);
                    module = p + 1;
                } else if state != State::Value {
                    state = State::Ignore;
                }
            }
            0 | b' ' | b'\n' | b'\t' | 0x0b | 0x0c | b'\r' => {
                if quoted && state == State::Value {
                    // Blanks may be in a quoted value.
                } else if quoted {
                    state = State::Ignore;
                } else {
                    if state == State::Value || state == State::Param {
                        let name = &line[module..param - 1];
                        let mut text = line[param..p].to_vec();
                        // The value as kmod sees it: all after the `=`.
                        let mut list = if state == State::Value {
                            &line[value..p]
                        } else {
                            b""
                        };
                        if quote_start.is_some() && state == State::Value {
                            text.insert(value - param, b'"');
                            list = list.strip_suffix(b"\"").unwrap_or(list);
                        }
                        result(config, name, &text, list);
                    }
                    module = p + 1;
                    state = State::Module;
                    quote_start = None;
                }
            }
            b'.' if state == State::Module => {
                param = p + 1;
                state = State::Param;
            }
            b'.' if state == State::Param => state = State::Ignore,
            b'=' if state == State::Param => {
                value = p + 1;
                state = State::Value;
            }
            b'=' if state == State::Module => state = State::Ignore,
            _ => {}
        }
    }
}

fn result(config: &mut Config, module: &[u8], text: &[u8], value: &[u8]) {
    if module == b"modprobe" && text.starts_with(b"blacklist=") {
        for name in value.split(|&c| c == b',') {
            config.blacklists.push(name.to_vec());
        }
        return;
    }
    match underscores(module) {
        Ok(name) => config.add_options(name, text),
        Err(_) => config.complaints.push(Complaint {
            text: bytes!(
                "Ignoring bad option on kernel command line while parsing module name: '",
                module,
                "'"
            ),
            minor: false,
            from: "kcmdline_parse_result",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Vec<String> {
        let mut c = Config::default();
        parse(line.as_bytes(), &mut c);
        let mut out: Vec<_> = c
            .options
            .iter()
            .map(|o| {
                format!(
                    "{} {}",
                    String::from_utf8_lossy(&o.module),
                    String::from_utf8_lossy(&o.text)
                )
            })
            .collect();
        out.extend(
            c.blacklists
                .iter()
                .map(|b| format!("-{}", String::from_utf8_lossy(b))),
        );
        out
    }

    #[test]
    fn words_of_the_command_line() {
        assert_eq!(
            options("ro a.b=1 c-d.e root=UUID=1.2 x.y.z=3 quiet f.g=h.i=j\n"),
            ["a b=1", "c_d e", "f g=h.i=j"]
        );
    }

    #[test]
    fn quotes() {
        assert_eq!(options("a.b=\"c d\" e.f=g"), ["a b=\"c d\"", "e f=g"]);
        assert_eq!(options("\"a.b=c d\" e.f=g"), ["a b=\"c d\"", "e f=g"]);
        assert_eq!(options("a\"x.b=c\" \"s t\" e.f=g"), ["e f=g"]);
        assert_eq!(options("a.b=\"c d"), Vec::<String>::new());
    }

    #[test]
    fn blacklist() {
        assert_eq!(
            options("modprobe.blacklist=a,b-c modprobe.x=1"),
            ["modprobe x=1", "-a", "-b-c"]
        );
    }
}
