//! struct device (drivers/base/core.c): initialise, add, delete, release; where each is in sysfs, its device
//! node, its attributes, and the drivers that its bus binds to it.

use super::{bus, class, devres, kobject};
use crate::abi::{R, errno::*};
use crate::fs::{chrdev, sysfs};
use crate::hash::Map;
use crate::{Cx, mm, printk, util};

/// What the driver core keeps of a device that was added.
#[derive(Debug, Clone, Default)]
pub(super) struct Added {
    /// Name of its node below /dev.
    node: Option<String>,
    /// The object of the class directory between it and its parent.
    pub(super) glue: u64,
    pub(super) class: u64,
    pub(super) bus: u64,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    pub(super) added: Map<u64, Added>,
    /// Devices in the order they were added.
    pub(super) order: Vec<u64>,
    ktype: u64,
    kset: u64,
    virtual_dir: u64,
    attr_uevent: u64,
    attr_dev: u64,
    /// Class directories below a parent: (parent kobject, class) to object and users.
    glue: Map<(u64, u64), (u64, u32)>,
}

/// The name of a device (dev_name).
pub fn name(cx: &Cx, dev: u64) -> R<String> {
    let init_name = cx.r64(dev + cx.off.device_init_name)?;
    if init_name != 0 {
        return Ok(cx.text(init_name)?);
    }
    kobject::name(cx, dev + cx.off.device_kobj)
}

fn ktype(cx: &mut Cx) -> R<u64> {
    if cx.devices.ktype == 0 {
        let ops = sysfs::ops_of(cx, "__lkm_dev_attr_show", "__lkm_dev_attr_store")?;
        cx.devices.ktype = kobject::kernel_ktype(cx, "__lkm_device_release", ops)?;
    }
    Ok(cx.devices.ktype)
}

/// The `devices` kset at /sys/devices.
fn devices_kset(cx: &mut Cx) -> R<u64> {
    if cx.devices.kset == 0 {
        cx.devices.kset = kobject::create_kset(cx, "devices", 0, 0)?;
    }
    Ok(cx.devices.kset)
}

/// device_initialize.
pub fn initialize(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    let kset = devices_kset(cx)?;
    cx.w64(dev + off.device_kobj + off.kobject_kset, kset)?;
    let ktype = ktype(cx)?;
    kobject::init(cx, dev + off.device_kobj, ktype)?;
    util::list_init(cx, dev + off.device_devres_head)?;
    // An unlocked mutex: owner 0 and an empty list at its end.
    util::list_init(cx, dev + off.device_mutex + 16)?;
    cx.w32(dev + off.device_numa_node, u32::MAX)?;
    Ok(())
}

/// get_device.
pub fn get(cx: &mut Cx, dev: u64) -> R<()> {
    if dev == 0 {
        return Ok(());
    }
    kobject::get(cx, dev + cx.off.device_kobj)
}

/// put_device.
pub fn put(cx: &mut Cx, dev: u64) -> R<()> {
    if dev == 0 {
        return Ok(());
    }
    kobject::put(cx, dev + cx.off.device_kobj)
}

/// The directory that a device goes into (get_device_parent): a kobject, and whether it is class glue.
fn parent_kobj(cx: &mut Cx, dev: u64, parent: u64, class: u64) -> R<(u64, bool)> {
    let off = cx.off;
    if class == 0 {
        return Ok((
            if parent == 0 {
                0
            } else {
                parent + off.device_kobj
            },
            false,
        ));
    }
    let above = if parent == 0 {
        if cx.devices.virtual_dir == 0 {
            let kset = devices_kset(cx)?;
            cx.devices.virtual_dir = kobject::create(cx, "virtual", kset + off.kset_kobj)?;
        }
        cx.devices.virtual_dir
    } else if cx.r64(parent + off.device_class)? != 0 {
        return Ok((parent + off.device_kobj, false));
    } else {
        parent + off.device_kobj
    };
    let _ = dev;
    if let Some((glue, users)) = cx.devices.glue.get_mut(&(above, class)) {
        *users += 1;
        return Ok((*glue, true));
    }
    let label = class::name(cx, class)?;
    let glue = kobject::create(cx, &label, above)?;
    if glue != 0 {
        cx.devices.glue.insert((above, class), (glue, 1));
    }
    Ok((glue, glue != 0))
}

fn drop_glue(cx: &mut Cx, glue: u64) -> R<()> {
    if glue == 0 {
        return Ok(());
    }
    let key = cx
        .devices
        .glue
        .iter()
        .find(|(_, v)| v.0 == glue)
        .map(|(k, _)| *k);
    if let Some(key) = key
        && let Some(entry) = cx.devices.glue.get_mut(&key)
    {
        entry.1 -= 1;
        if entry.1 == 0 {
            cx.devices.glue.remove(&key);
            kobject::put(cx, glue)?;
        }
    }
    Ok(())
}

/// A struct device_attribute of the kernel's own.
fn kernel_attr(cx: &mut Cx, name: &str, mode: u16, show: &'static str) -> R<u64> {
    let at = crate::data::alloc(cx, 32, 8)?;
    let text = crate::data::alloc(cx, name.len() as u64 + 1, 8)?;
    cx.write(text, name.as_bytes())?;
    cx.w64(at, text)?;
    cx.w16(at + 8, mode)?;
    let show = crate::symbols::address(cx, show);
    cx.w64(at + 16, show)?;
    Ok(at)
}

/// The groups a device gets from its class, its type and itself; undone in reverse on failure.
fn add_groups(cx: &mut Cx, dev: u64, class: u64) -> R<i32> {
    let off = cx.off;
    let kobj = dev + off.device_kobj;
    let device_type = cx.r64(dev + off.device_type)?;
    // struct device_type: name, groups.
    let lists = [
        if class == 0 {
            0
        } else {
            cx.r64(class + off.class_dev_groups)?
        },
        if device_type == 0 {
            0
        } else {
            cx.r64(device_type + 8)?
        },
        cx.r64(dev + off.device_groups)?,
    ];
    for list in lists {
        let error = sysfs::create_groups(cx, kobj, list, false)?;
        if error != 0 {
            return Ok(error);
        }
    }
    Ok(0)
}

/// The name of a device's node below /dev (device_get_devnode).
fn node_name(cx: &mut Cx, dev: u64, class: u64) -> R<String> {
    let off = cx.off;
    let device_type = cx.r64(dev + off.device_type)?;
    let mut devnode = if class == 0 {
        0
    } else {
        cx.r64(class + off.class_devnode)?
    };
    if device_type != 0 {
        // struct device_type: name, groups, uevent, devnode.
        let own = cx.r64(device_type + 24)?;
        if own != 0 {
            devnode = own;
        }
    }
    if devnode != 0 {
        let scratch = mm::kalloc(cx, 16)?;
        let text = cx.call_guest(devnode, &[dev, scratch, scratch + 8, scratch + 12]);
        mm::kfree(cx, scratch);
        if text != 0 {
            let name = cx.text(text)?;
            mm::slab::free(cx, text, "kfree")?;
            return Ok(name);
        }
    }
    Ok(name(cx, dev)?.replace('!', "/"))
}

/// device_add. 0 or a negative errno.
pub fn add(cx: &mut Cx, dev: u64) -> R<i32> {
    let off = cx.off;
    if dev == 0 {
        return Ok(-EINVAL);
    }
    let kobj = dev + off.device_kobj;
    get(cx, dev)?;
    let p = mm::kalloc(cx, 64)?;
    cx.w64(dev + off.device_p, p)?;
    let init_name = cx.r64(dev + off.device_init_name)?;
    if init_name != 0 {
        let text = cx.text(init_name)?;
        kobject::set_name(cx, kobj, text.as_bytes())?;
        cx.w64(dev + off.device_init_name, 0)?;
    }
    let bus = cx.r64(dev + off.device_bus)?;
    if cx.r64(kobj + off.kobject_name)? == 0 && bus != 0 {
        // subsys_dev_iter names: "%s%u" of the bus's dev_name.
        let dev_name = cx.r64(bus + 8)?;
        if dev_name != 0 {
            let id = cx.r32(dev + off.device_id)?;
            let text = format!("{}{id}", cx.text(dev_name)?);
            kobject::set_name(cx, kobj, text.as_bytes())?;
        }
    }
    if cx.r64(kobj + off.kobject_name)? == 0 {
        cx.w64(dev + off.device_p, 0)?;
        mm::kfree(cx, p);
        put(cx, dev)?;
        return Ok(-EINVAL);
    }
    let parent = cx.r64(dev + off.device_parent)?;
    get(cx, parent)?;
    let class = cx.r64(dev + off.device_class)?;
    let (above, is_glue) = parent_kobj(cx, dev, parent, class)?;
    if above != 0 {
        cx.w64(kobj + off.kobject_parent, above)?;
    }
    let glue = if is_glue { above } else { 0 };
    let error = kobject::add_internal(cx, kobj)?;
    if error != 0 {
        drop_glue(cx, glue)?;
        put(cx, parent)?;
        cx.w64(dev + off.device_p, 0)?;
        mm::kfree(cx, p);
        put(cx, dev)?;
        return Ok(error);
    }
    let mut added = Added {
        node: None,
        glue,
        class,
        bus,
    };
    cx.devices.added.insert(dev, added.clone());
    cx.devices.order.push(dev);
    if cx.devices.attr_uevent == 0 {
        cx.devices.attr_uevent = kernel_attr(cx, "uevent", 0o644, "__lkm_uevent_show")?;
        cx.devices.attr_dev = kernel_attr(cx, "dev", 0o444, "__lkm_dev_show")?;
    }
    let attr = cx.devices.attr_uevent;
    let mut error = sysfs::create_file(cx, kobj, attr, None, false)?;
    let mut linked = false;
    if error == 0 {
        error = class::link(cx, dev, class, bus)?;
        linked = error == 0;
    }
    if error == 0 {
        error = add_groups(cx, dev, class)?;
    }
    if error != 0 {
        if linked {
            class::unlink(cx, dev, class, bus)?;
        }
        forget(cx, dev)?;
        kobject::del(cx, kobj)?;
        drop_glue(cx, glue)?;
        put(cx, parent)?;
        put(cx, dev)?;
        return Ok(error);
    }
    let devt = cx.r32(dev + off.device_devt)?;
    if chrdev::major(devt) != 0 {
        let attr = cx.devices.attr_dev;
        sysfs::create_file(cx, kobj, attr, None, false)?;
        let node = node_name(cx, dev, class)?;
        chrdev::add_node(cx, &node, devt);
        added.node = Some(node);
    }
    cx.devices.added.insert(dev, added);
    if bus != 0 {
        bus::device_added(cx, dev, bus)?;
    }
    // The reference that device_add itself held.
    put(cx, dev)?;
    Ok(0)
}

fn forget(cx: &mut Cx, dev: u64) -> R<()> {
    cx.devices.added.remove(&dev);
    cx.devices.order.retain(|&d| d != dev);
    let p = cx.r64(dev + cx.off.device_p)?;
    cx.w64(dev + cx.off.device_p, 0)?;
    mm::kfree(cx, p);
    Ok(())
}

/// Whether a device is in the tree.
pub fn is_added(cx: &Cx, dev: u64) -> bool {
    cx.devices.added.contains_key(&dev)
}

/// device_del.
pub fn del(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    let kobj = dev + off.device_kobj;
    let parent = cx.r64(dev + off.device_parent)?;
    let Some(added) = cx.devices.added.get(&dev).cloned() else {
        // Never added, or deleted before: kill_device() asks the private part, which may not be there, whether it is
        // dead: the bit after its pointer to the device.
        let p = cx.r64(dev + off.device_p)?;
        cx.r8(p.wrapping_add(off.device_private_device + 8))?;
        return Ok(());
    };
    if let Some(node) = &added.node {
        chrdev::remove_node(cx, node)?;
    }
    class::unlink(cx, dev, added.class, added.bus)?;
    if added.bus != 0 {
        bus::release_driver(cx, dev)?;
    }
    forget(cx, dev)?;
    kobject::del(cx, kobj)?;
    drop_glue(cx, added.glue)?;
    put(cx, parent)
}

/// device_unregister.
pub fn unregister(cx: &mut Cx, dev: u64) -> R<()> {
    del(cx, dev)?;
    put(cx, dev)
}

/// The last reference went (device_release).
pub(super) fn release(cx: &mut Cx, kobj: u64) -> R<()> {
    let off = cx.off;
    let dev = kobj - off.device_kobj;
    devres::release_all(cx, dev)?;
    let own = cx.r64(dev + off.device_release)?;
    let device_type = cx.r64(dev + off.device_type)?;
    let class = cx.r64(dev + off.device_class)?;
    // struct device_type: name, groups, uevent, devnode, release.
    let typed = if device_type == 0 {
        0
    } else {
        cx.r64(device_type + 32)?
    };
    let classed = if class == 0 {
        0
    } else {
        cx.r64(class + off.class_dev_release)?
    };
    match [own, typed, classed].into_iter().find(|&f| f != 0) {
        Some(release) => {
            cx.call_guest(release, &[dev]);
        }
        None => {
            let label = kobject::name(cx, kobj)?;
            crate::trace::misuse(cx, "no-release", &label, dev, "device_release");
            crate::traps::warn(
                cx,
                &format!(
                    "Device '{label}' does not have a release() function, it is broken and must be fixed. See Documentation/core-api/kobject.rst.\n"
                ),
                "device_release",
            )?;
        }
    }
    Ok(())
}

/// device_create and its kin: a device of the class, freed by its release.
pub fn create(
    cx: &mut Cx,
    class: u64,
    parent: u64,
    devt: u32,
    data: u64,
    groups: u64,
    label: &[u8],
) -> R<Result<u64, i32>> {
    let off = cx.off;
    if class == 0 || crate::abi::is_err(class) {
        return Ok(Err(-ENODEV));
    }
    let dev = mm::kalloc(cx, off.device_size)?;
    initialize(cx, dev)?;
    let release = crate::symbols::address(cx, "__lkm_device_create_release");
    cx.w32(dev + off.device_devt, devt)?;
    cx.w64(dev + off.device_class, class)?;
    cx.w64(dev + off.device_parent, parent)?;
    cx.w64(dev + off.device_groups, groups)?;
    cx.w64(dev + off.device_release, release)?;
    cx.w64(dev + off.device_driver_data, data)?;
    kobject::set_name(cx, dev + off.device_kobj, label)?;
    let error = add(cx, dev)?;
    if error != 0 {
        put(cx, dev)?;
        return Ok(Err(error));
    }
    Ok(Ok(dev))
}

/// The device of a class with a number (class_find_device_by_devt), without a reference.
pub fn by_devt(cx: &Cx, class: u64, devt: u32) -> R<Option<u64>> {
    for &dev in &cx.devices.order {
        if cx.devices.added.get(&dev).is_some_and(|a| a.class == class)
            && cx.r32(dev + cx.off.device_devt)? == devt
        {
            return Ok(Some(dev));
        }
    }
    Ok(None)
}

/// Devices whose parent is `parent`, in order.
pub fn children(cx: &Cx, parent: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    for &dev in &cx.devices.order {
        if cx.r64(dev + cx.off.device_parent)? == parent {
            out.push(dev);
        }
    }
    Ok(out)
}

/// The prefix of dev_info and the like: "driver name: ".
pub fn log_prefix(cx: &Cx, dev: u64) -> R<String> {
    if dev == 0 {
        return Ok("(NULL device *): ".into());
    }
    let off = cx.off;
    let driver = cx.r64(dev + off.device_driver)?;
    let bus = cx.r64(dev + off.device_bus)?;
    let class = cx.r64(dev + off.device_class)?;
    let by = if driver != 0 {
        let name = cx.r64(driver + off.driver_name)?;
        cx.text(name)?
    } else if bus != 0 {
        let name = cx.r64(bus + off.bus_name)?;
        cx.text(name)?
    } else if class != 0 {
        class::name(cx, class)?
    } else {
        String::new()
    };
    Ok(format!("{by} {}: ", name(cx, dev)?))
}

/// Logs about a device.
pub fn log(cx: &mut Cx, level: u32, dev: u64, text: &str) -> R<()> {
    let prefix = log_prefix(cx, dev)?;
    printk::log(cx, level, &format!("{prefix}{text}"));
    Ok(())
}
