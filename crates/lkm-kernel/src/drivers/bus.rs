//! Buses and drivers (drivers/base/bus.c, dd.c, driver.c): which driver is bound to which device, probe and
//! remove, and deferred probes.

use super::{core, devres};
use crate::abi::{Call, R, errno::*, neg};
use crate::fs::sysfs;
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, printk, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("bus_register", bus_register)
        .acquires("bus", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("bus_unregister", bus_unregister)
        .releases("bus", Key::Arg(0))
        .sleeps(),
    behaves("driver_register", driver_register)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("driver_unregister", driver_unregister)
        .releases("driver", Key::Arg(0))
        .sleeps(),
    behaves("driver_attach", driver_attach).sleeps(),
    behaves("device_attach", device_attach).sleeps(),
    behaves("device_bind_driver", device_bind_driver).sleeps(),
    behaves("device_release_driver", device_release_driver).sleeps(),
    behaves("device_driver_attach", device_bind_driver).sleeps(),
    behaves("bus_for_each_dev", bus_for_each_dev),
    behaves("bus_for_each_drv", bus_for_each_drv),
    behaves("bus_find_device", bus_find_device),
    behaves("driver_for_each_device", driver_for_each_device),
    behaves("driver_find", driver_find),
    behaves("driver_create_file", driver_create_file)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("driver_remove_file", driver_remove_file).sleeps(),
    behaves("bus_create_file", bus_create_file)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("bus_remove_file", bus_remove_file).sleeps(),
    behaves("bus_rescan_devices", bus_rescan_devices).sleeps(),
    behaves("driver_deferred_probe_check_state", deferred_state),
];

/// A registered bus.
#[derive(Debug, Clone)]
struct Bus {
    name: String,
    drivers: Vec<u64>,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    buses: Map<u64, Bus>,
    /// Devices whose probe asked for another time.
    deferred: Vec<u64>,
}

/// A bus type of the kernel's own, with the functions that answer for it.
pub(super) fn kernel_bus(
    cx: &mut Cx,
    name: &str,
    matches: &'static str,
    probe: &'static str,
    remove: &'static str,
) -> R<u64> {
    let off = cx.off;
    let at = crate::data::alloc(cx, 512, 64)?;
    let label = crate::data::alloc(cx, 16, 8)?;
    cx.write(label, format!("{name}\0").as_bytes())?;
    cx.w64(at + off.bus_name, label)?;
    for (offset, function) in [
        (off.bus_match, matches),
        (off.bus_probe, probe),
        (off.bus_remove, remove),
    ] {
        let function = crate::symbols::address(cx, function);
        cx.w64(at + offset, function)?;
    }
    Ok(at)
}

/// Makes the bus known; the kernel's own buses come with their names when first used.
fn bus_of(cx: &mut Cx, bus: u64) -> R<()> {
    if !cx.buses.buses.contains_key(&bus) {
        let at = cx.r64(bus + cx.off.bus_name)?;
        let name = if at == 0 {
            format!("bus@{bus:x}")
        } else {
            cx.text(at)?
        };
        cx.buses.buses.insert(
            bus,
            Bus {
                name,
                drivers: Vec::new(),
            },
        );
    }
    Ok(())
}

fn dir(cx: &mut Cx, bus: u64, below: &str) -> R<usize> {
    bus_of(cx, bus)?;
    let name = cx
        .buses
        .buses
        .get(&bus)
        .map_or_else(String::new, |b| b.name.clone());
    sysfs::top_dir(cx, &format!("bus/{name}/{below}"))
}

/// /sys/bus/NAME/devices.
pub(super) fn devices_dir(cx: &mut Cx, bus: u64) -> R<usize> {
    dir(cx, bus, "devices")
}

fn bus_register(cx: &mut Cx, c: &Call) -> R {
    let at = cx.r64(c.a[0] + cx.off.bus_name)?;
    let name = cx.text(at)?;
    if cx.buses.buses.values().any(|b| b.name == name) {
        let text = format!(
            "kobject_add_internal failed for {name} with -EEXIST, don't try to register things with the same name in the same directory.\n"
        );
        printk::log(
            cx,
            3,
            &format!("sysfs: cannot create duplicate filename '/bus/{name}'\n"),
        );
        printk::log(cx, 3, &text);
        return Ok(neg(EEXIST));
    }
    bus_of(cx, c.a[0])?;
    devices_dir(cx, c.a[0])?;
    dir(cx, c.a[0], "drivers")?;
    Ok(0)
}

fn bus_unregister(cx: &mut Cx, c: &Call) -> R {
    match cx.buses.buses.remove(&c.a[0]) {
        Some(bus) => {
            let top = sysfs::top_dir(cx, "bus")?;
            sysfs::remove_in(cx, top, &bus.name);
        }
        None => {
            cx.r64(c.a[0])?;
            trace::misuse(
                cx,
                "release-unheld",
                "a bus that is not registered",
                c.a[0],
                "bus_unregister",
            );
        }
    }
    Ok(0)
}

pub(super) fn devices_on(cx: &Cx, bus: u64) -> Vec<u64> {
    cx.devices
        .order
        .iter()
        .copied()
        .filter(|d| cx.devices.added.get(d).is_some_and(|a| a.bus == bus))
        .collect()
}

/// driver_register: 0 or a negative errno.
pub fn register(cx: &mut Cx, driver: u64) -> R<i32> {
    let off = cx.off;
    let bus = cx.r64(driver + off.driver_bus)?;
    let name_at = cx.r64(driver + off.driver_name)?;
    let name = cx.text(name_at)?;
    if bus == 0 {
        return Ok(-EINVAL);
    }
    bus_of(cx, bus)?;
    let drivers = dir(cx, bus, "drivers")?;
    let taken = cx.buses.buses.get(&bus).map(|b| b.drivers.clone());
    for other in taken.unwrap_or_default() {
        let at = cx.r64(other + off.driver_name)?;
        if cx.text(at)? == name {
            printk::log(
                cx,
                3,
                &format!("Error: Driver '{name}' is already registered, aborting...\n"),
            );
            return Ok(-EBUSY);
        }
    }
    let node = sysfs::named_dir(cx, drivers, &name)?;
    let _ = node;
    if let Some(b) = cx.buses.buses.get_mut(&bus) {
        b.drivers.push(driver);
    }
    if off.driver_p != crate::layout::NONE {
        let p = crate::data::alloc(cx, 8, 8)?;
        cx.w64(driver + off.driver_p, p)?;
    }
    for dev in devices_on(cx, bus) {
        if core::is_added(cx, dev) && cx.r64(dev + off.device_driver)? == 0 {
            if !asynchronous(cx, driver)? {
                attach(cx, dev, driver)?;
            } else if matches(cx, dev, driver)? {
                probe_later(cx, dev)?;
            }
        }
    }
    Ok(0)
}

/// PROBE_PREFER_ASYNCHRONOUS (enum probe_type).
const PREFER_ASYNCHRONOUS: u32 = 1;

/// driver_allows_async_probing, as far as the driver itself says so.
fn asynchronous(cx: &Cx, driver: u64) -> R<bool> {
    let off = cx.off.driver_probe_type;
    Ok(off != crate::layout::NONE && cx.r32(driver + off)? == PREFER_ASYNCHRONOUS)
}

/// __device_attach_async_helper: a worker tries the drivers that allow it, if the device is there by then.
fn probe_later(cx: &mut Cx, dev: u64) -> R<()> {
    core::get(cx, dev)?;
    crate::workqueue::asynchronous::run(cx, move |cx| {
        let bus = cx.r64(dev + cx.off.device_bus)?;
        let drivers = cx.buses.buses.get(&bus).map(|b| b.drivers.clone());
        for driver in drivers.unwrap_or_default() {
            let free = core::is_added(cx, dev) && cx.r64(dev + cx.off.device_driver)? == 0;
            if free && asynchronous(cx, driver)? && attach(cx, dev, driver)? {
                break;
            }
        }
        core::put(cx, dev)
    })
}

/// driver_unregister: its devices are released first.
pub fn unregister(cx: &mut Cx, driver: u64) -> R<()> {
    let off = cx.off;
    let bus = cx.r64(driver + off.driver_bus)?;
    let known = cx
        .buses
        .buses
        .get(&bus)
        .is_some_and(|b| b.drivers.contains(&driver));
    if !known {
        if super::foreign::unregister_inside(cx, driver) {
            return Ok(());
        }
        crate::traps::warn(cx, "Unexpected driver unregister!\n", "driver_unregister")?;
        return Ok(());
    }
    if asynchronous(cx, driver)? {
        crate::workqueue::asynchronous::synchronize_full(cx)?;
    }
    for dev in devices_on(cx, bus) {
        if cx.r64(dev + off.device_driver)? == driver {
            release_driver(cx, dev)?;
        }
    }
    if let Some(b) = cx.buses.buses.get_mut(&bus) {
        b.drivers.retain(|&d| d != driver);
    }
    let drivers = dir(cx, bus, "drivers")?;
    let name = cx.r64(driver + off.driver_name)?;
    let name = cx.text(name)?;
    sysfs::remove_in(cx, drivers, &name);
    Ok(())
}

/// driver_match_device.
fn matches(cx: &mut Cx, dev: u64, driver: u64) -> R<bool> {
    let off = cx.off;
    let bus = cx.r64(dev + off.device_bus)?;
    let matcher = cx.r64(bus + off.bus_match)?;
    Ok(matcher == 0 || cx.call_guest(matcher, &[dev, driver]) as i32 > 0)
}

/// driver_match_device, then a probe. Whether the driver is bound now.
fn attach(cx: &mut Cx, dev: u64, driver: u64) -> R<bool> {
    Ok(matches(cx, dev, driver)? && probe(cx, dev, driver)? == 0)
}

/// really_probe. 0 or a negative errno.
fn probe(cx: &mut Cx, dev: u64, driver: u64) -> R<i32> {
    let off = cx.off;
    let bus = cx.r64(dev + off.device_bus)?;
    cx.w64(dev + off.device_driver, driver)?;
    let by_bus = cx.r64(bus + off.bus_probe)?;
    let own = cx.r64(driver + off.driver_probe)?;
    let function = if by_bus != 0 { by_bus } else { own };
    let mut answer = if function == 0 {
        0
    } else {
        cx.call_guest(function, &[dev]) as i32
    };
    let kobj = dev + off.device_kobj;
    super::fake::probed(cx, dev, driver, answer)?;
    if answer == 0 {
        let groups = cx.r64(driver + off.driver_dev_groups)?;
        answer = sysfs::create_groups(cx, kobj, groups, false)?;
    }
    if answer == 0 {
        cx.buses.deferred.retain(|&d| d != dev);
        // driver_bound: what waited for something gets another try.
        for dev in std::mem::take(&mut cx.buses.deferred) {
            if core::is_added(cx, dev) && cx.r64(dev + off.device_driver)? == 0 {
                let bus = cx.r64(dev + off.device_bus)?;
                attach_any(cx, dev, bus)?;
            }
        }
        return Ok(0);
    }
    devres::release_all(cx, dev)?;
    cx.w64(dev + off.device_driver, 0)?;
    cx.w64(dev + off.device_driver_data, 0)?;
    let name = cx.r64(driver + off.driver_name)?;
    let name = cx.text(name)?;
    match -answer {
        EPROBE_DEFER => {
            if !cx.buses.deferred.contains(&dev) {
                cx.buses.deferred.push(dev);
            }
        }
        ENODEV | ENXIO => {}
        _ => {
            let label = core::name(cx, dev)?;
            printk::log(
                cx,
                4,
                &format!("{name}: probe of {label} failed with error {answer}\n"),
            );
        }
    }
    Ok(answer)
}

pub(super) fn attach_any(cx: &mut Cx, dev: u64, bus: u64) -> R<bool> {
    let drivers = cx
        .buses
        .buses
        .get(&bus)
        .map(|b| b.drivers.clone())
        .unwrap_or_default();
    for driver in drivers {
        if attach(cx, dev, driver)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// bus_probe_device.
pub(super) fn device_added(cx: &mut Cx, dev: u64, bus: u64) -> R<()> {
    bus_of(cx, bus)?;
    if cx.r64(dev + cx.off.device_driver)? != 0 {
        return Ok(());
    }
    // __device_attach: those that must be at once, then the others by a worker.
    let drivers = cx.buses.buses.get(&bus).map(|b| b.drivers.clone());
    let mut later = false;
    for driver in drivers.unwrap_or_default() {
        if asynchronous(cx, driver)? {
            later |= matches(cx, dev, driver)?;
        } else if attach(cx, dev, driver)? {
            return Ok(());
        }
    }
    if later {
        probe_later(cx, dev)?;
    }
    Ok(())
}

/// device_release_driver: remove, then what is managed goes.
pub fn release_driver(cx: &mut Cx, dev: u64) -> R<()> {
    let off = cx.off;
    cx.buses.deferred.retain(|&d| d != dev);
    let driver = cx.r64(dev + off.device_driver)?;
    if driver == 0 {
        return Ok(());
    }
    let groups = cx.r64(driver + off.driver_dev_groups)?;
    sysfs::remove_groups(cx, dev + off.device_kobj, groups)?;
    let bus = cx.r64(dev + off.device_bus)?;
    let by_bus = if bus == 0 {
        0
    } else {
        cx.r64(bus + off.bus_remove)?
    };
    let own = cx.r64(driver + off.driver_remove)?;
    if by_bus != 0 {
        cx.call_guest(by_bus, &[dev]);
    } else if own != 0 {
        cx.call_guest(own, &[dev]);
    }
    devres::release_all(cx, dev)?;
    cx.w64(dev + off.device_driver, 0)?;
    cx.w64(dev + off.device_driver_data, 0)?;
    Ok(())
}

fn driver_register(cx: &mut Cx, c: &Call) -> R {
    let error = register(cx, c.a[0])?;
    if error == 0 {
        let name = cx.r64(c.a[0] + cx.off.driver_name)?;
        let name = cx.text(name)?;
        trace::acquired(cx, "driver", c.a[0], &name);
    }
    Ok(error as i64 as u64)
}

fn driver_unregister(cx: &mut Cx, c: &Call) -> R {
    unregister(cx, c.a[0])?;
    Ok(0)
}

fn driver_attach(cx: &mut Cx, c: &Call) -> R {
    let bus = cx.r64(c.a[0] + cx.off.driver_bus)?;
    for dev in devices_on(cx, bus) {
        if core::is_added(cx, dev) && cx.r64(dev + cx.off.device_driver)? == 0 {
            attach(cx, dev, c.a[0])?;
        }
    }
    Ok(0)
}

fn device_attach(cx: &mut Cx, c: &Call) -> R {
    let bus = cx.r64(c.a[0] + cx.off.device_bus)?;
    if cx.r64(c.a[0] + cx.off.device_driver)? != 0 {
        return Ok(1);
    }
    Ok(u64::from(attach_any(cx, c.a[0], bus)?))
}

fn device_bind_driver(cx: &mut Cx, c: &Call) -> R {
    // device_bind_driver(dev) binds dev->driver; device_driver_attach has (driver, dev).
    let (dev, driver) = if crate::trace::function(cx) == "device_driver_attach" {
        (c.a[1], c.a[0])
    } else {
        (c.a[0], cx.r64(c.a[0] + cx.off.device_driver)?)
    };
    Ok(probe(cx, dev, driver)? as i64 as u64)
}

fn device_release_driver(cx: &mut Cx, c: &Call) -> R {
    release_driver(cx, c.a[0])?;
    Ok(0)
}

fn each(cx: &mut Cx, list: Vec<u64>, start: u64, data: u64, f: u64) -> R {
    let from = if start == 0 {
        0
    } else {
        list.iter().position(|&d| d == start).map_or(0, |i| i + 1)
    };
    for item in list.into_iter().skip(from) {
        let answer = cx.call_guest(f, &[item, data]) as i32;
        if answer != 0 {
            return Ok(answer as i64 as u64);
        }
    }
    Ok(0)
}

fn bus_for_each_dev(cx: &mut Cx, c: &Call) -> R {
    let list = devices_on(cx, c.a[0]);
    each(cx, list, c.a[1], c.a[2], c.a[3])
}

fn bus_for_each_drv(cx: &mut Cx, c: &Call) -> R {
    let list = cx
        .buses
        .buses
        .get(&c.a[0])
        .map(|b| b.drivers.clone())
        .unwrap_or_default();
    each(cx, list, c.a[1], c.a[2], c.a[3])
}

fn bus_find_device(cx: &mut Cx, c: &Call) -> R {
    let [bus, start, data, matcher, ..] = c.a;
    let list = devices_on(cx, bus);
    let from = if start == 0 {
        0
    } else {
        list.iter().position(|&d| d == start).map_or(0, |i| i + 1)
    };
    for dev in list.into_iter().skip(from) {
        if cx.call_guest(matcher, &[dev, data]) as i32 != 0 {
            core::get(cx, dev)?;
            return Ok(dev);
        }
    }
    Ok(0)
}

fn driver_for_each_device(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(EINVAL));
    }
    let bus = cx.r64(c.a[0] + cx.off.driver_bus)?;
    let mut list = Vec::new();
    for dev in devices_on(cx, bus) {
        if cx.r64(dev + cx.off.device_driver)? == c.a[0] {
            list.push(dev);
        }
    }
    each(cx, list, c.a[1], c.a[2], c.a[3])
}

fn driver_find(cx: &mut Cx, c: &Call) -> R {
    let wanted = cx.text(c.a[0])?;
    let drivers = cx
        .buses
        .buses
        .get(&c.a[1])
        .map(|b| b.drivers.clone())
        .unwrap_or_default();
    for driver in drivers {
        let at = cx.r64(driver + cx.off.driver_name)?;
        if cx.text(at)? == wanted {
            return Ok(driver);
        }
    }
    Ok(0)
}

/// The directory of a registered driver.
fn driver_dir(cx: &mut Cx, driver: u64) -> R<usize> {
    let bus = cx.r64(driver + cx.off.driver_bus)?;
    let drivers = dir(cx, bus, "drivers")?;
    let name = cx.r64(driver + cx.off.driver_name)?;
    let name = cx.text(name)?;
    sysfs::named_dir(cx, drivers, &name)
}

fn driver_create_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(EINVAL));
    }
    let dir = driver_dir(cx, c.a[0])?;
    Ok(sysfs::create_own(cx, dir, c.a[0], c.a[1], false)? as i64 as u64)
}

fn driver_remove_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        let dir = driver_dir(cx, c.a[0])?;
        sysfs::remove_own(cx, dir, c.a[1])?;
    }
    Ok(0)
}

fn bus_create_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(EINVAL));
    }
    let dir = dir(cx, c.a[0], "")?;
    Ok(sysfs::create_own(cx, dir, c.a[0], c.a[1], false)? as i64 as u64)
}

fn bus_remove_file(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        let dir = dir(cx, c.a[0], "")?;
        sysfs::remove_own(cx, dir, c.a[1])?;
    }
    Ok(0)
}

fn bus_rescan_devices(cx: &mut Cx, c: &Call) -> R {
    for dev in devices_on(cx, c.a[0]) {
        if core::is_added(cx, dev) && cx.r64(dev + cx.off.device_driver)? == 0 {
            attach_any(cx, dev, c.a[0])?;
        }
    }
    Ok(0)
}

fn deferred_state(_: &mut Cx, _: &Call) -> R {
    Ok(neg(ENODEV))
}
