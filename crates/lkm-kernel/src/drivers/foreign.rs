//! Drivers of buses that are not modelled (spi, i2c, pci, …): recorded, and known to driver_unregister, which some
//! of their headers call on the struct device_driver inside; block device majors; firmware that is not there.

use crate::abi::{Call, R, errno::*, neg};
use crate::module::refs;
use crate::table::{Fails, Row, behaves};
use crate::{Cx, printk, sched, trace, workqueue};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ROWS: &[Row] = &[
    behaves("__register_blkdev", register_blkdev)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("unregister_blkdev", unregister_blkdev).sleeps(),
    behaves("request_firmware", request_firmware).sleeps(),
    behaves("request_firmware_direct", request_firmware_direct).sleeps(),
    behaves("firmware_request_nowarn", request_firmware_direct).sleeps(),
    behaves("request_firmware_nowait", request_firmware_nowait)
        .fails(Fails::Errno(ENOMEM))
        .sleeps_gfp(4),
    behaves("release_firmware", release_firmware),
];

/// Most bytes from the start of a bus's driver structure to the device_driver inside.
const INSIDE: u64 = 512;

/// The state of this file.
#[derive(Default)]
pub struct State {
    drivers: BTreeSet<u64>,
    majors: BTreeMap<u32, String>,
}

fn register(cx: &mut Cx, driver: u64) -> R {
    // The structure is read and linked by the real function: a bad pointer faults here as well.
    cx.r64(driver)?;
    cx.foreign.drivers.insert(driver);
    Ok(0)
}

/// Registers a driver that is the first argument.
pub(crate) fn register_first(cx: &mut Cx, c: &Call) -> R {
    register(cx, c.a[0])
}

/// Registers a driver that is the second argument.
pub(crate) fn register_second(cx: &mut Cx, c: &Call) -> R {
    register(cx, c.a[1])
}

/// A driver that was registered so has gone.
pub(super) fn forget(cx: &mut Cx, driver: u64) {
    cx.foreign.drivers.remove(&driver);
}

/// driver_unregister of a struct device_driver inside a registered structure; whether it was one.
pub(super) fn unregister_inside(cx: &mut Cx, driver: u64) -> bool {
    let found = cx
        .foreign
        .drivers
        .range(driver.saturating_sub(INSIDE)..=driver)
        .next_back()
        .copied();
    if let Some(outer) = found {
        cx.foreign.drivers.remove(&outer);
        trace::released(cx, "driver", outer);
    }
    found.is_some()
}

const MAJOR: &str = "block device major";

fn register_blkdev(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    let wanted = c.a[0] as u32;
    if wanted >= 512 {
        let text = format!(
            "__register_blkdev: major requested ({wanted}) exceeds the maximum (511) for {name}\n"
        );
        printk::log(cx, 3, &text);
        return Ok(neg(EINVAL));
    }
    // 254 down to 1; 8, 11 and 259 are the stock kernel's own.
    let major = if wanted == 0 {
        match (1..=254)
            .rev()
            .find(|m| !cx.foreign.majors.contains_key(m) && !matches!(m, 8 | 11 | 253 | 254))
        {
            Some(major) => major,
            None => {
                printk::log(
                    cx,
                    3,
                    &format!("__register_blkdev: failed to get major for {name}\n"),
                );
                return Ok(neg(EBUSY));
            }
        }
    } else {
        wanted
    };
    if cx.foreign.majors.contains_key(&major) {
        let text = format!("__register_blkdev: cannot get major {major} for {name}\n");
        printk::log(cx, 4, &text);
        return Ok(neg(EBUSY));
    }
    trace::acquired(cx, MAJOR, u64::from(major), &name);
    cx.foreign.majors.insert(major, name);
    Ok(if wanted == 0 { u64::from(major) } else { 0 })
}

fn unregister_blkdev(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    let major = c.a[0] as u32;
    if cx.foreign.majors.get(&major) == Some(&name) {
        cx.foreign.majors.remove(&major);
        trace::released(cx, MAJOR, u64::from(major));
    } else {
        crate::traps::warn(cx, "", "unregister_blkdev")?;
    }
    Ok(0)
}

/// No file system with firmware is mounted: the answer of a machine without the file.
fn request_firmware(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    cx.w64(c.a[0], 0)?;
    if name.is_empty() {
        return Ok(neg(EINVAL));
    }
    let text = format!("Direct firmware load for {name} failed with error -2\n");
    super::core::log(cx, 4, c.a[2], &text)?;
    Ok(neg(ENOENT))
}

fn request_firmware_direct(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    cx.w64(c.a[0], 0)?;
    Ok(neg(if name.is_empty() { EINVAL } else { ENOENT }))
}

/// `request_firmware_nowait(module, uevent, name, device, gfp, context, function)`: a worker finds that there is
/// no such file and says so; the module stays pinned until then.
fn request_firmware_nowait(cx: &mut Cx, c: &Call) -> R {
    let [module, _, name, device, _, context] = c.a;
    let function = c.arg(cx, 6)?;
    let name = cx.text(name)?;
    if !refs::try_get(cx, module, "firmware", context, "")? {
        return Ok(neg(EFAULT));
    }
    workqueue::spawn(
        cx,
        Box::new(move |cx: &mut Cx| {
            sched::entered(cx, "request_firmware_work_func");
            let text = format!("Direct firmware load for {name} failed with error -2\n");
            super::core::log(cx, 4, device, &text)?;
            cx.call_guest(function, &[0, context]);
            refs::put_key(cx, module, "firmware", context)?;
            sched::left(cx);
            Ok(0)
        }),
    )?;
    Ok(0)
}

fn release_firmware(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        cx.r64(c.a[0])?;
    }
    Ok(0)
}
