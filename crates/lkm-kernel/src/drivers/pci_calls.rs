//! What a PCI driver asks of its device (drivers/pci/pci.c, access.c, msi.c, devres.c): enable, regions, mappings,
//! configuration space, interrupt vectors.

use super::pci::{BARS, Function};
use super::resource::{self, IORESOURCE_IO, SIZE};
use super::{core, devres, fake};
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("pci_enable_device", enable_device)
        .fails(Fails::Errno(EINVAL))
        .sleeps(),
    behaves("pci_enable_device_mem", enable_device)
        .fails(Fails::Errno(EINVAL))
        .sleeps(),
    behaves("pci_enable_device_io", enable_device)
        .fails(Fails::Errno(EINVAL))
        .sleeps(),
    behaves("pcim_enable_device", pcim_enable_device)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("pci_disable_device", disable_device).sleeps(),
    behaves("pci_set_master", set_master),
    behaves("pci_clear_master", clear_master),
    behaves("pci_request_regions", request_regions)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("pci_request_regions_exclusive", request_regions)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("pci_request_selected_regions", request_selected)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("pci_request_region", request_region)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("pci_release_regions", release_regions).sleeps(),
    behaves("pci_release_selected_regions", release_selected).sleeps(),
    behaves("pci_release_region", release_region).sleeps(),
    behaves("pci_iomap", iomap)
        .acquires("ioremap", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("pci_ioremap_bar", iomap)
        .acquires("ioremap", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("pci_iounmap", iounmap).sleeps(),
    behaves("pcim_iomap", pcim_iomap)
        .fails(Fails::Null)
        .sleeps(),
    behaves("pcim_iomap_regions", pcim_iomap_regions)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("pcim_iomap_table", pcim_iomap_table).sleeps(),
    behaves("pci_read_config_byte", read_byte),
    behaves("pci_read_config_word", read_word),
    behaves("pci_read_config_dword", read_dword),
    behaves("pci_write_config_byte", write_byte),
    behaves("pci_write_config_word", write_word),
    behaves("pci_write_config_dword", write_dword),
    behaves("pcie_capability_read_word", no_capability_word),
    behaves("pcie_capability_read_dword", no_capability_dword),
    behaves("pci_find_capability", no_capability),
    behaves("pci_find_ext_capability", no_capability),
    behaves("pci_select_bars", select_bars),
    behaves("pci_set_power_state", set_power_state).sleeps(),
    behaves("pci_save_state", nothing),
    behaves("pci_restore_state", nothing),
    behaves("pci_wake_from_d3", nothing),
    behaves("pci_enable_wake", nothing),
    behaves("pci_set_mwi", nothing),
    behaves("pci_try_set_mwi", nothing),
    behaves("pci_clear_mwi", nothing),
    behaves("pci_disable_link_state", nothing),
    behaves("pci_intx", nothing),
    behaves("pci_alloc_irq_vectors_affinity", alloc_vectors).sleeps(),
    behaves("pci_free_irq_vectors", free_vectors).sleeps(),
    behaves("pci_irq_vector", irq_vector),
    behaves("pci_enable_msi", enable_msi)
        .fails(Fails::Errno(ENOSPC))
        .sleeps(),
    behaves("pci_disable_msi", free_vectors).sleeps(),
    behaves("pci_disable_msix", free_vectors).sleeps(),
];

/// Interrupt vectors that a function of the lab has for messages.
const VECTORS: u64 = 4;
const IRQ_LEGACY: u32 = 1;
const IRQ_MESSAGE: u32 = 2 | 4;
/// PCI_COMMAND and its bits for ports, memory and mastering.
const COMMAND: usize = 4;
const DECODES: u8 = 3;
const MASTER: u8 = 4;
/// PCIBIOS_DEVICE_NOT_FOUND.
const NOT_FOUND: u64 = 0x86;
/// PCIBIOS_BAD_REGISTER_NUMBER.
const BAD_REGISTER: u64 = 0x87;

/// What the lab knows of a function; None for a struct pci_dev that a module has made up itself.
fn function(cx: &mut Cx, pdev: u64) -> Option<&mut Function> {
    cx.pci.functions.get_mut(&pdev)
}

fn dev_of(cx: &Cx, pdev: u64) -> u64 {
    pdev + cx.off.pci_dev_dev
}

fn enable(cx: &mut Cx, pdev: u64) -> R<i32> {
    let at = pdev + cx.off.pci_dev_enable_cnt;
    let count = cx.r32(at)?;
    cx.w32(at, count.wrapping_add(1))?;
    if count == 0 {
        cx.w32(pdev + cx.off.pci_dev_current_state, 0)?;
        if let Some(function) = function(cx, pdev) {
            function.config[COMMAND] |= DECODES;
        }
    }
    Ok(0)
}

fn enable_device(cx: &mut Cx, c: &Call) -> R {
    if function(cx, c.a[0]).is_none() {
        return Ok(neg(ENODEV));
    }
    Ok(enable(cx, c.a[0])? as i64 as u64)
}

fn disable(cx: &mut Cx, pdev: u64) -> R<()> {
    let at = pdev + cx.off.pci_dev_enable_cnt;
    let count = cx.r32(at)?;
    if count as i32 <= 0 {
        let dev = dev_of(cx, pdev);
        let text = format!(
            "{}disabling already-disabled device\n",
            core::log_prefix(cx, dev)?
        );
        crate::traps::warn(cx, &text, "pci_disable_device")?;
        return Ok(());
    }
    cx.w32(at, count - 1)?;
    if count == 1
        && let Some(function) = function(cx, pdev)
    {
        function.config[COMMAND] &= !MASTER;
    }
    Ok(())
}

fn disable_device(cx: &mut Cx, c: &Call) -> R {
    disable(cx, c.a[0])?;
    Ok(0)
}

/// pcim_release: what a managed device still has when its driver leaves.
fn pcim_release(cx: &mut Cx, _: u64, pdev: u64) -> R<()> {
    let had = function(cx, pdev).map_or(0, |f| {
        f.managed = false;
        f.claimed
    });
    give_back_vectors(cx, pdev)?;
    for bar in 0..BARS {
        if had & 1 << bar != 0 {
            unclaim(cx, pdev, bar)?;
        }
    }
    if cx.r32(pdev + cx.off.pci_dev_enable_cnt)? as i32 > 0 {
        disable(cx, pdev)?;
    }
    Ok(())
}

fn pcim_enable_device(cx: &mut Cx, c: &Call) -> R {
    let pdev = c.a[0];
    let Some(function) = function(cx, pdev) else {
        return Ok(neg(ENODEV));
    };
    if !std::mem::replace(&mut function.managed, true) {
        enable(cx, pdev)?;
        let dev = dev_of(cx, pdev);
        devres::add(cx, dev, devres::Release::Kernel(pcim_release), pdev);
    }
    Ok(0)
}

fn set_master(cx: &mut Cx, c: &Call) -> R {
    if let Some(function) = function(cx, c.a[0]) {
        function.config[COMMAND] |= MASTER;
    }
    Ok(0)
}

fn clear_master(cx: &mut Cx, c: &Call) -> R {
    if let Some(function) = function(cx, c.a[0]) {
        function.config[COMMAND] &= !MASTER;
    }
    Ok(0)
}

/// A BAR: whether it has ports, where it begins, how long it is (0: it is not there).
fn bar(cx: &Cx, pdev: u64, bar: u64) -> R<(bool, u64, u64)> {
    if bar >= BARS {
        return Ok((false, 0, 0));
    }
    let at = pdev + cx.off.pci_dev_resource + bar * SIZE;
    let (start, end, flags) = (cx.r64(at)?, cx.r64(at + 8)?, cx.r64(at + 24)?);
    let len = if end == 0 {
        0
    } else {
        end.wrapping_sub(start).wrapping_add(1)
    };
    Ok((flags & 0x1f00 == IORESOURCE_IO, start, len))
}

fn unclaim(cx: &mut Cx, pdev: u64, index: u64) -> R<()> {
    let (io, start, len) = bar(cx, pdev, index)?;
    if len != 0 {
        if let Some(function) = function(cx, pdev) {
            function.claimed &= !(1 << index);
        }
        resource::unclaim(cx, io, start, len)?;
    }
    Ok(())
}

/// Requests the BARs of a mask; those it has taken are given back when one is not free.
fn claim(cx: &mut Cx, pdev: u64, mask: u64, label: u64) -> R {
    for index in 0..BARS {
        if mask & 1 << index == 0 {
            continue;
        }
        let (io, start, len) = bar(cx, pdev, index)?;
        if len == 0 {
            continue;
        }
        if !resource::claim(cx, io, start, len, label)? {
            let dev = dev_of(cx, pdev);
            let (kind, end) = (if io { "io " } else { "mem" }, start + len - 1);
            let text = format!("BAR {index}: can't reserve [{kind} {start:#06x}-{end:#06x}]\n");
            core::log(cx, 4, dev, &text)?;
            for index in (0..index).filter(|i| mask & 1 << i != 0) {
                unclaim(cx, pdev, index)?;
            }
            return Ok(neg(EBUSY));
        }
        if let Some(function) = function(cx, pdev) {
            function.claimed |= 1 << index;
        }
    }
    Ok(0)
}

const ALL: u64 = (1 << BARS) - 1;

fn request_regions(cx: &mut Cx, c: &Call) -> R {
    claim(cx, c.a[0], ALL, c.a[1])
}

fn request_selected(cx: &mut Cx, c: &Call) -> R {
    claim(cx, c.a[0], c.a[1], c.a[2])
}

fn request_region(cx: &mut Cx, c: &Call) -> R {
    claim(cx, c.a[0], 1 << (c.a[1] & 0x3f), c.a[2])
}

fn release_mask(cx: &mut Cx, pdev: u64, mask: u64) -> R {
    for index in (0..BARS).filter(|i| mask & 1 << i != 0) {
        unclaim(cx, pdev, index)?;
    }
    Ok(0)
}

fn release_regions(cx: &mut Cx, c: &Call) -> R {
    release_mask(cx, c.a[0], ALL)
}

fn release_selected(cx: &mut Cx, c: &Call) -> R {
    release_mask(cx, c.a[0], c.a[1])
}

fn release_region(cx: &mut Cx, c: &Call) -> R {
    release_mask(cx, c.a[0], 1 << (c.a[1] & 0x3f))
}

/// The memory behind a BAR, or the cookie of its ports.
fn map(cx: &mut Cx, pdev: u64, index: u64) -> R<u64> {
    let (io, start, len) = bar(cx, pdev, index)?;
    match (len, io) {
        (0, _) => Ok(0),
        // ioport_map's: what ioread tells apart from memory.
        (_, true) => Ok(0x10000 + start),
        _ => resource::remapped(cx, start, len),
    }
}

fn iomap(cx: &mut Cx, c: &Call) -> R {
    map(cx, c.a[0], u64::from(c.a[1] as u32))
}

fn iounmap(cx: &mut Cx, c: &Call) -> R {
    let addr = c.a[1];
    if addr < 0x2_0000 {
        trace::released(cx, "ioremap", addr);
        return Ok(0);
    }
    let iounmap = Call::internal([addr, 0, 0, 0, 0, 0]);
    resource::iounmap(cx, &iounmap)
}

fn unmap_managed(cx: &mut Cx, dev: u64, addr: u64) -> R<()> {
    if addr >= 0x2_0000 {
        resource::drop_remap(cx, dev, addr)?;
    }
    Ok(())
}

/// The table of a device's managed mappings, made at the first use.
fn table(cx: &mut Cx, pdev: u64) -> R<u64> {
    let dev = dev_of(cx, pdev);
    let tables = devres::data_of(cx, dev, devres::Release::Kernel(drop_table));
    if let Some(&at) = tables.first() {
        return Ok(at);
    }
    let at = mm::kalloc(cx, 8 * BARS)?;
    devres::add(cx, dev, devres::Release::Kernel(drop_table), at);
    Ok(at)
}

fn drop_table(cx: &mut Cx, dev: u64, at: u64) -> R<()> {
    for index in 0..BARS {
        let addr = cx.r64(at + 8 * index)?;
        if addr != 0 {
            unmap_managed(cx, dev, addr)?;
        }
    }
    mm::kfree(cx, at);
    Ok(())
}

fn map_managed(cx: &mut Cx, pdev: u64, index: u64) -> R<u64> {
    let at = table(cx, pdev)?;
    if index >= BARS || cx.r64(at + 8 * index)? != 0 {
        return Ok(0);
    }
    let addr = map(cx, pdev, index)?;
    cx.w64(at + 8 * index, addr)?;
    Ok(addr)
}

fn pcim_iomap(cx: &mut Cx, c: &Call) -> R {
    map_managed(cx, c.a[0], u64::from(c.a[1] as u32))
}

/// pcim_iomap_regions(pdev, mask, name): requested and mapped, all or none.
fn pcim_iomap_regions(cx: &mut Cx, c: &Call) -> R {
    let [pdev, mask, label, ..] = c.a;
    for index in (0..BARS).filter(|i| mask & 1 << i != 0) {
        let (_, _, len) = bar(cx, pdev, index)?;
        if len == 0 {
            return Ok(neg(EINVAL));
        }
        let error = claim(cx, pdev, 1 << index, label)?;
        if error != 0 {
            return Ok(error);
        }
        if map_managed(cx, pdev, index)? == 0 {
            return Ok(neg(ENOMEM));
        }
    }
    Ok(0)
}

fn pcim_iomap_table(cx: &mut Cx, c: &Call) -> R {
    table(cx, c.a[0])
}

/// Reads from configuration space; where there is none, all ones.
fn read(cx: &mut Cx, c: &Call, width: usize) -> R {
    let [pdev, place, to, ..] = c.a;
    let place = u64::from(place as u32) as usize;
    if !place.is_multiple_of(width) {
        return Ok(BAD_REGISTER);
    }
    let bytes = function(cx, pdev).and_then(|f| f.config.get(place..place + width));
    let found = bytes.is_some();
    let bytes = bytes.map_or(vec![0xff; width], <[u8]>::to_vec);
    cx.write(to, &bytes)?;
    Ok(if found { 0 } else { NOT_FOUND })
}

fn read_byte(cx: &mut Cx, c: &Call) -> R {
    read(cx, c, 1)
}

fn read_word(cx: &mut Cx, c: &Call) -> R {
    read(cx, c, 2)
}

fn read_dword(cx: &mut Cx, c: &Call) -> R {
    read(cx, c, 4)
}

/// The identity, the class and the header type cannot be written.
fn read_only(place: usize) -> bool {
    place < 4 || (8..16).contains(&place) || (0x2c..0x30).contains(&place)
}

fn write(cx: &mut Cx, c: &Call, width: usize) -> R {
    let [pdev, place, value, ..] = c.a;
    let place = u64::from(place as u32) as usize;
    if !place.is_multiple_of(width) {
        return Ok(BAD_REGISTER);
    }
    if let Some(function) = function(cx, pdev)
        && let Some(bytes) = function.config.get_mut(place..place + width)
        && !read_only(place)
    {
        bytes.copy_from_slice(&value.to_le_bytes()[..width]);
    }
    Ok(0)
}

fn write_byte(cx: &mut Cx, c: &Call) -> R {
    write(cx, c, 1)
}

fn write_word(cx: &mut Cx, c: &Call) -> R {
    write(cx, c, 2)
}

fn write_dword(cx: &mut Cx, c: &Call) -> R {
    write(cx, c, 4)
}

/// No PCI Express: the registers read as 0.
fn no_capability_word(cx: &mut Cx, c: &Call) -> R {
    cx.w16(c.a[2], 0)?;
    Ok(0)
}

fn no_capability_dword(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[2], 0)?;
    Ok(0)
}

/// pci_select_bars(pdev, flags): the BARs of that type, a bit each.
fn select_bars(cx: &mut Cx, c: &Call) -> R {
    let mut mask = 0;
    for index in 0..BARS {
        let at = c.a[0] + cx.off.pci_dev_resource + index * SIZE;
        if cx.r64(at + 24)? & c.a[1] != 0 {
            mask |= 1 << index;
        }
    }
    Ok(mask)
}

/// A function without the capability stays in D0, and goes on.
fn set_power_state(cx: &mut Cx, c: &Call) -> R {
    if c.a[1] == 0 {
        cx.w32(c.a[0] + cx.off.pci_dev_current_state, 0)?;
    }
    Ok(0)
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn no_capability(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// Gives the function `count` vectors for messages.
fn take_vectors(cx: &mut Cx, pdev: u64, count: u64) -> R<()> {
    let first = fake::irq(cx);
    for _ in 1..count {
        fake::irq(cx);
    }
    if let Some(function) = function(cx, pdev) {
        function.vectors = (first, count);
    }
    trace::acquired(cx, "irq vectors", pdev, &format!("{count}"));
    Ok(())
}

fn give_back_vectors(cx: &mut Cx, pdev: u64) -> R<()> {
    let Some(function) = function(cx, pdev) else {
        return Ok(());
    };
    if std::mem::take(&mut function.vectors).1 != 0 {
        let pin = function.pin;
        cx.w32(pdev + cx.off.pci_dev_irq, pin)?;
        trace::released(cx, "irq vectors", pdev);
    }
    Ok(())
}

/// pci_alloc_irq_vectors_affinity(pdev, min, max, flags, affinity): how many it got.
fn alloc_vectors(cx: &mut Cx, c: &Call) -> R {
    let [pdev, min, max, flags, ..] = c.a;
    let (min, max) = (u64::from(min as u32), u64::from(max as u32));
    let Some(function) = function(cx, pdev) else {
        return Ok(neg(ENODEV));
    };
    if function.vectors.1 != 0 || min > max {
        return Ok(neg(EINVAL));
    }
    if flags as u32 & IRQ_MESSAGE != 0 && min <= VECTORS {
        let count = max.min(VECTORS);
        take_vectors(cx, pdev, count)?;
        return Ok(count);
    }
    // The pin's line is there without being taken.
    if flags as u32 & IRQ_LEGACY != 0 && min == 1 {
        return Ok(1);
    }
    Ok(neg(ENOSPC))
}

fn free_vectors(cx: &mut Cx, c: &Call) -> R {
    give_back_vectors(cx, c.a[0])?;
    Ok(0)
}

fn irq_vector(cx: &mut Cx, c: &Call) -> R {
    let index = u64::from(c.a[1] as u32);
    let Some(function) = function(cx, c.a[0]) else {
        return Ok(neg(EINVAL));
    };
    Ok(match function.vectors {
        (_, 0) if index == 0 => u64::from(function.pin),
        (first, count) if index < count => first + index,
        _ => neg(EINVAL),
    })
}

/// pci_enable_msi: one message, whose line the device's irq is from now on.
fn enable_msi(cx: &mut Cx, c: &Call) -> R {
    let pdev = c.a[0];
    if function(cx, pdev).is_none_or(|f| f.vectors.1 != 0) {
        return Ok(neg(EINVAL));
    }
    take_vectors(cx, pdev, 1)?;
    let first = function(cx, pdev).map_or(0, |f| f.vectors.0);
    cx.w32(pdev + cx.off.pci_dev_irq, first as u32)?;
    Ok(0)
}
