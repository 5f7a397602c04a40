//! Sets of kobjects (the kset part of lib/kobject.c).

use super::kobject::{
    INITIALIZED, add_internal, del, flags_at, get, kernel_ktype, name, put, set_name,
};
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::sysfs;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("kset_init", kset_init),
    behaves("kset_register", kset_register)
        .acquires("kset", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("kset_unregister", kset_unregister)
        .releases("kset", Key::Arg(0))
        .sleeps(),
    behaves("kset_create_and_add", kset_create_and_add)
        .acquires("kset", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::Null)
        .sleeps(),
    behaves("kset_find_obj", kset_find_obj),
];

fn kset_init(cx: &mut Cx, c: &Call) -> R {
    let kset = c.a[0];
    let kobj = kset + cx.off.kset_kobj;
    cx.w32(kobj + cx.off.kobject_kref, 1)?;
    util::list_init(cx, kobj + cx.off.kobject_entry)?;
    cx.w32(flags_at(cx, kobj), INITIALIZED)?;
    util::list_init(cx, kset + cx.off.kset_list)?;
    Ok(0)
}

/// kset_register.
pub fn register_kset(cx: &mut Cx, kset: u64) -> R<i32> {
    let kobj = kset + cx.off.kset_kobj;
    if cx.r64(kobj + cx.off.kobject_ktype)? == 0 {
        let text =
            format!("kobject: must have a ktype to be initialized properly! ({kset:016x})\n");
        printk::log(cx, 3, &text);
        return Ok(-EINVAL);
    }
    cx.w32(kobj + cx.off.kobject_kref, 1)?;
    util::list_init(cx, kobj + cx.off.kobject_entry)?;
    cx.w32(flags_at(cx, kobj), INITIALIZED)?;
    util::list_init(cx, kset + cx.off.kset_list)?;
    add_internal(cx, kobj)
}

fn kset_register(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(EINVAL));
    }
    Ok(register_kset(cx, c.a[0])? as i64 as u64)
}

fn kset_unregister(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        let kobj = c.a[0] + cx.off.kset_kobj;
        del(cx, kobj)?;
        put(cx, kobj)?;
    }
    Ok(0)
}

/// kset_create_and_add for kernel code.
pub fn create_kset(cx: &mut Cx, label: &str, uevent_ops: u64, parent: u64) -> R<u64> {
    if cx.kobject.kset_ktype == 0 {
        let ops = sysfs::kobj_sysfs_ops(cx)?;
        cx.kobject.kset_ktype = kernel_ktype(cx, "__lkm_kset_release", ops)?;
    }
    let ktype = cx.kobject.kset_ktype;
    let kset = mm::kalloc(cx, cx.off.kset_size)?;
    let kobj = kset + cx.off.kset_kobj;
    set_name(cx, kobj, label.as_bytes())?;
    cx.w64(kset + cx.off.kset_size - 8, uevent_ops)?;
    cx.w64(kobj + cx.off.kobject_parent, parent)?;
    cx.w64(kobj + cx.off.kobject_ktype, ktype)?;
    if register_kset(cx, kset)? != 0 {
        mm::kfree(cx, kset);
        return Ok(0);
    }
    Ok(kset)
}

fn kset_create_and_add(cx: &mut Cx, c: &Call) -> R {
    let label = cx.text(c.a[0])?;
    create_kset(cx, &label, c.a[1], c.a[2])
}

fn kset_find_obj(cx: &mut Cx, c: &Call) -> R {
    let wanted = cx.text(c.a[1])?;
    for entry in util::list_entries(cx, c.a[0] + cx.off.kset_list)? {
        let kobj = entry - cx.off.kobject_entry;
        if name(cx, kobj)? == wanted {
            get(cx, kobj)?;
            return Ok(kobj);
        }
    }
    Ok(0)
}
