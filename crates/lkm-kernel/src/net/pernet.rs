//! Operations for each network namespace (net/core/net_namespace.c): there is one namespace, so they are begun
//! when they are registered and ended when they go.

use crate::abi::{Call, R, errno::*, neg};
use crate::mm;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("register_pernet_subsys", register)
        .acquires("pernet operations", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("unregister_pernet_subsys", unregister)
        .releases("pernet operations", Key::Arg(0))
        .sleeps(),
    behaves("register_pernet_device", register)
        .acquires("pernet operations", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("unregister_pernet_device", unregister)
        .releases("pernet operations", Key::Arg(0))
        .sleeps(),
];

/// The operations that are registered: their structure and their data for the namespace.
#[derive(Default)]
pub(crate) struct State {
    all: Vec<(u64, u64)>,
    last_id: u32,
    pointers: u64,
}

/// Numbers that net_generic() can look up; the kernel's own come first.
const FIRST: u32 = 13;
const LAST: u32 = 255;
/// Bytes of struct net_generic before its pointers start: number 0 would be there.
const SLOT: u64 = 8;
/// Bytes of one namespace's data at most.
const MAX_SIZE: u64 = 1 << 20;

/// The table that net_generic() reads.
fn pointers(cx: &mut Cx) -> R {
    if cx.net.pernet.pointers == 0 {
        let net = super::variable(cx, "init_net")?.unwrap_or(0);
        let at = mm::kernel_object(cx, (u64::from(LAST) + 4) * SLOT)?;
        cx.w32(at, LAST)?;
        cx.w64(net + cx.off.net_gen, at)?;
        cx.net.pernet.pointers = at;
        cx.net.pernet.last_id = FIRST;
    }
    Ok(cx.net.pernet.pointers)
}

fn register(cx: &mut Cx, c: &Call) -> R {
    let ops = c.a[0];
    let off = cx.off;
    let table = pointers(cx)?;
    let net = super::variable(cx, "init_net")?.unwrap_or(0);
    let id_at = cx.r64(ops + off.pernet_id)?;
    let size = cx.r64(ops + off.pernet_size)?;
    let mut data = 0;
    if id_at != 0 {
        let id = cx.net.pernet.last_id + 1;
        if id > LAST || size > MAX_SIZE {
            return Ok(neg(ENOSPC));
        }
        cx.net.pernet.last_id = id;
        cx.w32(id_at, id)?;
        if size != 0 {
            data = mm::kalloc(cx, size)?;
            cx.w64(table + u64::from(id) * SLOT, data)?;
        }
    }
    let init = cx.r64(ops + off.pernet_init)?;
    if init != 0 {
        let answer = cx.call_guest(init, &[net]) as i32;
        if answer < 0 {
            mm::kfree(cx, data);
            return Ok(i64::from(answer) as u64);
        }
    }
    cx.net.pernet.all.push((ops, data));
    Ok(0)
}

fn unregister(cx: &mut Cx, c: &Call) -> R {
    let ops = c.a[0];
    let off = cx.off;
    let net = super::variable(cx, "init_net")?.unwrap_or(0);
    let exit = cx.r64(ops + off.pernet_exit)?;
    let Some(at) = cx.net.pernet.all.iter().position(|&(o, _)| o == ops) else {
        // list_del of what is on no list.
        crate::trace::misuse(cx, "release-unheld", "", ops, "unregister_pernet_subsys");
        return Ok(0);
    };
    let pre = cx.r64(ops + off.pernet_pre_exit)?;
    if pre != 0 {
        cx.call_guest(pre, &[net]);
        crate::rcu::synchronize(cx, "synchronize_rcu")?;
    }
    if exit != 0 {
        cx.call_guest(exit, &[net]);
    }
    let batch = cx.r64(ops + off.pernet_exit_batch)?;
    if batch != 0 {
        // A list of the one namespace.
        let head = mm::kalloc(cx, 16)?;
        util::list_init(cx, head)?;
        util::list_add(cx, net + off.net_exit_list, head)?;
        cx.call_guest(batch, &[head]);
        util::list_del_init(cx, net + off.net_exit_list)?;
        mm::kfree(cx, head);
    }
    let (_, data) = cx.net.pernet.all.remove(at);
    mm::kfree(cx, data);
    let id_at = cx.r64(ops + off.pernet_id)?;
    if id_at != 0 {
        cx.w32(id_at, 0)?;
    }
    Ok(0)
}
