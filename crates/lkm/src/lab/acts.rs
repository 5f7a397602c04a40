//! What a user process of a script does with its descriptors: open, socket, read, write, send, receive, dup, close,
//! exit. The grammar and the system calls behind it.

use lkm_kernel::Cx;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::{files, mmap, open, ops};
use lkm_kernel::net::{family, netlink};
use lkm_kernel::sched;

/// AF_NETLINK.
const NETLINK: u32 = 16;

/// One system call of a named process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Open {
        path: String,
        flags: u32,
    },
    Socket {
        family: u32,
        kind: u32,
        protocol: u32,
    },
    Bind {
        groups: u32,
    },
    Send(String),
    Recv,
    Read(u64),
    Write(String),
    Ioctl {
        cmd: u64,
        arg: u64,
    },
    Mmap {
        len: u64,
        offset: u64,
    },
    Munmap,
    Poll,
    Seek {
        offset: i64,
        whence: u64,
    },
    Dup,
    Close,
    Exit,
}

/// An act, on which descriptor and in which process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doing {
    /// The process; without one it is that of the descriptor, or a new one of the descriptor's name.
    pub process: Option<String>,
    /// The name of the descriptor that the act uses or makes.
    pub name: String,
    /// A second name: what dup or mmap makes.
    pub other: String,
    pub act: Act,
}

const MMAP: &str = "mmap NAME MAPPING LENGTH [OFFSET]";

/// An event mask of poll(2), by the names of its bits.
fn poll_names(events: u32) -> String {
    let bits = [
        (0x1, "POLLIN"),
        (0x2, "POLLPRI"),
        (0x4, "POLLOUT"),
        (0x8, "POLLERR"),
        (0x10, "POLLHUP"),
        (0x40, "POLLRDNORM"),
        (0x100, "POLLWRNORM"),
    ];
    let names: Vec<&str> = bits
        .iter()
        .filter(|(bit, _)| events & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(" ")
    }
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
        ("bind", [name, groups]) => number(groups).and_then(|groups| {
            doing(
                name,
                Act::Bind {
                    groups: groups as u32,
                },
            )
        }),
        ("send", [name, text]) => doing(name, Act::Send((*text).to_owned())),
        ("send", _) => Err("send NAME \"TEXT\"".into()),
        ("recv", [name]) => doing(name, Act::Recv),
        ("recv", _) => Err("recv NAME".into()),
        ("read", [name]) => doing(name, Act::Read(4096)),
        ("read", [name, count]) => number(count).and_then(|n| doing(name, Act::Read(n))),
        ("put", [name, text]) => doing(name, Act::Write((*text).to_owned())),
        ("ioctl", [name, cmd]) => {
            number(cmd).and_then(|cmd| doing(name, Act::Ioctl { cmd, arg: 0 }))
        }
        ("ioctl", [name, cmd, arg]) => match (number(cmd), number(arg)) {
            (Ok(cmd), Ok(arg)) => doing(name, Act::Ioctl { cmd, arg }),
            _ => Err("ioctl NAME COMMAND [ARGUMENT]".into()),
        },
        ("mmap", [name, other, len @ ..]) if matches!(len.len(), 1 | 2) => {
            match (number(len[0]), len.get(1).map_or(Ok(0), |n| number(n))) {
                (Ok(len), Ok(offset)) => doing(name, Act::Mmap { len, offset }).map(|d| Doing {
                    other: (*other).to_owned(),
                    ..d
                }),
                _ => Err(MMAP.into()),
            }
        }
        ("mmap", _) => Err(MMAP.into()),
        ("munmap", [name]) => doing(name, Act::Munmap),
        ("munmap", _) => Err("munmap MAPPING".into()),
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
        ("bind", _) => Err("bind NAME GROUPS".into()),
        ("read", _) => Err("read NAME [COUNT]".into()),
        ("put", _) => Err("put NAME \"TEXT\"".into()),
        ("ioctl", _) => Err("ioctl NAME COMMAND [ARGUMENT]".into()),
        _ => return None,
    })
}

impl Act {
    /// Whether the act makes its descriptor rather than using it.
    pub(crate) fn makes(&self) -> bool {
        matches!(self, Act::Open { .. } | Act::Socket { .. })
    }

    /// Does it in the running process; what it answers, its output in `out`.
    pub(super) fn run(&self, cx: &mut Cx, fd: u32, out: &mut Vec<String>) -> R<i64> {
        let tid = sched::current_tid(cx);
        match self {
            Act::Open { path, flags } => Ok(match open::open_path(cx, tid, path, *flags)? {
                Ok(fd) => i64::from(fd),
                Err(errno) => errno,
            }),
            Act::Socket {
                family: NETLINK,
                protocol,
                ..
            } => netlink::socket(cx, tid, *protocol),
            Act::Socket {
                family,
                kind,
                protocol,
            } => family::socket(cx, tid, *family, *kind, *protocol),
            Act::Bind { groups } => match files::lookup(cx, tid, fd) {
                Some(file) => netlink::bind(cx, file, *groups),
                None => Ok(i64::from(-errno::EBADF)),
            },
            Act::Send(text) => netlink::send(cx, tid, fd, text.as_bytes()),
            Act::Recv => Ok(match netlink::receive(cx, tid, fd)? {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    out.push(text.trim_end_matches(['\0', '\n']).to_owned());
                    0
                }
                Err(errno) => errno,
            }),
            Act::Read(count) => Ok(match ops::read(cx, fd, *count)? {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    out.extend(text.lines().map(str::to_owned));
                    bytes.len() as i64
                }
                Err(errno) => errno,
            }),
            Act::Write(text) => ops::write(cx, fd, text.as_bytes()),
            Act::Ioctl { cmd, arg } => ops::ioctl(cx, fd, *cmd, *arg),
            Act::Mmap { len, offset } => mmap::mmap(cx, tid, fd, *len, *offset),
            Act::Munmap => mmap::munmap(cx, tid, u64::from(fd)),
            Act::Poll => {
                let events = ops::poll(cx, fd)?;
                if events >= 0 {
                    out.push(poll_names(events as u32));
                }
                Ok(events)
            }
            Act::Seek { offset, whence } => {
                let at = ops::lseek(cx, fd, *offset, *whence)?;
                if at >= 0 {
                    out.push(at.to_string());
                }
                Ok(at)
            }
            Act::Dup => files::dup(cx, tid, fd),
            Act::Close => ops::close(cx, fd),
            Act::Exit => Ok(0),
        }
    }
}
