//! The driver core's exported functions (drivers/base/core.c).

use super::{core, kobject};
use crate::abi::{Call, R, VaList, errno::*, neg};
use crate::fs::sysfs;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("device_initialize", device_initialize),
    behaves("device_add", device_add)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("device_register", device_register)
        .fails(Fails::Errno(ENOMEM))
        .before(initialized)
        .sleeps(),
    behaves("device_del", device_del)
        .releases("device", Key::Arg(0))
        .sleeps(),
    behaves("device_unregister", device_unregister)
        .releases("device", Key::Arg(0))
        .sleeps(),
    behaves("device_create", device_create)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("device_create_with_groups", device_create_with_groups)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("device_destroy", device_destroy).sleeps(),
    behaves("__root_device_register", root_device_register)
        .acquires("device", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("root_device_unregister", root_device_unregister)
        .releases("device", Key::Arg(0))
        .sleeps(),
    behaves("get_device", get_device),
    behaves("put_device", put_device).sleeps(),
    behaves("dev_set_name", dev_set_name)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("device_create_file", device_create_file)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("device_remove_file", device_remove_file).sleeps(),
    behaves("device_create_bin_file", device_create_bin_file)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("device_remove_bin_file", device_remove_file).sleeps(),
    behaves("device_add_groups", device_add_groups)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("device_remove_groups", device_remove_groups).sleeps(),
    behaves("device_rename", device_rename).sleeps(),
    behaves("device_for_each_child", device_for_each_child),
    behaves(
        "device_for_each_child_reverse",
        device_for_each_child_reverse,
    ),
    behaves("device_find_child", device_find_child),
    behaves("device_find_child_by_name", device_find_child_by_name),
    behaves("class_for_each_device", class_for_each_device),
    behaves("class_find_device", class_find_device),
    behaves("device_match_name", device_match_name),
    behaves("device_match_any", device_match_any),
    behaves("device_match_devt", device_match_devt),
    behaves("dev_driver_string", dev_driver_string),
    behaves("device_show_int", device_show_int),
    behaves("device_show_ulong", device_show_ulong),
    behaves("device_show_bool", device_show_bool),
    behaves("_dev_emerg", log_emerg),
    behaves("_dev_alert", log_alert),
    behaves("_dev_crit", log_crit),
    behaves("_dev_err", log_err),
    behaves("_dev_warn", log_warn),
    behaves("_dev_notice", log_notice),
    behaves("_dev_info", log_info),
    behaves("_dev_printk", dev_printk),
    behaves("dev_err_probe", dev_err_probe),
    behaves("__lkm_device_release", device_release),
    behaves("__lkm_device_create_release", device_create_release),
    behaves("__lkm_dev_attr_show", dev_attr_show),
    behaves("__lkm_dev_attr_store", dev_attr_store),
    behaves("__lkm_dev_show", dev_show),
    behaves("__lkm_uevent_show", uevent_show),
];

fn int(answer: i32) -> R {
    Ok(answer as i64 as u64)
}

fn device_initialize(cx: &mut Cx, c: &Call) -> R {
    core::initialize(cx, c.a[0])?;
    Ok(0)
}

/// Records a device that is in the tree now under its name.
fn tell(cx: &mut Cx, dev: u64) -> R<()> {
    let name = core::name(cx, dev)?;
    trace::acquired(cx, "device", dev, &name);
    Ok(())
}

fn device_add(cx: &mut Cx, c: &Call) -> R {
    let error = core::add(cx, c.a[0])?;
    if error == 0 {
        tell(cx, c.a[0])?;
    }
    int(error)
}

fn device_register(cx: &mut Cx, c: &Call) -> R {
    core::initialize(cx, c.a[0])?;
    device_add(cx, c)
}

/// A device that could not be registered is initialized all the same: its owner puts it.
fn initialized(cx: &mut Cx, c: &Call) -> R<bool> {
    core::initialize(cx, c.a[0])?;
    Ok(true)
}

fn device_del(cx: &mut Cx, c: &Call) -> R {
    core::del(cx, c.a[0])?;
    Ok(0)
}

fn device_unregister(cx: &mut Cx, c: &Call) -> R {
    core::unregister(cx, c.a[0])?;
    Ok(0)
}

fn label(cx: &mut Cx, c: &Call, fmt: usize) -> R<Vec<u8>> {
    let mut args = c.va(fmt as u64 + 1);
    let fmt = c.arg(cx, fmt)?;
    printk::format::vsnprintf(cx, fmt, &mut args, 256)
}

fn told(cx: &mut Cx, made: Result<u64, i32>) -> R {
    match made {
        Ok(dev) => {
            tell(cx, dev)?;
            Ok(dev)
        }
        Err(errno) => Ok(errno as i64 as u64),
    }
}

fn device_create(cx: &mut Cx, c: &Call) -> R {
    let text = label(cx, c, 4)?;
    let made = core::create(cx, c.a[0], c.a[1], c.a[2] as u32, c.a[3], 0, &text)?;
    told(cx, made)
}

fn device_create_with_groups(cx: &mut Cx, c: &Call) -> R {
    let text = label(cx, c, 5)?;
    let made = core::create(cx, c.a[0], c.a[1], c.a[2] as u32, c.a[3], c.a[4], &text)?;
    told(cx, made)
}

fn device_destroy(cx: &mut Cx, c: &Call) -> R {
    if let Some(dev) = core::by_devt(cx, c.a[0], c.a[1] as u32)? {
        core::unregister(cx, dev)?;
        trace::released(cx, "device", dev);
    }
    Ok(0)
}

fn root_device_register(cx: &mut Cx, c: &Call) -> R {
    let text = cx.text(c.a[0])?;
    let dev = mm::kalloc(cx, cx.off.device_size)?;
    core::initialize(cx, dev)?;
    let release = crate::symbols::address(cx, "__lkm_device_create_release");
    cx.w64(dev + cx.off.device_release, release)?;
    kobject::set_name(cx, dev + cx.off.device_kobj, text.as_bytes())?;
    let error = core::add(cx, dev)?;
    if error != 0 {
        core::put(cx, dev)?;
        return int(error);
    }
    Ok(dev)
}

fn root_device_unregister(cx: &mut Cx, c: &Call) -> R {
    core::unregister(cx, c.a[0])?;
    Ok(0)
}

fn get_device(cx: &mut Cx, c: &Call) -> R {
    core::get(cx, c.a[0])?;
    Ok(c.a[0])
}

fn put_device(cx: &mut Cx, c: &Call) -> R {
    core::put(cx, c.a[0])?;
    Ok(0)
}

fn dev_set_name(cx: &mut Cx, c: &Call) -> R {
    let text = label(cx, c, 1)?;
    kobject::set_name(cx, c.a[0] + cx.off.device_kobj, &text)?;
    Ok(0)
}

fn device_create_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    int(sysfs::create_file(
        cx,
        c.a[0] + cx.off.device_kobj,
        c.a[1],
        None,
        true,
    )?)
}

fn device_remove_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        let name = cx.r64(c.a[1])?;
        let name = cx.text(name)?;
        sysfs::remove_name(cx, c.a[0] + cx.off.device_kobj, None, &name)?;
    }
    Ok(0)
}

fn device_create_bin_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(EINVAL));
    }
    int(sysfs::create_bin(
        cx,
        c.a[0] + cx.off.device_kobj,
        c.a[1],
        true,
    )?)
}

fn device_add_groups(cx: &mut Cx, c: &Call) -> R {
    int(sysfs::create_groups(
        cx,
        c.a[0] + cx.off.device_kobj,
        c.a[1],
        true,
    )?)
}

fn device_remove_groups(cx: &mut Cx, c: &Call) -> R {
    sysfs::remove_groups(cx, c.a[0] + cx.off.device_kobj, c.a[1])?;
    Ok(0)
}

fn device_rename(cx: &mut Cx, c: &Call) -> R {
    let text = cx.text(c.a[1])?;
    let kobj = c.a[0] + cx.off.device_kobj;
    let error = sysfs::rename_dir(cx, kobj, &text)?;
    if error == 0 {
        kobject::set_name(cx, kobj, text.as_bytes())?;
    }
    int(error)
}

fn each(cx: &mut Cx, list: Vec<u64>, data: u64, f: u64) -> R {
    for dev in list {
        let answer = cx.call_guest(f, &[dev, data]) as i32;
        if answer != 0 {
            return int(answer);
        }
    }
    Ok(0)
}

fn device_for_each_child(cx: &mut Cx, c: &Call) -> R {
    let list = core::children(cx, c.a[0])?;
    each(cx, list, c.a[1], c.a[2])
}

fn device_for_each_child_reverse(cx: &mut Cx, c: &Call) -> R {
    let mut list = core::children(cx, c.a[0])?;
    list.reverse();
    each(cx, list, c.a[1], c.a[2])
}

fn first(cx: &mut Cx, list: Vec<u64>, data: u64, f: u64) -> R {
    for dev in list {
        if cx.call_guest(f, &[dev, data]) as i32 != 0 {
            core::get(cx, dev)?;
            return Ok(dev);
        }
    }
    Ok(0)
}

fn device_find_child(cx: &mut Cx, c: &Call) -> R {
    let list = core::children(cx, c.a[0])?;
    first(cx, list, c.a[1], c.a[2])
}

fn device_find_child_by_name(cx: &mut Cx, c: &Call) -> R {
    let wanted = cx.text(c.a[1])?;
    for dev in core::children(cx, c.a[0])? {
        if core::name(cx, dev)? == wanted {
            core::get(cx, dev)?;
            return Ok(dev);
        }
    }
    Ok(0)
}

fn of_class(cx: &Cx, class: u64) -> Vec<u64> {
    cx.devices
        .order
        .iter()
        .copied()
        .filter(|d| cx.devices.added.get(d).is_some_and(|a| a.class == class))
        .collect()
}

fn class_for_each_device(cx: &mut Cx, c: &Call) -> R {
    let list = of_class(cx, c.a[0]);
    each(cx, list, c.a[2], c.a[3])
}

fn class_find_device(cx: &mut Cx, c: &Call) -> R {
    let list = of_class(cx, c.a[0]);
    first(cx, list, c.a[2], c.a[3])
}

fn device_match_name(cx: &mut Cx, c: &Call) -> R {
    let wanted = cx.text(c.a[1])?;
    Ok(u64::from(core::name(cx, c.a[0])? == wanted))
}

fn device_match_any(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn device_match_devt(cx: &mut Cx, c: &Call) -> R {
    let wanted = cx.r32(c.a[1])?;
    Ok(u64::from(cx.r32(c.a[0] + cx.off.device_devt)? == wanted))
}

fn dev_driver_string(cx: &mut Cx, c: &Call) -> R {
    let driver = cx.r64(c.a[0] + cx.off.device_driver)?;
    if driver != 0 {
        return Ok(cx.r64(driver + cx.off.driver_name)?);
    }
    let bus = cx.r64(c.a[0] + cx.off.device_bus)?;
    if bus != 0 {
        return Ok(cx.r64(bus + cx.off.bus_name)?);
    }
    let class = cx.r64(c.a[0] + cx.off.device_class)?;
    if class != 0 {
        return Ok(cx.r64(class + cx.off.class_name)?);
    }
    crate::data::alloc(cx, 8, 8)
}

/// struct dev_ext_attribute: a device_attribute, then a pointer to the variable.
fn show_number(cx: &mut Cx, c: &Call, text: String) -> R {
    cx.write(c.a[2], text.as_bytes())?;
    cx.w8(c.a[2] + text.len() as u64, 0)?;
    Ok(text.len() as u64)
}

fn device_show_int(cx: &mut Cx, c: &Call) -> R {
    let at = cx.r64(c.a[1] + 32)?;
    let text = format!("{}\n", cx.r32(at)? as i32);
    show_number(cx, c, text)
}

fn device_show_ulong(cx: &mut Cx, c: &Call) -> R {
    let at = cx.r64(c.a[1] + 32)?;
    let text = format!("{:x}\n", cx.r64(at)?);
    show_number(cx, c, text)
}

fn device_show_bool(cx: &mut Cx, c: &Call) -> R {
    let at = cx.r64(c.a[1] + 32)?;
    let text = format!("{}\n", cx.r8(at)?);
    show_number(cx, c, text)
}

fn log_at(cx: &mut Cx, c: &Call, level: u32) -> R {
    let mut args = c.va(2);
    let text = printk::format::vsnprintf(cx, c.a[1], &mut args, 1000)?;
    core::log(cx, level, c.a[0], &String::from_utf8_lossy(&text))?;
    Ok(0)
}

fn log_emerg(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 0)
}
fn log_alert(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 1)
}
fn log_crit(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 2)
}
fn log_err(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 3)
}
fn log_warn(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 4)
}
fn log_notice(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 5)
}
fn log_info(cx: &mut Cx, c: &Call) -> R {
    log_at(cx, c, 6)
}

/// _dev_printk(level, dev, fmt, …): the level is a KERN_ string.
fn dev_printk(cx: &mut Cx, c: &Call) -> R {
    let level = u32::from(cx.r8(c.a[0] + 1)?.wrapping_sub(b'0')).min(7);
    let mut args = c.va(3);
    let text = printk::format::vsnprintf(cx, c.a[2], &mut args, 1000)?;
    core::log(cx, level, c.a[1], &String::from_utf8_lossy(&text))?;
    Ok(0)
}

fn dev_err_probe(cx: &mut Cx, c: &Call) -> R {
    let error = c.int(1);
    let mut args: VaList = c.va(3);
    let text = printk::format::vsnprintf(cx, c.a[2], &mut args, 900)?;
    let level = if error == -EPROBE_DEFER { 7 } else { 3 };
    let text = format!("error {error}: {}", String::from_utf8_lossy(&text));
    core::log(cx, level, c.a[0], &text)?;
    int(error)
}

fn device_release(cx: &mut Cx, c: &Call) -> R {
    core::release(cx, c.a[0])?;
    Ok(0)
}

fn device_create_release(cx: &mut Cx, c: &Call) -> R {
    mm::kfree(cx, c.a[0]);
    Ok(0)
}

/// show and store of struct device_attribute, which follow its 16 bytes of struct attribute.
fn dev_attr_show(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[1] + 16)? {
        0 => Ok(neg(EIO)),
        show => {
            let dev = c.a[0] - cx.off.device_kobj;
            Ok(cx.call_guest(show, &[dev, c.a[1], c.a[2]]))
        }
    }
}

fn dev_attr_store(cx: &mut Cx, c: &Call) -> R {
    match cx.r64(c.a[1] + 24)? {
        0 => Ok(neg(EIO)),
        store => {
            let dev = c.a[0] - cx.off.device_kobj;
            Ok(cx.call_guest(store, &[dev, c.a[1], c.a[2], c.a[3]]))
        }
    }
}

fn dev_show(cx: &mut Cx, c: &Call) -> R {
    let devt = cx.r32(c.a[0] + cx.off.device_devt)?;
    let text = format!("{}:{}\n", devt >> 20, devt & 0xf_ffff);
    show_number(cx, c, text)
}

fn uevent_show(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let mut text = String::new();
    let devt = cx.r32(c.a[0] + off.device_devt)?;
    if devt >> 20 != 0 {
        let name = core::name(cx, c.a[0])?;
        text = format!(
            "MAJOR={}\nMINOR={}\nDEVNAME={name}\n",
            devt >> 20,
            devt & 0xf_ffff
        );
    }
    let driver = cx.r64(c.a[0] + off.device_driver)?;
    if driver != 0 {
        let name = cx.r64(driver + off.driver_name)?;
        text.push_str(&format!("DRIVER={}\n", cx.text(name)?));
    }
    show_number(cx, c, text)
}
