//! Networking as far as a module that talks to user space needs it: socket buffers, netlink, socket families.

pub mod dev;
pub(crate) mod dev_alloc;
pub(crate) mod dev_use;
pub mod family;
pub(crate) mod genetlink;
pub(crate) mod link;
pub mod netlink;
pub(crate) mod nla;
pub(crate) mod pernet;
pub(crate) mod print;
pub(crate) mod queue;
pub mod skb;
pub mod socket;

use crate::Cx;
use crate::abi::R;
use crate::fs::files::{self, Backing, KernelOps, NewFile};

/// S_IFSOCK.
const S_IFSOCK: u32 = 0o140_000;

/// The state of all sockets.
#[derive(Default)]
pub struct State {
    pub(crate) netlink: netlink::State,
    pub(crate) families: family::State,
    pub(crate) devices: dev::State,
    pub(crate) generic: genetlink::State,
    pub(crate) links: link::State,
    pub(crate) pernet: pernet::State,
    next_ino: u64,
    init_net: u64,
}

/// An open file for a socket; `what` is what lsof shows behind its number.
pub(crate) fn socket_file(cx: &mut Cx, what: &str, ops: &'static KernelOps, data: u64) -> R<u64> {
    cx.net.next_ino += 1;
    let what = format!("socket:[{}] {what}", 9000 + cx.net.next_ino);
    let new = NewFile {
        what: &what,
        mode: S_IFSOCK | 0o777,
        rdev: 0,
        f_op: 0,
        flags: 2,
        backing: Backing::Kernel(ops),
        data,
        inode: 0,
    };
    files::new_file(cx, &new)
}

/// The address of the module that an open socket pins; 0 for none.
pub fn pinned(cx: &Cx, file: u64) -> u64 {
    cx.net
        .netlink
        .pinned(file)
        .or_else(|| cx.net.families.pinned(file))
        .unwrap_or(0)
}

/// `init_net`: the one network namespace.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name != "init_net" {
        return Ok(None);
    }
    if cx.net.init_net == 0 {
        let net = crate::data::alloc(cx, 8192, 64)?;
        cx.net.init_net = net;
        dev::init_namespace(cx, net)?;
    }
    Ok(Some(cx.net.init_net))
}
