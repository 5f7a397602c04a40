//! The words of what a process does (docs/lab-script.md): which system call, on which descriptor, in which process.

use super::acts::{Act, Doing, NETLINK};
use lkm_kernel::mm::mmap::Wish;

const MMAP: &str = "mmap NAME MAPPING LENGTH [OFFSET] [shared|private] [ro|rw]";
/// Most bytes that one peek shows.
const MAX_PEEK: u64 = 65536;

/// The length of a mapping and what follows it.
fn wish(len: &str, rest: &[&str]) -> Result<Wish, String> {
    let mut wish = Wish {
        len: number(len)?,
        offset: 0,
        private: false,
        write: None,
    };
    for (index, word) in rest.iter().enumerate() {
        match *word {
            "shared" => wish.private = false,
            "private" => wish.private = true,
            "ro" => wish.write = Some(false),
            "rw" => wish.write = Some(true),
            offset if index == 0 => wish.offset = number(offset)?,
            _ => return Err(MMAP.into()),
        }
    }
    Ok(wish)
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("{text} is no number"))
}

/// Reads an act; None when the first word is none of theirs.
pub(crate) fn parse(first: &str, rest: &[String]) -> Option<Result<Doing, String>> {
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let doing = |name: &str, act: Act| {
        Ok(Doing {
            process: None,
            name: name.to_owned(),
            other: String::new(),
            act,
        })
    };
    Some(match (first, words.as_slice()) {
        ("proc", [process, "write", target, text]) => {
            let act = if target.starts_with('/') {
                Act::WriteFile {
                    path: (*target).to_owned(),
                    text: (*text).to_owned(),
                }
            } else {
                Act::Write((*text).to_owned())
            };
            doing(target, act).map(|d| Doing {
                process: Some((*process).to_owned()),
                ..d
            })
        }
        ("proc", [process, "cat", path]) => {
            let path = (*path).to_owned();
            doing(process, Act::ReadFile { path }).map(|d| Doing {
                process: Some((*process).to_owned()),
                ..d
            })
        }
        ("proc", [process, command, ..]) => match parse(command, &rest[2..]) {
            Some(Ok(inner)) => Ok(Doing {
                process: Some((*process).to_owned()),
                ..inner
            }),
            Some(Err(why)) => Err(why),
            None => Err(format!("{command} is nothing that a process does")),
        },
        ("proc", _) => Err("proc NAME COMMAND...".into()),
        ("open", [path, name]) => doing(
            name,
            Act::Open {
                path: (*path).to_owned(),
                flags: 0,
            },
        ),
        ("open", [path, name, mode @ ("rdonly" | "wronly" | "rdwr")]) => doing(
            name,
            Act::Open {
                path: (*path).to_owned(),
                flags: match *mode {
                    "rdonly" => 0,
                    "wronly" => 1,
                    _ => 2,
                },
            },
        ),
        ("open", _) => Err("open PATH NAME [rdonly|wronly|rdwr]".into()),
        ("socket", [name, "netlink", protocol]) => number(protocol).and_then(|protocol| {
            doing(
                name,
                Act::Socket {
                    family: NETLINK,
                    kind: 3,
                    protocol: protocol as u32,
                },
            )
        }),
        ("socket", [name, family, kind, protocol]) => {
            match (number(family), number(kind), number(protocol)) {
                (Ok(family), Ok(kind), Ok(protocol)) => doing(
                    name,
                    Act::Socket {
                        family: family as u32,
                        kind: kind as u32,
                        protocol: protocol as u32,
                    },
                ),
                _ => Err("socket NAME FAMILY TYPE PROTOCOL".into()),
            }
        }
        ("socket", _) => Err("socket NAME netlink PROTOCOL".into()),
        ("bind", [name, address]) => doing(
            name,
            Act::Bind {
                groups: number(address).ok().map(|groups| groups as u32),
                address: (*address).to_owned(),
            },
        ),
        ("connect", [name, address]) => doing(name, Act::Connect((*address).to_owned())),
        ("connect", _) => Err("connect NAME ADDRESS".into()),
        ("listen", [name, backlog @ ..]) if backlog.len() < 2 => {
            number(backlog.first().unwrap_or(&"128"))
                .and_then(|backlog| doing(name, Act::Listen(backlog as u32)))
        }
        ("listen", _) => Err("listen NAME [BACKLOG]".into()),
        ("shutdown", [name]) => doing(name, Act::Shutdown(2)),
        ("shutdown", [name, how @ ("read" | "write" | "both")]) => {
            let how = match *how {
                "read" => 0,
                "write" => 1,
                _ => 2,
            };
            doing(name, Act::Shutdown(how))
        }
        ("shutdown", _) => Err("shutdown NAME [read|write|both]".into()),
        ("send", [name, text]) => doing(name, Act::Send((*text).to_owned())),
        ("send", _) => Err("send NAME \"TEXT\"".into()),
        ("recv", [name]) => doing(name, Act::Recv),
        ("recv", _) => Err("recv NAME".into()),
        ("read", [name]) => doing(name, Act::Read(4096)),
        ("read", [name, count]) => number(count).and_then(|n| doing(name, Act::Read(n))),
        ("put", [name, text]) => doing(name, Act::Write((*text).to_owned())),
        ("ioctl", [name, cmd, arg @ ..]) if arg.len() < 2 => number(cmd).and_then(|cmd| {
            let arg = arg.first().copied().unwrap_or("0");
            let value = number(arg);
            let mapping = value.is_err().then(|| arg.to_owned());
            let arg = value.unwrap_or(0);
            doing(name, Act::Ioctl { cmd, arg, mapping })
        }),
        ("mmap", [name, other, len, rest @ ..]) => wish(len, rest).and_then(|wish| {
            doing(name, Act::Mmap(wish)).map(|d| Doing {
                other: (*other).to_owned(),
                ..d
            })
        }),
        ("mmap", _) => Err(MMAP.into()),
        ("munmap", [name]) => doing(name, Act::Munmap(None)),
        ("munmap", [name, offset, len]) => match (number(offset), number(len)) {
            (Ok(offset), Ok(len)) => doing(name, Act::Munmap(Some((offset, len)))),
            (Err(why), _) | (_, Err(why)) => Err(why),
        },
        ("munmap", _) => Err("munmap MAPPING [OFFSET LENGTH]".into()),
        ("peek", [name, offset, len @ ..]) if len.len() < 2 => {
            let len = len.first().map_or(Ok(16), |n| number(n));
            match (number(offset), len) {
                (Ok(offset), Ok(len)) if len <= MAX_PEEK => doing(name, Act::Peek { offset, len }),
                (Ok(_), Ok(_)) => Err(format!("at most {MAX_PEEK} bytes")),
                (Err(why), _) | (_, Err(why)) => Err(why),
            }
        }
        ("peek", _) => Err("peek MAPPING OFFSET [COUNT]".into()),
        ("poke", [name, offset, text]) => number(offset).and_then(|offset| {
            let text = (*text).to_owned();
            doing(name, Act::Poke { offset, text })
        }),
        ("poke", _) => Err("poke MAPPING OFFSET \"TEXT\"".into()),
        ("fork", [process, child]) => doing(process, Act::Fork).map(|d| Doing {
            process: Some((*process).to_owned()),
            other: (*child).to_owned(),
            ..d
        }),
        ("fork", _) => Err("fork PROCESS CHILD".into()),
        ("poll", [name]) => doing(name, Act::Poll),
        ("poll", _) => Err("poll NAME".into()),
        ("lseek", [name, offset]) => match offset.parse() {
            Ok(offset) => doing(name, Act::Seek { offset, whence: 0 }),
            Err(_) => Err("lseek NAME OFFSET".into()),
        },
        ("lseek", _) => Err("lseek NAME OFFSET".into()),
        ("dup", [name, other]) => doing(name, Act::Dup).map(|d| Doing {
            other: (*other).to_owned(),
            ..d
        }),
        ("dup", _) => Err("dup NAME NEWNAME".into()),
        ("close", [name]) => doing(name, Act::Close),
        ("close", _) => Err("close NAME".into()),
        ("exit", [name]) => doing(name, Act::Exit),
        ("exit", _) => Err("exit NAME".into()),
        ("bind", _) => Err("bind NAME GROUPS|ADDRESS".into()),
        ("read", _) => Err("read NAME [COUNT]".into()),
        ("put", _) => Err("put NAME \"TEXT\"".into()),
        ("ioctl", _) => Err("ioctl NAME COMMAND [ARGUMENT]".into()),
        _ => return None,
    })
}
