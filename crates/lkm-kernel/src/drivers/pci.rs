//! The PCI bus (drivers/pci/pci-driver.c): drivers, and the functions that a rehearsal with probes makes for them. On
//! the lab's machine the bus is empty otherwise.

use super::resource::{IORESOURCE_MEM, SIZE};
use super::{bus, core, fake, foreign, kobject};
use crate::abi::{Call, R, errno::*, neg};
use crate::layout::NONE;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, util};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("__pci_register_driver", register_driver)
        .acquires("driver", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("pci_unregister_driver", unregister_driver)
        .releases("driver", Key::Arg(0))
        .sleeps(),
    behaves("pci_match_id", pci_match_id),
    behaves("pci_dev_get", pci_dev_get),
    behaves("pci_dev_put", pci_dev_put),
    behaves("__lkm_pci_match", pci_bus_match),
    behaves("__lkm_pci_probe", pci_device_probe),
    behaves("__lkm_pci_remove", pci_device_remove),
];

/// PCI_ANY_ID.
const ANY: u32 = u32::MAX;
/// Bytes of struct pci_device_id: vendor, device, subvendor, subdevice, class, class_mask, driver_data, override_only.
const ID_SIZE: u64 = 40;
/// Most entries of a table that are looked at.
const MAX_IDS: u64 = 65_536;
/// Bytes that hold any kernel's struct pci_dev and struct pci_bus.
const STRUCTURE: u64 = 4096;
/// Base address registers of a function.
pub(super) const BARS: u64 = 6;
/// Bytes behind each: enough for the registers of most.
const BAR_SIZE: u64 = 4 << 20;

/// What the lab knows of a function beside its struct pci_dev.
pub(super) struct Function {
    /// Its configuration space.
    pub config: Vec<u8>,
    /// pcim_enable_device was called: what it takes from now on goes with the driver.
    pub managed: bool,
    /// Which BARs are requested, a bit each.
    pub claimed: u32,
    /// Interrupt vectors: the first, how many; none when 0.
    pub vectors: (u64, u64),
    /// The pin's interrupt line.
    pub pin: u32,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    bus_type: u64,
    /// The struct pci_bus 0000:00.
    bus: u64,
    bridge: u64,
    pub(super) functions: BTreeMap<u64, Function>,
}

pub(super) fn bus_type(cx: &mut Cx) -> R<u64> {
    if cx.pci.bus_type == 0 {
        cx.pci.bus_type = bus::kernel_bus(
            cx,
            "pci",
            "__lkm_pci_match",
            "__lkm_pci_probe",
            "__lkm_pci_remove",
        )?;
    }
    Ok(cx.pci.bus_type)
}

/// The bus's variables.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    Ok(match name {
        "pci_bus_type" => Some(bus_type(cx)?),
        _ => None,
    })
}

/// Whether the types at hand describe PCI: a module's own debug information may not.
fn known(cx: &Cx) -> bool {
    cx.off.pci_drv_driver != NONE && cx.off.pci_dev_dev != NONE
}

fn register_driver(cx: &mut Cx, c: &Call) -> R {
    if !known(cx) {
        return foreign::register_first(cx, c);
    }
    let off = cx.off;
    let [drv, owner, ..] = c.a;
    let driver = drv + off.pci_drv_driver;
    let bus = bus_type(cx)?;
    let name = cx.r64(drv + off.pci_drv_name)?;
    cx.w64(driver + off.driver_name, name)?;
    cx.w64(driver + off.driver_bus, bus)?;
    cx.w64(driver + off.driver_owner, owner)?;
    for (from, to) in [
        (off.pci_drv_groups, off.driver_groups),
        (off.pci_drv_dev_groups, off.driver_dev_groups),
    ] {
        if from != NONE {
            let groups = cx.r64(drv + from)?;
            cx.w64(driver + to, groups)?;
        }
    }
    if cx.options.probe {
        appear(cx, drv)?;
    }
    Ok(bus::register(cx, driver)? as i64 as u64)
}

fn unregister_driver(cx: &mut Cx, c: &Call) -> R {
    if known(cx) {
        bus::unregister(cx, c.a[0] + cx.off.pci_drv_driver)?;
    } else {
        foreign::forget(cx, c.a[0]);
    }
    Ok(0)
}

/// An entry of a table of struct pci_device_id: vendor, device, subvendor, subdevice, class, class_mask.
fn entry(cx: &Cx, at: u64) -> R<[u32; 6]> {
    let mut words = [0; 6];
    for (index, word) in words.iter_mut().enumerate() {
        *word = cx.r32(at + 4 * index as u64)?;
    }
    Ok(words)
}

/// The entries of a table that do not only serve driver_override, with their addresses.
fn entries(cx: &Cx, table: u64, take: impl Fn(&[u32; 6]) -> bool) -> R<Option<(u64, [u32; 6])>> {
    if table == 0 {
        return Ok(None);
    }
    for index in 0..MAX_IDS {
        let at = table + index * ID_SIZE;
        let words = entry(cx, at)?;
        let [vendor, _, subvendor, _, _, class_mask] = words;
        if vendor == 0 && subvendor == 0 && class_mask == 0 {
            break;
        }
        if cx.r32(at + 32)? == 0 && take(&words) {
            return Ok(Some((at, words)));
        }
    }
    Ok(None)
}

/// What identifies a function: vendor, device, subsystem vendor and device, class.
fn identity(cx: &Cx, pdev: u64) -> R<[u32; 5]> {
    let off = cx.off;
    Ok([
        u32::from(cx.r16(pdev + off.pci_dev_vendor)?),
        u32::from(cx.r16(pdev + off.pci_dev_device)?),
        u32::from(cx.r16(pdev + off.pci_dev_subvendor)?),
        u32::from(cx.r16(pdev + off.pci_dev_subdevice)?),
        cx.r32(pdev + off.pci_dev_class)?,
    ])
}

/// pci_match_one_device.
fn fits(words: &[u32; 6], is: &[u32; 5]) -> bool {
    words[..4]
        .iter()
        .zip(is)
        .all(|(&wanted, &have)| wanted == ANY || wanted == have)
        && (words[4] ^ is[4]) & words[5] == 0
}

/// The entry of a table that a function fits; 0 for none.
fn matching(cx: &Cx, table: u64, pdev: u64) -> R<u64> {
    let is = identity(cx, pdev)?;
    Ok(entries(cx, table, |words| fits(words, &is))?.map_or(0, |(at, _)| at))
}

fn pci_match_id(cx: &mut Cx, c: &Call) -> R {
    if !known(cx) {
        return Ok(0);
    }
    matching(cx, c.a[0], c.a[1])
}

/// The function that the driver's table names first, unless one is there that it takes.
fn appear(cx: &mut Cx, drv: u64) -> R<()> {
    let table = cx.r64(drv + cx.off.pci_drv_id_table)?;
    let present: Vec<u64> = cx.pci.functions.keys().copied().collect();
    for pdev in present {
        if matching(cx, table, pdev)? != 0 {
            return Ok(());
        }
    }
    let Some((_, words)) = entries(cx, table, |_| true)? else {
        return Ok(());
    };
    let some = |word: u32, other: u32| if word == ANY { other } else { word };
    let is = [
        some(words[0], 0x1af4),
        some(words[1], 0x10f0),
        some(words[2], 0x1af4),
        some(words[3], 0x1100),
        words[4] & words[5] & 0xff_ffff,
    ];
    let pdev = make(cx, is)?;
    fake::made(cx, pdev + cx.off.pci_dev_dev);
    core::add(cx, pdev + cx.off.pci_dev_dev)?;
    Ok(())
}

/// The bus 0000:00 and the bridge above it.
fn host(cx: &mut Cx) -> R<(u64, u64)> {
    if cx.pci.bus == 0 {
        let bus = crate::data::alloc(cx, STRUCTURE, 64)?;
        // struct pci_sysdata: domain 0, on node 0.
        let sysdata = crate::data::alloc(cx, 64, 8)?;
        if cx.off.pci_bus_sysdata != NONE {
            cx.w64(bus + cx.off.pci_bus_sysdata, sysdata)?;
        }
        let bridge = crate::data::alloc(cx, cx.off.device_size, 64)?;
        core::initialize(cx, bridge)?;
        let release = crate::symbols::address(cx, "__lkm_no_device_release");
        cx.w64(bridge + cx.off.device_release, release)?;
        kobject::set_name(cx, bridge + cx.off.device_kobj, b"pci0000:00")?;
        core::add(cx, bridge)?;
        (cx.pci.bus, cx.pci.bridge) = (bus, bridge);
    }
    Ok((cx.pci.bus, cx.pci.bridge))
}

/// A function with memory behind each BAR: ports are a thing of the past.
fn make(cx: &mut Cx, is: [u32; 5]) -> R<u64> {
    let off = cx.off;
    let (bus, bridge) = host(cx)?;
    let bus_type = bus_type(cx)?;
    // Slots of the first bus behind those that a PC has itself.
    let slot = 0x10 + cx.pci.functions.len() as u32 % 0x10;
    let number = cx.pci.functions.len() as u32 / 0x10 % 8;
    let pdev = mm::kernel_object(cx, STRUCTURE)?;
    let dev = pdev + off.pci_dev_dev;
    core::initialize(cx, dev)?;
    let release = crate::symbols::address(cx, "__lkm_no_device_release");
    cx.w64(dev + off.device_release, release)?;
    cx.w64(dev + off.device_parent, bridge)?;
    cx.w64(dev + off.device_bus, bus_type)?;
    let name = format!("0000:00:{slot:02x}.{number}");
    kobject::set_name(cx, dev + off.device_kobj, name.as_bytes())?;
    cx.w64(pdev + off.pci_dev_bus, bus)?;
    cx.w32(pdev + off.pci_dev_devfn, slot << 3 | number)?;
    for (at, value) in [
        (off.pci_dev_vendor, is[0]),
        (off.pci_dev_device, is[1]),
        (off.pci_dev_subvendor, is[2]),
        (off.pci_dev_subdevice, is[3]),
    ] {
        cx.w16(pdev + at, value as u16)?;
    }
    cx.w32(pdev + off.pci_dev_class, is[4])?;
    cx.w32(pdev + off.pci_dev_cfg_size, 256)?;
    // pci_channel_io_normal; PCI_UNKNOWN, until it is enabled.
    cx.w32(pdev + off.pci_dev_error_state, 1)?;
    cx.w32(pdev + off.pci_dev_current_state, 5)?;
    cx.w64(pdev + off.pci_dev_dma_mask, 0xffff_ffff)?;
    cx.w64(dev + off.device_dma_mask, pdev + off.pci_dev_dma_mask)?;
    cx.w64(dev + off.device_coherent_dma_mask, 0xffff_ffff)?;
    util::list_init(cx, pdev)?;
    let pin = fake::irq(cx) as u32;
    cx.w32(pdev + off.pci_dev_irq, pin)?;
    let mut config = vec![0; 256];
    config[..4].copy_from_slice(&(is[0] | is[1] << 16).to_le_bytes());
    config[8..12].copy_from_slice(&(is[4] << 8).to_le_bytes());
    config[0x2c..0x30].copy_from_slice(&(is[2] | is[3] << 16).to_le_bytes());
    (config[0x3c], config[0x3d]) = (pin as u8, 1);
    for bar in 0..BARS {
        let start = fake::memory(cx, BAR_SIZE);
        let at = pdev + off.pci_dev_resource + bar * SIZE;
        fake::describe(cx, at, start, BAR_SIZE, IORESOURCE_MEM)?;
        let place = 0x10 + 4 * bar as usize;
        config[place..place + 4].copy_from_slice(&(start as u32).to_le_bytes());
    }
    cx.pci.functions.insert(
        pdev,
        Function {
            config,
            managed: false,
            claimed: 0,
            vectors: (0, 0),
            pin,
        },
    );
    Ok(pdev)
}

fn pci_dev_get(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && known(cx) {
        core::get(cx, c.a[0] + cx.off.pci_dev_dev)?;
    }
    Ok(c.a[0])
}

fn pci_dev_put(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && known(cx) {
        core::put(cx, c.a[0] + cx.off.pci_dev_dev)?;
    }
    Ok(0)
}

/// The struct pci_dev and struct pci_driver of a device and its driver on the bus.
fn pair(cx: &Cx, dev: u64, driver: u64) -> (u64, u64) {
    (dev - cx.off.pci_dev_dev, driver - cx.off.pci_drv_driver)
}

/// pci_bus_match.
fn pci_bus_match(cx: &mut Cx, c: &Call) -> R {
    let (pdev, drv) = pair(cx, c.a[0], c.a[1]);
    let table = cx.r64(drv + cx.off.pci_drv_id_table)?;
    Ok(u64::from(matching(cx, table, pdev)? != 0))
}

/// pci_device_probe and local_pci_probe.
fn pci_device_probe(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let driver = cx.r64(c.a[0] + off.device_driver)?;
    let (pdev, drv) = pair(cx, c.a[0], driver);
    let probe = cx.r64(drv + off.pci_drv_probe)?;
    if probe == 0 {
        return Ok(0);
    }
    let table = cx.r64(drv + off.pci_drv_id_table)?;
    let id = matching(cx, table, pdev)?;
    if id == 0 {
        return Ok(neg(ENODEV));
    }
    core::get(cx, c.a[0])?;
    cx.w64(pdev + off.pci_dev_driver, drv)?;
    let answer = cx.call_guest(probe, &[pdev, id]) as i32;
    if answer < 0 {
        cx.w64(pdev + off.pci_dev_driver, 0)?;
        core::put(cx, c.a[0])?;
        return Ok(answer as i64 as u64);
    }
    if answer > 0 {
        let text = format!("Driver probe function unexpectedly returned {answer}\n");
        core::log(cx, 4, c.a[0], &text)?;
    }
    Ok(0)
}

fn pci_device_remove(cx: &mut Cx, c: &Call) -> R {
    let off = cx.off;
    let pdev = c.a[0] - off.pci_dev_dev;
    let drv = cx.r64(pdev + off.pci_dev_driver)?;
    if drv != 0 {
        let remove = cx.r64(drv + off.pci_drv_remove)?;
        if remove != 0 {
            cx.call_guest(remove, &[pdev]);
        }
        cx.w64(pdev + off.pci_dev_driver, 0)?;
    }
    // PCI_UNKNOWN, where it was left in D0.
    if cx.r32(pdev + off.pci_dev_current_state)? == 0 {
        cx.w32(pdev + off.pci_dev_current_state, 5)?;
    }
    core::put(cx, c.a[0])?;
    Ok(0)
}
