//! sysfs's exported functions (fs/sysfs/file.c, group.c, symlink.c).

use super::sysfs;
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, printk};

pub(crate) const ROWS: &[Row] = &[
    row("sysfs_create_file_ns", create_file),
    row("sysfs_create_files", create_files),
    behaves("sysfs_remove_file_ns", remove_file).sleeps(),
    behaves("sysfs_remove_file_self", remove_file_self).sleeps(),
    behaves("sysfs_remove_files", remove_files).sleeps(),
    row("sysfs_create_bin_file", create_bin_file),
    behaves("sysfs_remove_bin_file", remove_file).sleeps(),
    row("sysfs_create_group", create_group),
    row("sysfs_create_groups", create_groups),
    row("sysfs_update_group", update_group),
    behaves("sysfs_remove_group", remove_group).sleeps(),
    behaves("sysfs_remove_groups", remove_groups).sleeps(),
    row("sysfs_add_file_to_group", add_file_to_group),
    behaves("sysfs_remove_file_from_group", remove_file_from_group).sleeps(),
    row("sysfs_create_link", create_link),
    row("sysfs_create_link_nowarn", create_link),
    behaves("sysfs_remove_link", remove_link).sleeps(),
    behaves("sysfs_notify", notify).sleeps(),
    behaves("sysfs_chmod_file", zero).sleeps(),
    row("sysfs_create_mount_point", create_mount_point),
    behaves("sysfs_remove_mount_point", remove_link).sleeps(),
    behaves("sysfs_emit", emit),
    behaves("sysfs_emit_at", emit_at),
    behaves("__lkm_kobj_attr_show", kobj_attr_show),
    behaves("__lkm_kobj_attr_store", kobj_attr_store),
];

const fn row(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun).fails(Fails::Errno(ENOMEM)).sleeps()
}

fn int(answer: i32) -> R {
    Ok(answer as i64 as u64)
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn create_file(cx: &mut Cx, c: &Call) -> R {
    int(sysfs::create_file(cx, c.a[0], c.a[1], None, true)?)
}

fn attr_list(cx: &Cx, list: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    for index in 0..1024u64 {
        match cx.r64(list + index * 8)? {
            0 => break,
            attr => out.push(attr),
        }
    }
    Ok(out)
}

fn create_files(cx: &mut Cx, c: &Call) -> R {
    let attrs = attr_list(cx, c.a[1])?;
    for (index, &attr) in attrs.iter().enumerate() {
        let error = sysfs::create_file(cx, c.a[0], attr, None, true)?;
        if error != 0 {
            for &attr in attrs[..index].iter().rev() {
                remove_attr(cx, c.a[0], None, attr)?;
            }
            return int(error);
        }
    }
    Ok(0)
}

fn remove_attr(cx: &mut Cx, kobj: u64, group: Option<&str>, attr: u64) -> R<bool> {
    let name = cx.r64(attr)?;
    let name = cx.text(name)?;
    sysfs::remove_name(cx, kobj, group, &name)
}

fn remove_file(cx: &mut Cx, c: &Call) -> R {
    remove_attr(cx, c.a[0], None, c.a[1])?;
    Ok(0)
}

fn remove_file_self(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(remove_attr(cx, c.a[0], None, c.a[1])?))
}

fn remove_files(cx: &mut Cx, c: &Call) -> R {
    for attr in attr_list(cx, c.a[1])? {
        remove_attr(cx, c.a[0], None, attr)?;
    }
    Ok(0)
}

fn create_bin_file(cx: &mut Cx, c: &Call) -> R {
    int(sysfs::create_bin(cx, c.a[0], c.a[1], true)?)
}

fn create_group(cx: &mut Cx, c: &Call) -> R {
    int(sysfs::create_group(cx, c.a[0], c.a[1], true)?)
}

fn create_groups(cx: &mut Cx, c: &Call) -> R {
    int(sysfs::create_groups(cx, c.a[0], c.a[1], true)?)
}

fn update_group(cx: &mut Cx, c: &Call) -> R {
    sysfs::remove_group(cx, c.a[0], c.a[1])?;
    int(sysfs::create_group(cx, c.a[0], c.a[1], true)?)
}

fn remove_group(cx: &mut Cx, c: &Call) -> R {
    sysfs::remove_group(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn remove_groups(cx: &mut Cx, c: &Call) -> R {
    sysfs::remove_groups(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn group_name(cx: &Cx, at: u64) -> R<Option<String>> {
    Ok(if at == 0 { None } else { Some(cx.text(at)?) })
}

fn add_file_to_group(cx: &mut Cx, c: &Call) -> R {
    let group = group_name(cx, c.a[2])?;
    int(sysfs::create_file(
        cx,
        c.a[0],
        c.a[1],
        group.as_deref(),
        true,
    )?)
}

fn remove_file_from_group(cx: &mut Cx, c: &Call) -> R {
    let group = group_name(cx, c.a[2])?;
    remove_attr(cx, c.a[0], group.as_deref(), c.a[1])?;
    Ok(0)
}

fn create_link(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[2])?;
    int(sysfs::create_link(cx, c.a[0], c.a[1], &name, true)?)
}

fn remove_link(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    sysfs::remove_name(cx, c.a[0], None, &name)?;
    Ok(0)
}

fn create_mount_point(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    match sysfs::dir_of(cx, c.a[0])? {
        Some(dir) => {
            sysfs::named_dir(cx, dir, &name)?;
            Ok(0)
        }
        None => Ok(neg(ENOENT)),
    }
}

fn notify(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    Ok(0)
}

/// Writes a formatted text into a page-aligned buffer at an offset.
fn emit_text(cx: &mut Cx, c: &Call, at: u64, fixed: u64) -> R {
    let buf = c.a[0];
    if buf & 0xfff != 0 || at >= sysfs::PAGE {
        crate::traps::warn(
            cx,
            &format!("invalid sysfs_emit: buf:{buf:016x} at:{at}\n"),
            "sysfs_emit",
        )?;
        return Ok(0);
    }
    let mut args = c.va(fixed);
    let max = (sysfs::PAGE - at) as usize;
    let mut text = printk::format::vsnprintf(cx, c.a[fixed as usize - 1], &mut args, max)?;
    text.truncate(max - 1);
    cx.write(buf + at, &text)?;
    cx.w8(buf + at + text.len() as u64, 0)?;
    Ok(text.len() as u64)
}

fn emit(cx: &mut Cx, c: &Call) -> R {
    emit_text(cx, c, 0, 2)
}

fn emit_at(cx: &mut Cx, c: &Call) -> R {
    let at = c.int(1);
    emit_text(cx, c, if at < 0 { u64::MAX } else { at as u64 }, 3)
}

/// struct kobj_attribute: attr (16 bytes), show, store.
fn kobj_attr_show(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[1] + 16)? {
        0 => Ok(neg(EIO)),
        show => Ok(cx.call_guest(show, &[c.a[0], c.a[1], c.a[2]])),
    }
}

fn kobj_attr_store(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[1] + 24)? {
        0 => Ok(neg(EIO)),
        store => Ok(cx.call_guest(store, &[c.a[0], c.a[1], c.a[2], c.a[3]])),
    }
}
