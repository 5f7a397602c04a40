//! Misc devices (drivers/char/misc.c): minors of major 10, found by walking the list that runs through the
//! modules' own structures.

use super::{class, core};
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::files;
use crate::module::owner;
use crate::table::{Fails, Key, Row, behaves};
use crate::{Cx, trace, util};
use std::collections::BTreeSet;

pub(crate) const ROWS: &[Row] = &[
    behaves("misc_register", misc_register)
        .fails(Fails::Errno(EBUSY))
        .before(list_ready)
        .sleeps(),
    behaves("misc_deregister", misc_deregister)
        .releases("misc device", Key::Arg(0))
        .sleeps(),
];

/// MISC_MAJOR.
pub const MAJOR: u32 = 10;
const DYNAMIC: u32 = 255;
const DYNAMIC_MINORS: u32 = 128;

/// The state of this file.
#[derive(Default)]
pub struct State {
    /// Guest address of misc_list; 0 until it is made.
    list: u64,
    class: u64,
    used: BTreeSet<u32>,
}

fn list(cx: &mut Cx) -> R<u64> {
    if cx.misc.list == 0 {
        let head = crate::data::alloc(cx, 16, 16)?;
        util::list_init(cx, head)?;
        cx.misc.list = head;
        cx.misc.class = class::create_kernel(cx, "misc")?;
    }
    Ok(cx.misc.list)
}

fn misc_register(cx: &mut Cx, c: &Call) -> R {
    let misc = c.a[0];
    let off = cx.off;
    let head = list(cx)?;
    util::list_init(cx, misc + off.misc_list)?;
    let wanted = cx.r32(misc + off.misc_minor)?;
    let minor = if wanted == DYNAMIC {
        // Bits are given out from 0; the minor counts down from 127.
        match (0..DYNAMIC_MINORS).find(|bit| !cx.misc.used.contains(&(DYNAMIC_MINORS - 1 - bit))) {
            Some(bit) => DYNAMIC_MINORS - 1 - bit,
            None => return Ok(neg(EBUSY)),
        }
    } else {
        for entry in util::list_entries(cx, head)? {
            if cx.r32(entry - off.misc_list + off.misc_minor)? == wanted {
                return Ok(neg(EBUSY));
            }
        }
        wanted
    };
    let name_at = cx.r64(misc + off.misc_name)?;
    let name = cx.text(name_at)?;
    let (parent, groups) = (
        cx.r64(misc + off.misc_parent)?,
        cx.r64(misc + off.misc_groups)?,
    );
    cx.w32(misc + off.misc_minor, minor)?;
    let dev = crate::fs::chrdev::mkdev(MAJOR, minor);
    let class = cx.misc.class;
    match core::create(cx, class, parent, dev, misc, groups, name.as_bytes())? {
        Err(errno) => {
            cx.w64(misc + off.misc_this_device, errno as i64 as u64)?;
            cx.w32(misc + off.misc_minor, wanted)?;
            Ok(errno as i64 as u64)
        }
        Ok(device) => {
            cx.w64(misc + off.misc_this_device, device)?;
            if wanted == DYNAMIC {
                cx.misc.used.insert(minor);
            }
            let nodename = cx.r64(misc + off.misc_nodename)?;
            if nodename != 0 {
                let path = cx.text(nodename)?;
                crate::fs::chrdev::add_node(cx, &path, dev);
            }
            util::list_add(cx, misc + off.misc_list, head)?;
            trace::acquired(cx, "misc device", misc, &name);
            let fops = cx.r64(misc + off.misc_fops)?;
            owner::check_fops(cx, &format!("misc device {name}"), fops, 0, "misc_register")?;
            Ok(0)
        }
    }
}

/// The list head is initialized first: a late misc_deregister finds it empty and warns.
fn list_ready(cx: &mut Cx, c: &Call) -> R<bool> {
    util::list_init(cx, c.a[0] + cx.off.misc_list)?;
    Ok(true)
}

fn misc_deregister(cx: &mut Cx, c: &Call) -> R {
    let misc = c.a[0];
    let off = cx.off;
    let entry = misc + off.misc_list;
    if cx.r64(entry)? == entry {
        crate::traps::warn(cx, "", "misc_deregister")?;
        return Ok(0);
    }
    util::list_del(cx, entry)?;
    let minor = cx.r32(misc + off.misc_minor)?;
    let dev = crate::fs::chrdev::mkdev(MAJOR, minor);
    let nodename = cx.r64(misc + off.misc_nodename)?;
    if nodename != 0 {
        let path = cx.text(nodename)?;
        crate::fs::chrdev::remove_node(cx, &path)?;
    }
    if let Some(device) = core::by_devt(cx, cx.misc.class, dev)? {
        core::unregister(cx, device)?;
    }
    cx.misc.used.remove(&minor);
    Ok(0)
}

/// The registered device of a minor number.
fn by_minor(cx: &mut Cx, minor: u32) -> R<Option<u64>> {
    let head = list(cx)?;
    for entry in util::list_entries(cx, head)? {
        let misc = entry - cx.off.misc_list;
        if cx.r32(misc + cx.off.misc_minor)? == minor {
            return Ok(Some(misc));
        }
    }
    Ok(None)
}

/// misc_open: the device with the minor, its operations and their owner's reference.
pub(crate) fn open(cx: &mut Cx, file: u64, inode: u64, minor: u32) -> R<Result<u64, i64>> {
    let off = cx.off;
    let mut misc = by_minor(cx, minor)?;
    if misc.is_none() {
        crate::module::kmod::request(cx, &format!("char-major-{MAJOR}-{minor}"), true)?;
        misc = by_minor(cx, minor)?;
    }
    if let Some(misc) = misc {
        let fops = cx.r64(misc + off.misc_fops)?;
        if files::take_fops(cx, file, fops)? {
            cx.w64(file + off.file_private_data, misc)?;
            let method = cx.r64(fops + off.fops_open)?;
            if method != 0 {
                let answer = i64::from(cx.call_guest(method, &[inode, file]) as i32);
                if answer != 0 {
                    files::abandon(cx, file)?;
                    return Ok(Err(answer));
                }
            }
            return Ok(Ok(file));
        }
    }
    files::abandon(cx, file)?;
    Ok(Err(i64::from(-ENODEV)))
}
