//! What a user process of a script does with its descriptors and mappings: the system calls behind the words of
//! [`super::act_words`].

use lkm_kernel::Cx;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::{files, open, ops};
use lkm_kernel::mm::{memory, mmap};
use lkm_kernel::net::socket::{self, Deed};
use lkm_kernel::net::{family, netlink};
use lkm_kernel::sched;
use lkm_trace::TaskEnd;

/// O_WRONLY.
const WRITE_ONLY: u32 = 1;
/// AF_NETLINK.
pub(super) const NETLINK: u32 = 16;

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
    /// bind(2): netlink groups, or an address of another family.
    Bind {
        groups: Option<u32>,
        address: String,
    },
    Connect(String),
    Listen(u32),
    Shutdown(u32),
    Send(String),
    Recv,
    Read(u64),
    Write(String),
    /// A file opened, written with one write(2), and closed.
    WriteFile {
        path: String,
        text: String,
    },
    /// A file opened, read to its end, and closed.
    ReadFile {
        path: String,
    },
    Ioctl {
        cmd: u64,
        arg: u64,
        /// The argument is the address of this mapping.
        mapping: Option<String>,
    },
    Mmap(mmap::Wish),
    /// The whole mapping, or so many bytes at an offset.
    Munmap(Option<(u64, u64)>),
    /// Loads from a mapping, at an offset.
    Peek {
        offset: u64,
        len: u64,
    },
    /// Stores to a mapping.
    Poke {
        offset: u64,
        text: String,
    },
    /// fork(2): the child is another named process.
    Fork,
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

/// What a descriptor has, up to a megabyte, and 0 or the errno that ended it.
fn read_all(cx: &mut Cx, fd: u32) -> R<(Vec<u8>, i64)> {
    let mut all = Vec::new();
    while all.len() < 1 << 20 {
        match ops::read(cx, fd, 4096)? {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => all.extend(bytes),
            Err(errno) => return Ok((all, errno)),
        }
    }
    Ok((all, 0))
}

/// A call on a socket of a family that a module registered; netlink has none of these.
fn on_socket(cx: &mut Cx, fd: u32, deed: &Deed) -> R<i64> {
    match files::lookup(cx, sched::current_tid(cx), fd) {
        Some(file) => socket::act(cx, file, deed),
        None => Ok(i64::from(-errno::EBADF)),
    }
}

/// The running process ends by a signal that its own access brought; 0 is none.
fn died(cx: &mut Cx, signal: u32) {
    if signal != 0 {
        let tid = sched::current_tid(cx);
        sched::tell_killed(cx, tid, signal);
        sched::exit(cx, TaskEnd::Killed, 0);
    }
}

impl Act {
    /// Whether the act is done to a mapping and not to a descriptor.
    pub(crate) fn on_mapping(&self) -> bool {
        matches!(self, Act::Munmap(_) | Act::Peek { .. } | Act::Poke { .. })
    }

    /// Whether the act makes its descriptor rather than using it.
    pub(crate) fn makes(&self) -> bool {
        matches!(
            self,
            Act::Open { .. } | Act::Socket { .. } | Act::WriteFile { .. } | Act::ReadFile { .. }
        )
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
            Act::Bind { groups, address } => match files::lookup(cx, tid, fd) {
                Some(file) if socket::is_one(cx, file) => {
                    socket::act(cx, file, &Deed::Bind(address.as_bytes().to_vec()))
                }
                Some(file) => match groups {
                    Some(groups) => netlink::bind(cx, file, *groups),
                    None => Ok(i64::from(-errno::EINVAL)),
                },
                None => Ok(i64::from(-errno::EBADF)),
            },
            Act::Connect(address) => on_socket(cx, fd, &Deed::Connect(address.as_bytes().to_vec())),
            Act::Listen(backlog) => on_socket(cx, fd, &Deed::Listen(*backlog)),
            Act::Shutdown(how) => on_socket(cx, fd, &Deed::Shutdown(*how)),
            Act::Send(text) => match files::lookup(cx, tid, fd) {
                Some(file) if socket::is_one(cx, file) => socket::send(cx, file, text.as_bytes()),
                _ => netlink::send(cx, tid, fd, text.as_bytes()),
            },
            Act::Recv => {
                let got = match files::lookup(cx, tid, fd) {
                    Some(file) if socket::is_one(cx, file) => socket::receive(cx, file, 4096)?,
                    _ => netlink::receive(cx, tid, fd)?,
                };
                Ok(match got {
                    Ok(bytes) => {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        out.push(text.trim_end_matches(['\0', '\n']).to_owned());
                        0
                    }
                    Err(errno) => errno,
                })
            }
            Act::Read(count) => Ok(match ops::read(cx, fd, *count)? {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    out.extend(text.lines().map(str::to_owned));
                    bytes.len() as i64
                }
                Err(errno) => errno,
            }),
            Act::Write(text) => ops::write(cx, fd, text.as_bytes()),
            Act::WriteFile { path, text } => match open::open_path(cx, tid, path, WRITE_ONLY)? {
                Ok(fd) => {
                    let written = ops::write(cx, fd, text.as_bytes())?;
                    files::close(cx, tid, fd)?;
                    Ok(written)
                }
                Err(errno) => Ok(errno),
            },
            Act::ReadFile { path } => match open::open_path(cx, tid, path, 0)? {
                Ok(fd) => {
                    let (bytes, answer) = read_all(cx, fd)?;
                    files::close(cx, tid, fd)?;
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    out.extend(text.lines().map(str::to_owned));
                    Ok(answer)
                }
                Err(errno) => Ok(errno),
            },
            Act::Ioctl { cmd, arg, .. } => ops::ioctl(cx, fd, *cmd, *arg),
            Act::Mmap(wish) => mmap::mmap(cx, tid, fd, wish),
            Act::Peek { offset, len } => {
                let at = u64::from(fd).saturating_add(*offset);
                let (bytes, signal) = memory::load(cx, at, *len)?;
                if !bytes.is_empty() {
                    out.push(bytes.escape_ascii().to_string());
                }
                died(cx, signal);
                Ok(0)
            }
            Act::Poke { offset, text } => {
                let at = u64::from(fd).saturating_add(*offset);
                let (_, signal) = memory::store(cx, at, text.as_bytes())?;
                died(cx, signal);
                Ok(0)
            }
            // The descriptor's place has the child's task.
            Act::Fork => {
                files::copy_table(cx, tid, fd)?;
                mmap::fork(cx, tid, fd)
            }
            Act::Munmap(part) => {
                let start = u64::from(fd);
                let (at, len) = match part {
                    Some((offset, len)) => (start.saturating_add(*offset), *len),
                    None => (start, mmap::length(cx, tid, start).unwrap_or(0)),
                };
                mmap::munmap(cx, tid, at, len)
            }
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
