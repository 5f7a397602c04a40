//! Netlink (net/netlink/af_netlink.c): units that modules register, sockets of processes, messages both ways. A
//! process's socket pins the module that registered its unit; a message to the kernel is received in the
//! sender's own system call.

use super::skb;
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::files::{self, KernelOps};
use crate::hash::Map;
use crate::module::{kmod, refs};
use crate::sched::{self, Tid};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm};
use std::collections::{BTreeMap, VecDeque};

pub(crate) const ROWS: &[Row] = &[
    behaves("__netlink_kernel_create", kernel_create)
        .acquires("netlink socket", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("netlink_kernel_release", kernel_release)
        .releases("netlink socket", Key::Arg(0))
        .sleeps(),
    behaves("netlink_unicast", unicast),
    behaves("netlink_broadcast", broadcast),
    behaves("netlink_has_listeners", has_listeners),
    behaves("netlink_ack", ack),
    behaves("__nlmsg_put", nlmsg_put).fails(Fails::Null),
    behaves("netlink_register_notifier", zero),
    behaves("netlink_unregister_notifier", zero),
    behaves("nla_put", nla_put).fails(Fails::Errno(EMSGSIZE)),
];

const EMSGSIZE: i32 = 90;
/// NETLINK_GENERIC.
const GENERIC: u32 = 16;
/// MAX_LINKS.
const MAX_LINKS: u64 = 32;
/// NETLINK_GENERIC and the like belong to the kernel itself.
const HEADER: u64 = 16;
/// Messages that may wait at a socket.
const MAX_QUEUE: usize = 1024;

/// A unit's kernel side.
#[derive(Debug, Clone)]
struct Unit {
    sk: u64,
    input: u64,
    bind: u64,
    module: u64,
}

/// A process's socket, by its file.
#[derive(Debug, Clone)]
struct User {
    unit: u32,
    module: u64,
    portid: u32,
    groups: u32,
    queue: VecDeque<Vec<u8>>,
}

/// The state.
#[derive(Default)]
pub(crate) struct State {
    units: BTreeMap<u32, Unit>,
    by_sock: Map<u64, u32>,
    users: BTreeMap<u64, User>,
}

impl State {
    pub(super) fn pinned(&self, file: u64) -> Option<u64> {
        self.users.get(&file).map(|u| u.module)
    }
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn kernel_create(cx: &mut Cx, c: &Call) -> R {
    let [_, unit, module, cfg, ..] = c.a;
    let unit = unit & 0xffff_ffff;
    if unit >= MAX_LINKS || cx.net.netlink.units.contains_key(&(unit as u32)) {
        return Ok(0);
    }
    let (input, bind) = if cfg == 0 {
        (0, 0)
    } else {
        (
            cx.r64(cfg + cx.off.netlink_cfg_input)?,
            cx.r64(cfg + cx.off.netlink_cfg_bind)?,
        )
    };
    let size = cx.off.sock_size;
    let sk = mm::kalloc(cx, size + 512)?;
    let entry = Unit {
        sk,
        input,
        bind,
        module,
    };
    cx.net.netlink.units.insert(unit as u32, entry);
    cx.net.netlink.by_sock.insert(sk, unit as u32);
    Ok(sk)
}

/// The socket of generic netlink, which has no unit of a module's: made with the first family.
pub(super) fn own_socket(cx: &mut Cx) -> R {
    let unit = GENERIC;
    if let Some(entry) = cx.net.netlink.units.get(&unit) {
        return Ok(entry.sk);
    }
    let sk = mm::kalloc(cx, cx.off.sock_size + 512)?;
    let entry = Unit {
        sk,
        input: 0,
        bind: 0,
        module: 0,
    };
    cx.net.netlink.units.insert(unit, entry);
    cx.net.netlink.by_sock.insert(sk, unit);
    Ok(sk)
}

fn kernel_release(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    let Some(unit) = cx.net.netlink.by_sock.remove(&c.a[0]) else {
        // No kernel socket: its memory is followed.
        cx.r64(c.a[0])?;
        return Ok(0);
    };
    cx.net.netlink.units.remove(&unit);
    mm::kfree(cx, c.a[0]);
    Ok(0)
}

static SOCKET: KernelOps = KernelOps {
    read: None,
    write: None,
    ioctl: None,
    release: Some(release),
};

/// netlink_release: the last reference on the file went.
fn release(cx: &mut Cx, file: u64) -> R<()> {
    if let Some(user) = cx.net.netlink.users.remove(&file) {
        refs::put_key(cx, user.module, "netlink socket", file)?;
    }
    Ok(())
}

/// socket(AF_NETLINK, SOCK_RAW, unit) of the running process: a descriptor, or a negative errno.
pub fn socket(cx: &mut Cx, tid: Tid, unit: u32) -> R<i64> {
    if u64::from(unit) >= MAX_LINKS {
        return Ok(i64::from(-EPROTONOSUPPORT));
    }
    if !cx.net.netlink.units.contains_key(&unit) {
        kmod::request(cx, &format!("net-pf-16-proto-{unit}"), true)?;
    }
    let module = cx.net.netlink.units.get(&unit).map(|u| u.module);
    let file = super::socket_file(cx, "protocol: NETLINK", &SOCKET, u64::from(unit))?;
    let holder = files::holder(cx);
    let pinned = match module {
        Some(module) => refs::try_get(cx, module, "netlink socket", file, &holder)?,
        None => false,
    };
    if !pinned && !cx.profile.netlink_without_protocol {
        files::abandon(cx, file)?;
        return Ok(i64::from(-EPROTONOSUPPORT));
    }
    let portid = free_portid(cx, tid, unit);
    let user = User {
        unit,
        module: if pinned { module.unwrap_or(0) } else { 0 },
        portid,
        groups: 0,
        queue: VecDeque::new(),
    };
    cx.net.netlink.users.insert(file, user);
    let fd = files::install(cx, tid, file);
    files::end_of_call(cx)?;
    Ok(i64::from(fd))
}

/// netlink_autobind: the process id, or another number when that is taken.
fn free_portid(cx: &Cx, tid: Tid, unit: u32) -> u32 {
    let pid = cx.sched.tasks[tid as usize].pid;
    let taken = |port: u32| {
        let mut users = cx.net.netlink.users.values();
        users.any(|u| u.unit == unit && u.portid == port)
    };
    std::iter::once(pid)
        .chain((0..u32::MAX).map(|n| 0xffff_f000 - n))
        .find(|&port| !taken(port))
        .unwrap_or(pid)
}

/// bind(2) with a mask of multicast groups.
pub fn bind(cx: &mut Cx, file: u64, groups: u32) -> R<i64> {
    let Some(user) = cx.net.netlink.users.get_mut(&file) else {
        return Ok(i64::from(-EOPNOTSUPP));
    };
    user.groups = groups;
    let unit = user.unit;
    let bind = cx.net.netlink.units.get(&unit).map_or(0, |u| u.bind);
    if bind != 0 {
        for group in (0..32).filter(|g| groups & (1 << g) != 0) {
            let answer = cx.call_guest(bind, &[0, group + 1]) as i32;
            if answer != 0 {
                return Ok(i64::from(answer));
            }
        }
    }
    Ok(0)
}

/// sendmsg(2) to the kernel: a message with `payload` behind a header; the unit's input function runs here, in the
/// sender's context. Bytes sent, or a negative errno.
pub fn send(cx: &mut Cx, tid: Tid, fd: u32, payload: &[u8]) -> R<i64> {
    let Some(file) = files::lookup(cx, tid, fd) else {
        return Ok(i64::from(-EBADF));
    };
    let Some(user) = cx.net.netlink.users.get(&file).cloned() else {
        return Ok(i64::from(-ENOTSOCK));
    };
    let Some(unit) = cx.net.netlink.units.get(&user.unit).cloned() else {
        return Ok(i64::from(-ECONNREFUSED));
    };
    files::get(cx, file)?;
    let len = HEADER + payload.len() as u64;
    let buffer = skb::alloc(cx, len.next_multiple_of(4), 0)?;
    if buffer == 0 {
        files::put(cx, file)?;
        return Ok(i64::from(-EMSGSIZE));
    }
    let mut message = Vec::with_capacity(len as usize);
    message.extend((len as u32).to_le_bytes());
    message.extend([0u8; 8]);
    message.extend(user.portid.to_le_bytes());
    message.extend(payload);
    skb::append(cx, buffer, &message)?;
    let cb = buffer + cx.off.skb_cb;
    cx.w32(cb + cx.off.netlink_cb_portid, user.portid)?;
    cx.w64(buffer + cx.off.skb_sk, unit.sk)?;
    if unit.input != 0 {
        sched::entered(cx, "netlink_unicast");
        cx.call_guest(unit.input, &[buffer]);
        sched::left(cx);
    }
    skb::free(cx, buffer)?;
    files::put(cx, file)?;
    files::end_of_call(cx)?;
    Ok(len as i64)
}

const ENOTSOCK: i32 = 88;

/// recvmsg(2) without waiting: the payload of the next message, or a negative errno.
pub fn receive(cx: &mut Cx, tid: Tid, fd: u32) -> R<Result<Vec<u8>, i64>> {
    let Some(file) = files::lookup(cx, tid, fd) else {
        return Ok(Err(i64::from(-EBADF)));
    };
    let Some(user) = cx.net.netlink.users.get_mut(&file) else {
        return Ok(Err(i64::from(-ENOTSOCK)));
    };
    Ok(match user.queue.pop_front() {
        Some(message) => Ok(message.get(HEADER as usize..).unwrap_or(&[]).to_vec()),
        None => Err(i64::from(-EAGAIN)),
    })
}

/// The unit whose kernel socket is `sk`.
fn unit_of(cx: &Cx, sk: u64) -> R<Option<u32>> {
    match cx.net.netlink.by_sock.get(&sk) {
        Some(&unit) => Ok(Some(unit)),
        None => {
            // The kernel would follow it.
            cx.r64(sk)?;
            Ok(None)
        }
    }
}

/// netlink_unicast: takes the buffer; bytes delivered, or a negative errno.
fn unicast(cx: &mut Cx, c: &Call) -> R {
    let [sk, buffer, portid, ..] = c.a;
    let unit = unit_of(cx, sk)?;
    let message = skb::bytes(cx, buffer)?;
    let len = message.len() as u64;
    skb::free(cx, buffer)?;
    let mut users = cx.net.netlink.users.values_mut();
    let target = users.find(|u| Some(u.unit) == unit && u.portid == portid as u32);
    Ok(match target {
        None => neg(ECONNREFUSED),
        Some(user) if user.queue.len() >= MAX_QUEUE => neg(EAGAIN),
        Some(user) => {
            user.queue.push_back(message);
            len
        }
    })
}

/// netlink_broadcast: to all members of a group but the sender; ESRCH when there are none.
fn broadcast(cx: &mut Cx, c: &Call) -> R {
    let [sk, buffer, portid, group, ..] = c.a;
    let unit = unit_of(cx, sk)?;
    let message = skb::bytes(cx, buffer)?;
    skb::free(cx, buffer)?;
    let bit = 1u32
        .checked_shl((group as u32).wrapping_sub(1))
        .unwrap_or(0);
    let mut delivered = false;
    for user in cx.net.netlink.users.values_mut() {
        if Some(user.unit) == unit
            && user.groups & bit != 0
            && user.portid != portid as u32
            && user.queue.len() < MAX_QUEUE
        {
            user.queue.push_back(message.clone());
            delivered = true;
        }
    }
    Ok(if delivered { 0 } else { neg(ESRCH) })
}

fn has_listeners(cx: &mut Cx, c: &Call) -> R {
    let unit = unit_of(cx, c.a[0])?;
    let bit = 1u32
        .checked_shl((c.a[1] as u32).wrapping_sub(1))
        .unwrap_or(0);
    let mut users = cx.net.netlink.users.values();
    Ok(u64::from(
        users.any(|u| Some(u.unit) == unit && u.groups & bit != 0),
    ))
}

/// netlink_ack: an NLMSG_ERROR to the sender of a message.
fn ack(cx: &mut Cx, c: &Call) -> R {
    let [buffer, header, error, ..] = c.a;
    let portid = cx.r32(buffer + cx.off.skb_cb + cx.off.netlink_cb_portid)?;
    let old = cx.bytes(header, HEADER)?;
    let mut message = Vec::new();
    message.extend(36u32.to_le_bytes());
    // NLMSG_ERROR.
    message.extend(2u16.to_le_bytes());
    message.extend([0u8; 2]);
    message.extend(&old[8..12]);
    message.extend(portid.to_le_bytes());
    message.extend((error as u32).to_le_bytes());
    message.extend(&old);
    let mut users = cx.net.netlink.users.values_mut();
    if let Some(user) = users.find(|u| u.portid == portid)
        && user.queue.len() < MAX_QUEUE
    {
        user.queue.push_back(message);
    }
    Ok(0)
}

/// `__nlmsg_put(skb, portid, seq, type, len, flags)`: the header, its payload cleared to the alignment.
fn nlmsg_put(cx: &mut Cx, c: &Call) -> R {
    let [buffer, portid, seq, kind, len, flags] = c.a;
    let size = HEADER + (len & 0xffff_ffff);
    if size > 1 << 20 {
        return Ok(0);
    }
    let off = cx.off;
    let total = size.next_multiple_of(4);
    let tail = u64::from(cx.r32(buffer + off.skb_tail)?);
    let at = cx.r64(buffer + off.skb_head)? + tail;
    skb::append(cx, buffer, &vec![0; total as usize])?;
    cx.w32(at, size as u32)?;
    cx.w16(at + 4, kind as u16)?;
    cx.w16(at + 6, flags as u16)?;
    cx.w32(at + 8, seq as u32)?;
    cx.w32(at + 12, portid as u32)?;
    Ok(at)
}

/// `nla_put(skb, attrtype, attrlen, data)`.
fn nla_put(cx: &mut Cx, c: &Call) -> R {
    let [buffer, kind, len, data, ..] = c.a;
    let len = len & 0xffff;
    let total = (4 + len).next_multiple_of(4);
    let off = cx.off;
    let tail = u64::from(cx.r32(buffer + off.skb_tail)?);
    if tail + total > u64::from(cx.r32(buffer + off.skb_end)?) {
        return Ok(neg(EMSGSIZE));
    }
    let mut attribute = Vec::with_capacity(total as usize);
    attribute.extend(((4 + len) as u16).to_le_bytes());
    attribute.extend((kind as u16).to_le_bytes());
    attribute.extend(cx.bytes(data, len)?);
    attribute.resize(total as usize, 0);
    skb::append(cx, buffer, &attribute)?;
    Ok(0)
}
