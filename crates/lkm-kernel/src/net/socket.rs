//! System calls on sockets of families that modules register (net/socket.c): the operation that each comes to, with a
//! msghdr and an address in kernel memory. A socket file's read and write are recvmsg and sendmsg without an address.

use super::family;
use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::files::{self, KernelOps};
use crate::layout::NONE;
use crate::lib::iov_iter;
use crate::mm::{self, uaccess};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("sock_no_bind", unsupported),
    behaves("sock_no_connect", unsupported),
    behaves("sock_no_socketpair", unsupported),
    behaves("sock_no_accept", unsupported),
    behaves("sock_no_getname", unsupported),
    behaves("sock_no_ioctl", unsupported),
    behaves("sock_no_listen", unsupported),
    behaves("sock_no_shutdown", unsupported),
    behaves("sock_no_sendmsg", unsupported),
    behaves("sock_no_recvmsg", unsupported),
    behaves("sock_no_mmap", no_device),
];

/// Room for a msghdr, with an iovec behind it.
const MSG_ROOM: u64 = 512;
/// Most bytes of an address (sizeof(struct sockaddr_storage)).
const MAX_ADDRESS: usize = 128;
/// Most bytes of one message.
const MAX_MESSAGE: u64 = 1 << 20;
/// ENOTSOCK.
const ENOTSOCK: i32 = 88;

/// What socket files do.
pub(super) static SOCKET: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: Some(ioctl),
    release: Some(family::release),
};

fn unsupported(_: &mut Cx, _: &Call) -> R {
    Ok(neg(EOPNOTSUPP))
}

fn no_device(_: &mut Cx, _: &Call) -> R {
    Ok(neg(ENODEV))
}

/// What is done to a socket besides messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// bind(2), with the bytes of the address behind its family.
    Bind(Vec<u8>),
    /// connect(2).
    Connect(Vec<u8>),
    /// listen(2).
    Listen(u32),
    /// shutdown(2): 0 reading, 1 writing, 2 both.
    Shutdown(u32),
}

/// Whether a file is a socket of such a family.
pub fn is_one(cx: &Cx, file: u64) -> bool {
    family::socket_of(cx, file).is_some()
}

/// A socket's operation: the socket and the function.
fn operation(cx: &Cx, file: u64, member: u64) -> R<Result<(u64, u64), i32>> {
    let Some(sock) = family::socket_of(cx, file) else {
        return Ok(Err(ENOTSOCK));
    };
    let ops = cx.r64(sock + cx.off.socket_ops)?;
    if ops == 0 || member == NONE {
        return Ok(Err(EOPNOTSUPP));
    }
    // The kernel calls what is there: NULL is an oops.
    Ok(Ok((sock, cx.r64(ops + member)?)))
}

/// bind, connect, listen or shutdown: 0, or a negative errno.
pub fn act(cx: &mut Cx, file: u64, deed: &Deed) -> R<i64> {
    let off = cx.off;
    let member = match deed {
        Deed::Bind(_) => off.proto_ops_bind,
        Deed::Connect(_) => off.proto_ops_connect,
        Deed::Listen(_) => off.proto_ops_listen,
        Deed::Shutdown(_) => off.proto_ops_shutdown,
    };
    let (sock, method) = match operation(cx, file, member)? {
        Ok(found) => found,
        Err(errno) => return Ok(i64::from(-errno)),
    };
    let answer = match deed {
        Deed::Bind(bytes) | Deed::Connect(bytes) => {
            if bytes.len() + 2 > MAX_ADDRESS {
                return Ok(i64::from(-EINVAL));
            }
            let address = mm::kalloc(cx, MAX_ADDRESS as u64)?;
            let family = files::info(cx, file).map_or(0, |open| open.data as u16);
            cx.w16(address, family)?;
            cx.write(address + 2, bytes)?;
            let len = bytes.len() as u64 + 2;
            let answer = cx.call_guest(method, &[sock, address, len, 0]);
            mm::kfree(cx, address);
            answer
        }
        Deed::Listen(number) | Deed::Shutdown(number) => {
            cx.call_guest(method, &[sock, u64::from(*number)])
        }
    };
    Ok(i64::from(answer as i32))
}

/// A message to or from user memory: bytes, or a negative errno.
fn message(cx: &mut Cx, file: u64, buf: u64, len: u64, send: bool) -> R<i64> {
    let off = cx.off;
    let member = if send {
        off.proto_ops_sendmsg
    } else {
        off.proto_ops_recvmsg
    };
    let (sock, method) = match operation(cx, file, member)? {
        Ok(found) => found,
        Err(errno) => return Ok(i64::from(-errno)),
    };
    if off.msg_iter == NONE || off.iter_kvec == NONE {
        return Ok(i64::from(-EOPNOTSUPP));
    }
    let msg = mm::kalloc(cx, MSG_ROOM)?;
    let (iter, vec) = (msg + off.msg_iter, msg + MSG_ROOM - 16);
    iov_iter::single(cx, iter, vec, buf, len, send)?;
    let args = [sock, msg, len, 0];
    let answer = cx.call_guest(method, if send { &args[..3] } else { &args }) as i32;
    mm::kfree(cx, msg);
    Ok(i64::from(answer))
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    message(cx, file, buf, len, false)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    message(cx, file, buf, len, true)
}

fn ioctl(cx: &mut Cx, file: u64, cmd: u64, arg: u64) -> R<i64> {
    let (sock, method) = match operation(cx, file, cx.off.proto_ops_ioctl)? {
        Ok(found) => found,
        Err(errno) => return Ok(i64::from(-errno)),
    };
    if method == 0 {
        return Ok(i64::from(-ENOTTY));
    }
    let answer = cx.call_guest(method, &[sock, cmd, arg]) as i32;
    // What the family does not know a device might: there is none.
    Ok(i64::from(if answer == -ENOIOCTLCMD {
        -ENOTTY
    } else {
        answer
    }))
}

/// sendmsg(2) of these bytes: how many went, or a negative errno.
pub fn send(cx: &mut Cx, file: u64, bytes: &[u8]) -> R<i64> {
    let len = (bytes.len() as u64).min(MAX_MESSAGE);
    let Some(buf) = uaccess::map_pages(cx, len) else {
        return Ok(i64::from(-ENOMEM));
    };
    cx.write(buf, &bytes[..len as usize])?;
    let answer = message(cx, file, buf, len, true)?;
    uaccess::unmap_pages(cx, buf, len);
    Ok(answer)
}

/// recvmsg(2) of up to `len` bytes, or a negative errno.
pub fn receive(cx: &mut Cx, file: u64, len: u64) -> R<Result<Vec<u8>, i64>> {
    let len = len.min(MAX_MESSAGE);
    let Some(buf) = uaccess::map_pages(cx, len) else {
        return Ok(Err(i64::from(-ENOMEM)));
    };
    let got = message(cx, file, buf, len, false)?;
    let answer = if got < 0 {
        Err(got)
    } else {
        Ok(cx.bytes(buf, (got as u64).min(len))?)
    };
    uaccess::unmap_pages(cx, buf, len);
    Ok(answer)
}
