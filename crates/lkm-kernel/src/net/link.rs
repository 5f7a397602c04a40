//! Kinds of links that rtnetlink can make (net/core/rtnetlink.c): with a kind go all devices of it.

use super::dev;
use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, locking, mm, symbols, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("rtnl_link_register", register)
        .acquires("link ops", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(EEXIST))
        .sleeps(),
    behaves("__rtnl_link_register", register_locked)
        .acquires("link ops", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(EEXIST))
        .sleeps(),
    behaves("rtnl_link_unregister", unregister)
        .releases("link ops", Key::Arg(0))
        .sleeps(),
    behaves("__rtnl_link_unregister", unregister_locked)
        .releases("link ops", Key::Arg(0))
        .sleeps(),
];

/// The kinds.
#[derive(Default)]
pub(crate) struct State {
    kinds: Vec<(u64, String)>,
}

fn add(cx: &mut Cx, ops: u64) -> R {
    let off = cx.off;
    if off.link_kind == NONE {
        cx.r64(ops)?;
        return Ok(0);
    }
    let at = cx.r64(ops + off.link_kind)?;
    let kind = cx.text(at)?;
    if cx.net.links.kinds.iter().any(|(_, k)| *k == kind) {
        return Ok(neg(EEXIST));
    }
    // A kind that can be made but not unmade is unmade by unregistering its device.
    if cx.r64(ops + off.link_setup)? != 0 && cx.r64(ops + off.link_dellink)? == 0 {
        let default = symbols::address(cx, "unregister_netdevice_queue");
        cx.w64(ops + off.link_dellink, default)?;
    }
    cx.net.links.kinds.push((ops, kind));
    Ok(0)
}

fn remove(cx: &mut Cx, ops: u64) -> R<()> {
    let off = cx.off;
    if off.link_kind != NONE {
        let dellink = cx.r64(ops + off.link_dellink)?;
        let head = mm::kalloc(cx, 16)?;
        util::list_init(cx, head)?;
        for device in dev::all(cx) {
            if cx.r64(device + off.netdev_link_ops)? == ops {
                if dellink == symbols::address(cx, "unregister_netdevice_queue") {
                    dev::queue(cx, device, head)?;
                } else if dellink != 0 {
                    cx.call_guest(dellink, &[device, head]);
                }
            }
        }
        dev::unregister_list(cx, head)?;
        mm::kfree(cx, head);
    }
    cx.net.links.kinds.retain(|&(o, _)| o != ops);
    Ok(())
}

fn register(cx: &mut Cx, c: &Call) -> R {
    locking::dec::lock_rtnl(cx)?;
    let answer = add(cx, c.a[0])?;
    locking::dec::unlock_rtnl(cx)?;
    Ok(answer)
}

fn register_locked(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.a[0])
}

fn unregister(cx: &mut Cx, c: &Call) -> R {
    locking::dec::lock_rtnl(cx)?;
    remove(cx, c.a[0])?;
    locking::dec::unlock_rtnl(cx)?;
    Ok(0)
}

fn unregister_locked(cx: &mut Cx, c: &Call) -> R {
    remove(cx, c.a[0])?;
    Ok(0)
}
