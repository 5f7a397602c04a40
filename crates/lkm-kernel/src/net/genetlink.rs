//! Generic netlink families (net/netlink/genetlink.c): registering, and the numbers they get.

use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, locking};

pub(crate) const ROWS: &[Row] = &[
    behaves("genl_register_family", register)
        .acquires("generic netlink family", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("genl_unregister_family", unregister).sleeps(),
];

/// The families: structure, number and name.
#[derive(Default)]
pub(crate) struct State {
    families: Vec<(u64, u32, String)>,
}

/// GENL_START_ALLOC: the first free number behind those of the kernel's own.
const FIRST: u32 = 19;
/// GENL_MAX_ID.
const LAST: u32 = 1023;
/// Families that a stock kernel has when modules load.
const OWN: &[&str] = &[
    "nlctrl",
    "VFS_DQUOT",
    "TASKSTATS",
    "ethtool",
    "NLBL_MGMT",
    "devlink",
];

fn member(cx: &Cx, family: u64, offset: u64) -> R {
    Ok(if offset == NONE {
        0
    } else {
        cx.r64(family + offset)?
    })
}

/// genl_register_family: the operations must be whole and the name free.
fn register(cx: &mut Cx, c: &Call) -> R {
    let family = c.a[0];
    let off = cx.off;
    if off.genl_name == NONE {
        cx.r64(family)?;
        return Ok(0);
    }
    let raw = cx.bytes(family + off.genl_name, 16)?;
    let end = raw.iter().position(|&b| b == 0).unwrap_or(16);
    let name = String::from_utf8_lossy(&raw[..end]).into_owned();
    for (count, table) in [
        (off.genl_n_ops, off.genl_ops),
        (off.genl_n_small_ops, off.genl_small_ops),
    ] {
        if count != NONE && cx.r8(family + count)? != 0 && member(cx, family, table)? == 0 {
            crate::traps::warn(cx, "", "genl_validate_ops")?;
            return Ok(neg(EINVAL));
        }
    }
    locking::dec::lock_genl(cx)?;
    let taken = OWN.contains(&name.as_str())
        || cx
            .net
            .generic
            .families
            .iter()
            .any(|f| f.2 == name || f.0 == family);
    let number = (FIRST..=LAST).find(|n| !cx.net.generic.families.iter().any(|f| f.1 == *n));
    let answer = match number {
        _ if taken => neg(EEXIST),
        None => neg(ENOSPC),
        Some(number) => {
            let net = super::variable(cx, "init_net")?.unwrap_or(0);
            let sk = super::netlink::own_socket(cx)?;
            if off.net_genl_sock != NONE {
                cx.w64(net + off.net_genl_sock, sk)?;
            }
            cx.w32(family + off.genl_id, number)?;
            cx.net.generic.families.push((family, number, name));
            0
        }
    };
    locking::dec::unlock_genl(cx)?;
    Ok(answer)
}

fn unregister(cx: &mut Cx, c: &Call) -> R {
    let family = c.a[0];
    cx.r64(family)?;
    locking::dec::lock_genl(cx)?;
    let before = cx.net.generic.families.len();
    cx.net.generic.families.retain(|f| f.0 != family);
    let found = cx.net.generic.families.len() < before || cx.off.genl_name == NONE;
    locking::dec::unlock_genl(cx)?;
    if !found {
        return Ok(neg(ENOENT));
    }
    crate::trace::released(cx, "generic netlink family", family);
    Ok(0)
}
