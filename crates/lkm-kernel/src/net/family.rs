//! Socket families that modules register (net/socket.c, net/core/sock.c): sock_register, the create operation, and
//! the module references of an open socket: the owner of its operations and of its protocol.

use super::socket_file;
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::files;
use crate::hash::Map;
use crate::module::{kmod, refs};
use crate::sched::Tid;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("sock_register", sock_register)
        .acquires("socket family", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOBUFS)),
    behaves("sock_unregister", sock_unregister),
    behaves("proto_register", proto_register)
        .acquires("protocol", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOBUFS))
        .sleeps(),
    behaves("proto_unregister", zero).releases("protocol", Key::Arg(0)),
    behaves("sk_alloc", sk_alloc)
        .fails(Fails::Null)
        .sleeps_gfp(2),
    behaves("sk_free", sk_free),
    behaves("sock_init_data", sock_init_data),
    behaves("sock_create_kern", sock_create_kern).sleeps(),
    behaves("sock_release", sock_release).sleeps(),
];

/// AF_MAX.
const AF_MAX: u32 = 46;
/// AF_NETLINK.
const AF_NETLINK: u32 = 16;

/// The state.
#[derive(Default)]
pub(crate) struct State {
    families: BTreeMap<u32, u64>,
    /// Open sockets: file to (struct socket, module that owns its operations).
    open: Map<u64, (u64, u64)>,
    /// Socks to the module of their protocol.
    socks: Map<u64, u64>,
}

impl State {
    pub(super) fn pinned(&self, file: u64) -> Option<u64> {
        self.open.get(&file).map(|&(_, owner)| owner)
    }
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn sock_register(cx: &mut Cx, c: &Call) -> R {
    let family = cx.r32(c.a[0] + cx.off.family_family)?;
    if family >= AF_MAX {
        let text = format!("protocol {family} >= NPROTO({AF_MAX})\n");
        crate::printk::log(cx, 2, &text);
        return Ok(neg(ENOBUFS));
    }
    if family == AF_NETLINK || cx.net.families.families.contains_key(&family) {
        return Ok(neg(EEXIST));
    }
    cx.net.families.families.insert(family, c.a[0]);
    tell(cx, "Registered", family);
    Ok(0)
}

/// pf_family_names, without their `PF_`.
const NAMES: &str = "UNSPEC UNIX INET AX25 IPX APPLETALK NETROM BRIDGE ATMPVC X25 INET6 ROSE DECnet NETBEUI SECURITY \
    KEY NETLINK/PF_ROUTE PACKET ASH ECONET ATMSVC RDS SNA IRDA PPPOX WANPIPE LLC IB MPLS CAN TIPC BLUETOOTH IUCV RXRPC \
    ISDN PHONET IEEE802154 CAIF ALG NFC VSOCK KCM QIPCRTR SMC XDP MCTP";

/// Kernels of today log a family's name, older ones its number.
fn tell(cx: &mut Cx, what: &str, family: u32) {
    let name = NAMES.split(' ').nth(family as usize);
    let text = match name.filter(|_| !cx.profile.old_oops) {
        Some(name) => format!("NET: {what} PF_{name} protocol family\n"),
        None => format!("NET: {what} protocol family {family}\n"),
    };
    crate::printk::log(cx, 6, &text);
}

fn sock_unregister(cx: &mut Cx, c: &Call) -> R {
    if let Some(ops) = cx.net.families.families.remove(&(c.a[0] as u32)) {
        crate::trace::released(cx, "socket family", ops);
        tell(cx, "Unregistered", c.a[0] as u32);
    }
    Ok(0)
}

fn proto_register(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    Ok(0)
}

/// `sk_alloc(net, family, priority, prot, kern)`: pins the protocol's owner.
fn sk_alloc(cx: &mut Cx, c: &Call) -> R {
    let prot = c.a[3];
    let owner = cx.r64(prot + cx.off.proto_owner)?;
    let size = u64::from(cx.r32(prot + cx.off.proto_obj_size)?);
    let size = size.max(cx.off.sock_size).min(1 << 20);
    let sk = mm::kalloc(cx, size)?;
    if !refs::try_get(cx, owner, "sock", sk, "")? {
        mm::kfree(cx, sk);
        return Ok(0);
    }
    cx.w64(sk + cx.off.sock_prot, prot)?;
    cx.w32(sk + cx.off.sock_refcnt, 1)?;
    cx.net.families.socks.insert(sk, owner);
    Ok(sk)
}

fn sk_free(cx: &mut Cx, c: &Call) -> R {
    let sk = c.a[0];
    cx.r64(sk)?;
    if let Some(owner) = cx.net.families.socks.remove(&sk) {
        mm::kfree(cx, sk);
        refs::put_key(cx, owner, "sock", sk)?;
    }
    Ok(0)
}

/// `sock_init_data(sock, sk)`: links the two.
fn sock_init_data(cx: &mut Cx, c: &Call) -> R {
    let [sock, sk, ..] = c.a;
    cx.w32(sk + cx.off.sock_refcnt, 1)?;
    if sock != 0 {
        cx.w64(sock + cx.off.socket_sk, sk)?;
        cx.w64(sk + cx.off.sock_socket, sock)?;
    }
    Ok(0)
}

/// The struct socket of a socket file.
pub(super) fn socket_of(cx: &Cx, file: u64) -> Option<u64> {
    cx.net.families.open.get(&file).map(|&(sock, _)| sock)
}

/// A socket that its family has created, for whom its operations' and its protocol's modules are to be pinned.
struct Created {
    sock: u64,
    /// The family, and the module that is held while it creates.
    family: (u64, u64),
    ops: u64,
    /// Owners of the operations and of the protocol.
    owners: [u64; 2],
}

/// __sock_create: the family makes the socket; a negative errno if it does not.
fn create(
    cx: &mut Cx,
    family: u32,
    kind: u32,
    protocol: u32,
    kernel: bool,
) -> R<Result<Created, i64>> {
    if family >= AF_MAX {
        return Ok(Err(i64::from(-EAFNOSUPPORT)));
    }
    if !cx.net.families.families.contains_key(&family) {
        kmod::request(cx, &format!("net-pf-{family}"), true)?;
    }
    let Some(&ops) = cx.net.families.families.get(&family) else {
        return Ok(Err(i64::from(-EAFNOSUPPORT)));
    };
    let off = cx.off;
    let owner = cx.r64(ops + off.family_owner)?;
    let holder = files::holder(cx);
    if !refs::try_get(cx, owner, "socket family", ops, &holder)? {
        return Ok(Err(i64::from(-EAFNOSUPPORT)));
    }
    let sock = mm::kalloc(cx, off.socket_size)?;
    cx.w16(sock + off.socket_type, kind as u16)?;
    let create = cx.r64(ops + off.family_create)?;
    let net = super::variable(cx, "init_net")?.unwrap_or(0);
    let args = [net, sock, u64::from(protocol), u64::from(kernel)];
    let answer = cx.call_guest(create, &args) as i32;
    if answer < 0 {
        refs::put_key(cx, owner, "socket family", ops)?;
        mm::kfree(cx, sock);
        return Ok(Err(i64::from(answer)));
    }
    let proto_ops = cx.r64(sock + off.socket_ops)?;
    let socket_owner = if proto_ops == 0 {
        0
    } else {
        cx.r64(proto_ops + off.proto_ops_owner)?
    };
    let prot = match cx.r64(sock + off.socket_sk)? {
        0 => 0,
        sk => cx.net.families.socks.get(&sk).copied().unwrap_or(0),
    };
    Ok(Ok(Created {
        sock,
        family: (ops, owner),
        ops: proto_ops,
        owners: [socket_owner, prot],
    }))
}

/// Pins the module of the socket's operations, which may be another than the family's, under `key`, the file or the
/// kernel's socket; the family's own is let go.
fn keep(cx: &mut Cx, made: &Created, key: u64) -> R<()> {
    let holder = files::holder(cx);
    let [owner, _] = made.owners;
    let pinned = refs::try_get(cx, owner, "socket", key, &holder)?;
    let (ops, family) = made.family;
    refs::put_key(cx, family, "socket family", ops)?;
    let kept = if pinned { owner } else { 0 };
    cx.net.families.open.insert(key, (made.sock, kept));
    Ok(())
}

/// socket(2) of the running process: a descriptor, or a negative errno.
pub fn socket(cx: &mut Cx, tid: Tid, family: u32, kind: u32, protocol: u32) -> R<i64> {
    let made = match create(cx, family, kind, protocol, false)? {
        Ok(made) => made,
        Err(errno) => return Ok(errno),
    };
    let what = format!("protocol: family {family}");
    let file = socket_file(cx, &what, &super::socket::SOCKET, u64::from(family))?;
    keep(cx, &made, file)?;
    crate::module::owner::check(cx, &what, made.ops, &[], &made.owners, "socket")?;
    let fd = files::install(cx, tid, file);
    files::end_of_call(cx)?;
    Ok(i64::from(fd))
}

/// sock_release: the operation, then the owner's reference.
pub(super) fn release(cx: &mut Cx, file: u64) -> R<()> {
    let Some((sock, owner)) = cx.net.families.open.remove(&file) else {
        return Ok(());
    };
    let ops = cx.r64(sock + cx.off.socket_ops)?;
    if ops != 0 {
        let release = cx.r64(ops + cx.off.proto_ops_release)?;
        if release != 0 {
            cx.call_guest(release, &[sock]);
        }
    }
    mm::kfree(cx, sock);
    refs::put_key(cx, owner, "socket", file)
}

/// `sock_create_kern(net, family, type, protocol, res)`: a socket without a file, of a family that a module registered.
/// The kernel's own families are not modelled: for them the call is answered by its prototype.
fn sock_create_kern(cx: &mut Cx, c: &Call) -> R {
    let [_, family, kind, protocol, res, ..] = c.a;
    let family = family as u32;
    let registered = cx.net.families.families.contains_key(&family);
    if !registered && family < AF_MAX {
        let proto = crate::symbols::Proto {
            ret: crate::symbols::Ret::Int,
            size: 0,
        };
        return crate::stub::answer(cx, c, "sock_create_kern", proto);
    }
    Ok(
        match create(cx, family, kind as u32, protocol as u32, true)? {
            Ok(made) => {
                keep(cx, &made, made.sock)?;
                cx.w64(res, made.sock)?;
                0
            }
            Err(errno) => errno as u64,
        },
    )
}

/// `sock_release(sock)`: of a socket that has no file.
fn sock_release(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[0])?;
    Ok(0)
}
