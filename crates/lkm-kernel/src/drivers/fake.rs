//! The devices of a rehearsal with probes: a driver finds the one that its table names first, as if the hardware had
//! been there before it. What such a device answers is nothing much: zeros, until something is written.

use super::resource::{IORESOURCE_IO, IORESOURCE_MEM, SIZE};
use super::{bus, core, platform};
use crate::abi::R;
use crate::{Cx, mm, trace};
use lkm_trace::Event;

/// The state of this file.
#[derive(Default)]
pub struct State {
    /// The devices, in the order they were made.
    devices: Vec<u64>,
    next_memory: u64,
    next_port: u64,
    next_irq: u64,
}

/// Physical addresses of device memory, of which no other device of the lab has any.
const MEMORY: u64 = 0xe000_0000;
const PORTS: u64 = 0xc000;
/// Interrupt lines above those of the PC's own devices.
const IRQS: u64 = 40;
const LAST_IRQ: u64 = 255;
const IORESOURCE_IRQ: u64 = 0x400;

/// Remembers a device that was made here.
pub(super) fn made(cx: &mut Cx, dev: u64) {
    cx.fake.devices.push(dev);
}

/// The devices that were made here.
pub(super) fn devices(cx: &Cx) -> Vec<u64> {
    cx.fake.devices.clone()
}

/// Device memory that nothing else has: where it begins.
pub(super) fn memory(cx: &mut Cx, len: u64) -> u64 {
    let at = MEMORY + cx.fake.next_memory;
    cx.fake.next_memory += len;
    at
}

/// Ports that nothing else has.
pub(super) fn ports(cx: &mut Cx, len: u64) -> u64 {
    let at = PORTS + cx.fake.next_port;
    cx.fake.next_port = (cx.fake.next_port + len) % (0x1_0000 - PORTS);
    at
}

/// An interrupt line.
pub(super) fn irq(cx: &mut Cx) -> u64 {
    let at = IRQS + cx.fake.next_irq % (LAST_IRQ - IRQS);
    cx.fake.next_irq += 1;
    at
}

/// Fills in a struct resource.
pub(super) fn describe(cx: &mut Cx, at: u64, start: u64, len: u64, flags: u64) -> R<()> {
    cx.w64(at, start)?;
    cx.w64(at + 8, start + len - 1)?;
    Ok(cx.w64(at + 24, flags)?)
}

/// The name of a platform device that a driver takes: the first of its table, else its own.
fn platform_name(cx: &Cx, drv: u64) -> R<Vec<u8>> {
    let table = cx.r64(drv + cx.off.pdrv_id_table)?;
    if table != 0 && cx.r8(table)? != 0 {
        return Ok(cx.cstr(table, 20)?);
    }
    let name = cx.r64(drv + cx.off.pdrv_driver + cx.off.driver_name)?;
    Ok(cx.cstr(name, 256)?)
}

/// A platform device that the driver will match, with memory, ports and an interrupt.
pub(super) fn platform(cx: &mut Cx, drv: u64) -> R<()> {
    let off = cx.off;
    let name = platform_name(cx, drv)?;
    for dev in devices(cx) {
        let bus = cx.r64(dev + off.device_bus)?;
        if bus == platform::bus_type(cx)? {
            let at = cx.r64(dev - off.pdev_dev + off.pdev_name)?;
            if cx.cstr(at, 256)? == name {
                return Ok(());
            }
        }
    }
    const LEN: u64 = 0x1_0000;
    const PORT_LEN: u64 = 0x40;
    let (start, port, line) = (memory(cx, LEN), ports(cx, PORT_LEN), irq(cx));
    let resources = mm::kalloc(cx, 3 * SIZE)?;
    describe(cx, resources, start, LEN, IORESOURCE_MEM)?;
    describe(cx, resources + SIZE, port, PORT_LEN, IORESOURCE_IO)?;
    describe(cx, resources + 2 * SIZE, line, 1, IORESOURCE_IRQ)?;
    // PLATFORM_DEVID_AUTO: a name that the module's own devices do not have.
    let pdev = platform::alloc(cx, &name, -2i32 as u32)?;
    platform::set_resources(cx, pdev, resources, 3)?;
    mm::kfree(cx, resources);
    made(cx, pdev + off.pdev_dev);
    platform::add(cx, pdev)?;
    Ok(())
}

/// Whether the lab made the device.
pub(super) fn is(cx: &Cx, dev: u64) -> bool {
    cx.fake.devices.contains(&dev)
}

/// Records what a driver's probe answered for a device of ours.
pub(super) fn probed(cx: &mut Cx, dev: u64, driver: u64, answer: i32) -> R<()> {
    if !is(cx, dev) {
        return Ok(());
    }
    let device = core::name(cx, dev)?;
    let name = cx.r64(driver + cx.off.driver_name)?;
    let driver = cx.text(name)?;
    trace::emit(
        cx,
        Event::Probed {
            driver,
            device,
            answer: answer.into(),
        },
    );
    Ok(())
}

/// Records that no driver came that a device could be made for.
pub(crate) fn none_made(cx: &mut Cx) {
    if cx.fake.devices.is_empty() {
        let (driver, device) = (String::new(), String::new());
        trace::emit(
            cx,
            Event::Probed {
                driver,
                device,
                answer: 0,
            },
        );
    }
}

/// Takes each device from its driver and gives it back, as writing to unbind and bind in sysfs does.
pub(crate) fn rebind(cx: &mut Cx) -> R<()> {
    for dev in devices(cx) {
        if cx.r64(dev + cx.off.device_driver)? != 0 {
            bus::release_driver(cx, dev)?;
            let bus = cx.r64(dev + cx.off.device_bus)?;
            bus::attach_any(cx, dev, bus)?;
        }
    }
    Ok(())
}
