//! The platform bus (drivers/base/platform.c): devices without a bus of their own, matched to drivers by name.

use super::{bus, core, kobject};
use crate::abi::{Call, R, errno::*};
use crate::table::{Fails, Key, Row, behaves};
use crate::{Cx, layout, mm, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("platform_device_register", platform_device_register)
        .fails(Fails::Errno(ENOMEM))
        .before(initialized)
        .sleeps(),
    behaves("platform_device_add", platform_device_add)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves(
        "platform_device_register_full",
        platform_device_register_full,
    )
    .fails(Fails::ErrPtr(ENOMEM))
    .sleeps(),
    behaves("platform_device_unregister", platform_device_unregister)
        .releases("platform device", Key::Arg(0))
        .sleeps(),
    behaves("platform_device_del", platform_device_del)
        .releases("platform device", Key::Arg(0))
        .sleeps(),
    behaves("platform_device_alloc", platform_device_alloc)
        .fails(Fails::Null)
        .sleeps(),
    behaves("platform_device_put", platform_device_put).sleeps(),
    behaves("platform_device_add_data", platform_device_add_data).sleeps(),
    behaves(
        "platform_device_add_resources",
        platform_device_add_resources,
    )
    .sleeps(),
    behaves("__platform_driver_register", platform_driver_register)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("platform_driver_unregister", platform_driver_unregister)
        .releases("platform driver", Key::Arg(0))
        .sleeps(),
    behaves("__platform_driver_probe", platform_driver_probe)
        .fails(Fails::Errno(ENODEV))
        .sleeps(),
    behaves("__platform_create_bundle", platform_create_bundle)
        .fails(Fails::ErrPtr(ENODEV))
        .sleeps(),
    behaves("platform_add_devices", platform_add_devices).sleeps(),
    behaves("__platform_register_drivers", platform_register_drivers).sleeps(),
    behaves("platform_unregister_drivers", platform_unregister_drivers).sleeps(),
    behaves("__lkm_platform_match", platform_match),
    behaves("__lkm_platform_probe", platform_probe),
    behaves("__lkm_platform_remove", platform_remove),
    behaves("__lkm_platform_release", platform_release),
    behaves("__lkm_no_device_release", no_release),
];

/// Most entries of an id table, resource array or driver list.
pub(super) const MAX: u64 = 1024;
/// Bytes of struct platform_device_id: a name of 20, padding, a word.
pub(super) const ID_SIZE: u64 = 32;

/// The state of this file.
#[derive(Default)]
pub struct State {
    bus_type: u64,
    bus: u64,
    next_auto: u32,
    /// Allocations that go with a device of platform_device_alloc: resources, data.
    owned: crate::hash::Map<u64, Vec<u64>>,
}

/// `platform_bus_type`.
pub(super) fn bus_type(cx: &mut Cx) -> R<u64> {
    if cx.platform.bus_type == 0 {
        let at = bus::kernel_bus(
            cx,
            "platform",
            "__lkm_platform_match",
            "__lkm_platform_probe",
            "__lkm_platform_remove",
        )?;
        cx.platform.bus_type = at;
    }
    Ok(cx.platform.bus_type)
}

/// `platform_bus`: the device above all.
fn root(cx: &mut Cx) -> R<u64> {
    if cx.platform.bus == 0 {
        let at = crate::data::alloc(cx, cx.off.device_size, 64)?;
        cx.platform.bus = at;
        core::initialize(cx, at)?;
        let release = crate::symbols::address(cx, "__lkm_no_device_release");
        cx.w64(at + cx.off.device_release, release)?;
        kobject::set_name(cx, at + cx.off.device_kobj, b"platform")?;
        core::add(cx, at)?;
    }
    Ok(cx.platform.bus)
}

/// The bus's variables.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    Ok(match name {
        "platform_bus_type" => Some(bus_type(cx)?),
        "platform_bus" => Some(root(cx)?),
        _ => None,
    })
}

fn no_release(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// platform_device_add of an initialised device. 0 or a negative errno.
pub(super) fn add(cx: &mut Cx, pdev: u64) -> R<i32> {
    let off = cx.off;
    if pdev == 0 {
        return Ok(-EINVAL);
    }
    let dev = pdev + off.pdev_dev;
    let (bus, above) = (bus_type(cx)?, root(cx)?);
    if cx.r64(dev + off.device_parent)? == 0 {
        cx.w64(dev + off.device_parent, above)?;
    }
    cx.w64(dev + off.device_bus, bus)?;
    let name_at = cx.r64(pdev + off.pdev_name)?;
    let name = cx.text(name_at)?;
    let label = match cx.r32(pdev + off.pdev_id)? as i32 {
        -1 => name,
        -2 => {
            let id = cx.platform.next_auto;
            cx.platform.next_auto += 1;
            cx.w32(pdev + off.pdev_id, id)?;
            format!("{name}.{id}.auto")
        }
        id => format!("{name}.{id}"),
    };
    kobject::set_name(cx, dev + off.device_kobj, label.as_bytes())?;
    let error = super::resource::insert_all(cx, pdev, &label)?;
    if error != 0 {
        return Ok(error);
    }
    let error = core::add(cx, dev)?;
    if error != 0 {
        super::resource::remove_all(cx, pdev)?;
    }
    Ok(error)
}

/// setup_pdev_dma_masks.
fn dma_masks(cx: &mut Cx, pdev: u64) -> R<()> {
    let off = cx.off;
    let dev = pdev + off.pdev_dev;
    if cx.r64(dev + off.device_coherent_dma_mask)? == 0 {
        cx.w64(dev + off.device_coherent_dma_mask, 0xffff_ffff)?;
    }
    if cx.r64(dev + off.device_dma_mask)? == 0 {
        cx.w64(pdev + off.pdev_dma_mask, 0xffff_ffff)?;
        cx.w64(dev + off.device_dma_mask, pdev + off.pdev_dma_mask)?;
    }
    Ok(())
}

fn platform_device_register(cx: &mut Cx, c: &Call) -> R {
    core::initialize(cx, c.a[0] + cx.off.pdev_dev)?;
    dma_masks(cx, c.a[0])?;
    platform_device_add(cx, c)
}

/// A device that could not be registered is initialized all the same: its owner puts it.
fn initialized(cx: &mut Cx, c: &Call) -> R<bool> {
    core::initialize(cx, c.a[0] + cx.off.pdev_dev)?;
    dma_masks(cx, c.a[0])?;
    Ok(true)
}

fn platform_device_add(cx: &mut Cx, c: &Call) -> R {
    let error = add(cx, c.a[0])?;
    if error == 0 {
        tell_device(cx, c.a[0])?;
    }
    Ok(error as i64 as u64)
}

/// Records a device under the name it has in sysfs.
fn tell_device(cx: &mut Cx, pdev: u64) -> R<()> {
    let name = core::name(cx, pdev + cx.off.pdev_dev)?;
    trace::acquired(cx, "platform device", pdev, &name);
    Ok(())
}

/// Records a driver under its name.
fn tell_driver(cx: &mut Cx, drv: u64) -> R<()> {
    let name = cx.r64(drv + cx.off.pdrv_driver + cx.off.driver_name)?;
    let name = cx.text(name)?;
    trace::acquired(cx, "platform driver", drv, &name);
    Ok(())
}

/// platform_device_alloc: the structure and its name in one piece.
pub(super) fn alloc(cx: &mut Cx, name: &[u8], id: u32) -> R<u64> {
    let off = cx.off;
    let pdev = mm::kalloc(cx, off.pdev_size + name.len() as u64 + 1)?;
    let text = pdev + off.pdev_size;
    cx.write(text, name)?;
    cx.w64(pdev + off.pdev_name, text)?;
    cx.w32(pdev + off.pdev_id, id)?;
    let dev = pdev + off.pdev_dev;
    core::initialize(cx, dev)?;
    let release = crate::symbols::address(cx, "__lkm_platform_release");
    cx.w64(dev + off.device_release, release)?;
    dma_masks(cx, pdev)?;
    Ok(pdev)
}

fn platform_device_alloc(cx: &mut Cx, c: &Call) -> R {
    let name = cx.cstr(c.a[0], 256)?;
    alloc(cx, &name, c.a[1] as u32)
}

fn platform_release(cx: &mut Cx, c: &Call) -> R {
    let pdev = c.a[0] - cx.off.pdev_dev;
    for part in cx.platform.owned.remove(&pdev).unwrap_or_default() {
        mm::kfree(cx, part);
    }
    mm::kfree(cx, pdev);
    Ok(0)
}

/// A copy of `len` bytes that lives as long as the device.
fn attach(cx: &mut Cx, pdev: u64, from: u64, len: u64) -> R<u64> {
    if from == 0 || len == 0 || len > 1 << 20 {
        return Ok(0);
    }
    let at = mm::kalloc(cx, len)?;
    cx.copy(at, from, len)?;
    cx.platform.owned.entry(pdev).or_default().push(at);
    Ok(at)
}

pub(super) fn set_resources(cx: &mut Cx, pdev: u64, from: u64, count: u64) -> R<()> {
    let at = attach(cx, pdev, from, count.min(MAX) * super::resource::SIZE)?;
    cx.w64(pdev + cx.off.pdev_resource, at)?;
    Ok(cx.w32(
        pdev + cx.off.pdev_num_resources,
        if at == 0 { 0 } else { count as u32 },
    )?)
}

fn platform_device_add_resources(cx: &mut Cx, c: &Call) -> R {
    set_resources(cx, c.a[0], c.a[1], u64::from(c.a[2] as u32))?;
    Ok(0)
}

fn platform_device_add_data(cx: &mut Cx, c: &Call) -> R {
    let at = attach(cx, c.a[0], c.a[1], c.a[2])?;
    cx.w64(c.a[0] + cx.off.pdev_dev + cx.off.device_platform_data, at)?;
    Ok(0)
}

/// struct platform_device_info: parent 0, fwnode 8, flag 16, name 24, id 32, res 40, num_res 48, data 56,
/// size_data 64, dma_mask 72.
fn platform_device_register_full(cx: &mut Cx, c: &Call) -> R {
    let info = c.a[0];
    let off = cx.off;
    let name_at = cx.r64(info + 24)?;
    let name = cx.cstr(name_at, 256)?;
    let id = cx.r32(info + 32)?;
    let pdev = alloc(cx, &name, id)?;
    let dev = pdev + off.pdev_dev;
    let parent = cx.r64(info)?;
    cx.w64(dev + off.device_parent, parent)?;
    let mask = cx.r64(info + 72)?;
    if mask != 0 {
        cx.w64(pdev + off.pdev_dma_mask, mask)?;
        cx.w64(dev + off.device_coherent_dma_mask, mask)?;
    }
    let (res, count) = (cx.r64(info + 40)?, cx.r32(info + 48)?);
    set_resources(cx, pdev, res, u64::from(count))?;
    let (data, len) = (cx.r64(info + 56)?, cx.r64(info + 64)?);
    let data = attach(cx, pdev, data, len)?;
    cx.w64(dev + off.device_platform_data, data)?;
    let error = add(cx, pdev)?;
    if error != 0 {
        core::put(cx, dev)?;
        return Ok(error as i64 as u64);
    }
    tell_device(cx, pdev)?;
    Ok(pdev)
}

fn del(cx: &mut Cx, pdev: u64) -> R<()> {
    if pdev == 0 || crate::abi::is_err(pdev) {
        return Ok(());
    }
    core::del(cx, pdev + cx.off.pdev_dev)?;
    super::resource::remove_all(cx, pdev)
}

fn platform_device_del(cx: &mut Cx, c: &Call) -> R {
    del(cx, c.a[0])?;
    Ok(0)
}

fn platform_device_put(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && !crate::abi::is_err(c.a[0]) {
        core::put(cx, c.a[0] + cx.off.pdev_dev)?;
    }
    Ok(0)
}

fn platform_device_unregister(cx: &mut Cx, c: &Call) -> R {
    del(cx, c.a[0])?;
    platform_device_put(cx, c)
}

fn register_driver(cx: &mut Cx, drv: u64, owner: u64) -> R<i32> {
    let off = cx.off;
    let bus = bus_type(cx)?;
    root(cx)?;
    if cx.options.probe {
        super::fake::platform(cx, drv)?;
    }
    cx.w64(drv + off.pdrv_driver + off.driver_owner, owner)?;
    cx.w64(drv + off.pdrv_driver + off.driver_bus, bus)?;
    bus::register(cx, drv + off.pdrv_driver)
}

fn platform_driver_register(cx: &mut Cx, c: &Call) -> R {
    let error = register_driver(cx, c.a[0], c.a[1])?;
    if error == 0 {
        tell_driver(cx, c.a[0])?;
    }
    Ok(error as i64 as u64)
}

fn platform_driver_unregister(cx: &mut Cx, c: &Call) -> R {
    bus::unregister(cx, c.a[0] + cx.off.pdrv_driver)?;
    Ok(0)
}

/// Whether any device is bound to the driver.
fn bound(cx: &Cx, driver: u64) -> R<bool> {
    for &dev in &cx.devices.order {
        if cx.r64(dev + cx.off.device_driver)? == driver {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A driver whose probe is for now only: registered, and gone again when nothing was bound.
fn driver_probe(cx: &mut Cx, drv: u64, probe: u64, owner: u64) -> R<i32> {
    let off = cx.off;
    cx.w64(drv + off.pdrv_probe, probe)?;
    let error = register_driver(cx, drv, owner)?;
    if error != 0 {
        return Ok(error);
    }
    cx.w64(drv + off.pdrv_probe, 0)?;
    if bound(cx, drv + off.pdrv_driver)? {
        return Ok(0);
    }
    bus::unregister(cx, drv + off.pdrv_driver)?;
    Ok(-ENODEV)
}

fn platform_driver_probe(cx: &mut Cx, c: &Call) -> R {
    let error = driver_probe(cx, c.a[0], c.a[1], c.a[2])?;
    if error == 0 {
        tell_driver(cx, c.a[0])?;
    }
    Ok(error as i64 as u64)
}

/// __platform_create_bundle(driver, probe, res, n_res, data, size, module).
fn platform_create_bundle(cx: &mut Cx, c: &Call) -> R {
    let [drv, probe, res, count, data, size] = c.a;
    let owner = c.arg(cx, 6)?;
    let off = cx.off;
    let name_at = cx.r64(drv + off.pdrv_driver + off.driver_name)?;
    let name = cx.cstr(name_at, 256)?;
    let pdev = alloc(cx, &name, u32::MAX)?;
    set_resources(cx, pdev, res, u64::from(count as u32))?;
    let data = attach(cx, pdev, data, size)?;
    cx.w64(pdev + off.pdev_dev + off.device_platform_data, data)?;
    let error = add(cx, pdev)?;
    if error != 0 {
        core::put(cx, pdev + off.pdev_dev)?;
        return Ok(error as i64 as u64);
    }
    let error = driver_probe(cx, drv, probe, owner)?;
    if error != 0 {
        del(cx, pdev)?;
        core::put(cx, pdev + off.pdev_dev)?;
        return Ok(error as i64 as u64);
    }
    tell_device(cx, pdev)?;
    tell_driver(cx, drv)?;
    Ok(pdev)
}

fn platform_add_devices(cx: &mut Cx, c: &Call) -> R {
    let mut done = Vec::new();
    for index in 0..u64::from(c.a[1] as u32).min(MAX) {
        let pdev = cx.r64(c.a[0] + index * 8)?;
        core::initialize(cx, pdev + cx.off.pdev_dev)?;
        let error = add(cx, pdev)?;
        if error != 0 {
            for pdev in done.into_iter().rev() {
                del(cx, pdev)?;
                core::put(cx, pdev + cx.off.pdev_dev)?;
                trace::released(cx, "platform device", pdev);
            }
            return Ok(error as i64 as u64);
        }
        done.push(pdev);
        tell_device(cx, pdev)?;
    }
    Ok(0)
}

fn platform_register_drivers(cx: &mut Cx, c: &Call) -> R {
    let mut done = Vec::new();
    for index in 0..u64::from(c.a[1] as u32).min(MAX) {
        let drv = cx.r64(c.a[0] + index * 8)?;
        let error = register_driver(cx, drv, c.a[2])?;
        if error != 0 {
            for drv in done.into_iter().rev() {
                bus::unregister(cx, drv + cx.off.pdrv_driver)?;
                trace::released(cx, "platform driver", drv);
            }
            return Ok(error as i64 as u64);
        }
        done.push(drv);
        tell_driver(cx, drv)?;
    }
    Ok(0)
}

fn platform_unregister_drivers(cx: &mut Cx, c: &Call) -> R {
    for index in (0..u64::from(c.a[1] as u32).min(MAX)).rev() {
        let drv = cx.r64(c.a[0] + index * 8)?;
        bus::unregister(cx, drv + cx.off.pdrv_driver)?;
        trace::released(cx, "platform driver", drv);
    }
    Ok(0)
}

/// platform_match: an override, the id table, then the names.
fn platform_match(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let pdev = c.a[0] - off.pdev_dev;
    let drv = c.a[1] - off.pdrv_driver;
    let driver_name = cx.r64(c.a[1] + off.driver_name)?;
    let driver_name = cx.text(driver_name)?;
    // Kept in struct device by later kernels, where only sysfs writes it.
    let forced = match off.pdev_override {
        crate::layout::NONE => 0,
        member => cx.r64(pdev + member)?,
    };
    if forced != 0 {
        return Ok(u64::from(cx.text(forced)? == driver_name));
    }
    let name = cx.r64(pdev + off.pdev_name)?;
    let name = cx.text(name)?;
    let table = cx.r64(drv + off.pdrv_id_table)?;
    if table != 0 {
        for index in 0..MAX {
            let at = table + index * ID_SIZE;
            if cx.r8(at)? == 0 {
                break;
            }
            if cx.text(at)? == name {
                cx.w64(pdev + off.pdev_id_entry, at)?;
                return Ok(1);
            }
        }
        return Ok(0);
    }
    Ok(u64::from(name == driver_name))
}

fn platform_probe(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let driver = cx.r64(c.a[0] + off.device_driver)?;
    let probe = cx.r64(driver - off.pdrv_driver + off.pdrv_probe)?;
    if probe == 0 {
        return Ok(0);
    }
    let answer = cx.call_guest(probe, &[c.a[0] - off.pdev_dev]) as i32;
    Ok(answer as i64 as u64)
}

fn platform_remove(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let driver = cx.r64(c.a[0] + off.device_driver)?;
    let drv = driver - off.pdrv_driver;
    let new = if off.pdrv_remove_new == layout::NONE {
        0
    } else {
        cx.r64(drv + off.pdrv_remove_new)?
    };
    let pdev = c.a[0] - off.pdev_dev;
    if new != 0 {
        cx.call_guest(new, &[pdev]);
        return Ok(0);
    }
    let remove = cx.r64(drv + off.pdrv_remove)?;
    if remove != 0 {
        let answer = cx.call_guest(remove, &[pdev]) as i32;
        if answer != 0 {
            core::log(
                cx,
                4,
                c.a[0],
                "remove callback returned a non-zero value. This will be ignored.\n",
            )?;
        }
    }
    Ok(0)
}
