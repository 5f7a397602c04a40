//! Classes (drivers/base/class.c) and the links of devices in class and bus directories.

use super::core;
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::sysfs;
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("__class_create", class_create_owner)
        .acquires("class", Key::Ret, When::Pointer)
        .named(1)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("class_create", class_create)
        .acquires("class", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("class_destroy", class_destroy)
        .releases("class", Key::Arg(0))
        .sleeps(),
    behaves("__class_register", class_register)
        .acquires("class", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("class_register", class_register)
        .acquires("class", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("class_unregister", class_unregister)
        .releases("class", Key::Arg(0))
        .sleeps(),
    behaves("class_create_file_ns", class_create_file)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("class_remove_file_ns", class_remove_file).sleeps(),
    behaves("__lkm_class_free", class_free),
];

/// Registered classes: address to (directory node, name).
#[derive(Default)]
pub struct State {
    classes: Map<u64, (usize, String)>,
}

/// The name of a class.
pub fn name(cx: &Cx, class: u64) -> R<String> {
    if let Some((_, name)) = cx.classes.classes.get(&class) {
        return Ok(name.clone());
    }
    let at = cx.r64(class + cx.off.class_name)?;
    Ok(cx.text(at)?)
}

/// class_register. 0 or a negative errno.
pub fn register(cx: &mut Cx, class: u64) -> R<i32> {
    let at = cx.r64(class + cx.off.class_name)?;
    let name = cx.text(at)?;
    let top = sysfs::top_dir(cx, "class")?;
    // The directory has an object of the kernel's (the class's kset).
    let kobj = mm::kalloc(cx, cx.off.kobject_size)?;
    let error = sysfs::create_dir_in(cx, kobj, top, &name)?;
    if error != 0 {
        mm::kfree(cx, kobj);
        crate::printk::log(
            cx,
            3,
            &format!(
                "kobject_add_internal failed for {name} with -EEXIST, don't try to register things with the same name in the same directory.\n"
            ),
        );
        return Ok(error);
    }
    let node = sysfs::dir_of(cx, kobj)?.unwrap_or(0);
    mm::kfree(cx, kobj);
    cx.classes.classes.insert(class, (node, name));
    Ok(0)
}

/// class_unregister.
pub fn unregister(cx: &mut Cx, class: u64) -> R<()> {
    let Some((_, name)) = cx.classes.classes.remove(&class) else {
        cx.r64(class)?;
        trace::misuse(
            cx,
            "release-unheld",
            "a class that is not registered",
            class,
            "class_unregister",
        );
        return Ok(());
    };
    let top = sysfs::top_dir(cx, "class")?;
    sysfs::remove_in(cx, top, &name);
    let release = cx.r64(class + cx.off.class_release)?;
    if release != 0 {
        cx.call_guest(release, &[class]);
    }
    Ok(())
}

fn create(cx: &mut Cx, name: u64, owner: Option<u64>) -> R<u64> {
    let class = mm::kalloc(cx, cx.off.class_size)?;
    cx.w64(class + cx.off.class_name, name)?;
    if let Some(owner) = owner {
        // struct class had its owner behind the name until 6.4.
        cx.w64(class + cx.off.class_name + 8, owner)?;
    }
    let release = crate::symbols::address(cx, "__lkm_class_free");
    cx.w64(class + cx.off.class_release, release)?;
    let error = register(cx, class)?;
    if error != 0 {
        mm::kfree(cx, class);
        return Ok(error as i64 as u64);
    }
    Ok(class)
}

/// A class of the kernel's own.
pub fn create_kernel(cx: &mut Cx, label: &str) -> R<u64> {
    let name = mm::kstrdup(cx, label.as_bytes())?;
    create(cx, name, None)
}

fn class_create_owner(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[1], Some(c.a[0]))
}

fn class_create(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], None)
}

fn class_free(cx: &mut Cx, c: &Call) -> R {
    mm::kfree(cx, c.a[0]);
    Ok(0)
}

fn class_destroy(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && !crate::abi::is_err(c.a[0]) {
        unregister(cx, c.a[0])?;
    }
    Ok(0)
}

fn class_register(cx: &mut Cx, c: &Call) -> R {
    Ok(register(cx, c.a[0])? as i64 as u64)
}

fn class_unregister(cx: &mut Cx, c: &Call) -> R {
    unregister(cx, c.a[0])?;
    Ok(0)
}

/// class_create_file_ns(class, attribute, ns).
fn class_create_file(cx: &mut Cx, c: &Call) -> R {
    match class_dir(cx, c.a[0])? {
        Some(dir) => Ok(sysfs::create_own(cx, dir, c.a[0], c.a[1], true)? as i64 as u64),
        None => Ok(neg(EINVAL)),
    }
}

fn class_remove_file(cx: &mut Cx, c: &Call) -> R {
    if let Some(dir) = class_dir(cx, c.a[0])? {
        sysfs::remove_own(cx, dir, c.a[1])?;
    }
    Ok(0)
}

/// The directory of a class.
fn class_dir(cx: &mut Cx, class: u64) -> R<Option<usize>> {
    if class == 0 {
        return Ok(None);
    }
    if let Some((node, _)) = cx.classes.classes.get(&class) {
        return Ok(Some(*node));
    }
    // A class of the kernel's own that nobody registered here (net, block, input, …).
    let name = name(cx, class)?;
    Ok(Some(sysfs::top_dir(cx, &format!("class/{name}"))?))
}

/// The links of a device: in its class's directory, in its bus's, and `subsystem` back. 0 or -errno.
pub(super) fn link(cx: &mut Cx, dev: u64, class: u64, bus: u64) -> R<i32> {
    let Some(to) = sysfs::dir_of(cx, dev + cx.off.device_kobj)? else {
        return Ok(-ENOENT);
    };
    let label = core::name(cx, dev)?;
    if let Some(dir) = class_dir(cx, class)? {
        let error = sysfs::link_in(cx, to, dir, "subsystem", None)?;
        if error != 0 {
            return Ok(error);
        }
        let error = sysfs::link_in(cx, dir, to, &label, None)?;
        if error != 0 {
            return Ok(error);
        }
    }
    if bus != 0 {
        let dir = super::bus::devices_dir(cx, bus)?;
        let error = sysfs::link_in(cx, dir, to, &label, None)?;
        if error != 0 {
            return Ok(error);
        }
    }
    Ok(0)
}

pub(super) fn unlink(cx: &mut Cx, dev: u64, class: u64, bus: u64) -> R<()> {
    let label = core::name(cx, dev)?;
    if cx.classes.classes.contains_key(&class)
        && let Some(dir) = class_dir(cx, class)?
    {
        sysfs::remove_in(cx, dir, &label);
    }
    if bus != 0 {
        let dir = super::bus::devices_dir(cx, bus)?;
        sysfs::remove_in(cx, dir, &label);
    }
    Ok(())
}
