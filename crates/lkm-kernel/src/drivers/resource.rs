//! Ranges of ports and bus memory (kernel/resource.c), and ioremap (arch/x86/mm/ioremap.c). A requested range
//! must not overlap another that is busy; remapped memory is zeroed memory of the lab's own.

use super::devres;
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace};
use lkm_machine::map;

pub(crate) const ROWS: &[Row] = &[
    behaves("__request_region", request_region)
        .fails(Fails::Null)
        .sleeps(),
    behaves("__release_region", release_region).sleeps(),
    behaves("request_resource", request_resource)
        .acquires("region", Key::Arg(1), When::Zero)
        .fails(Fails::Errno(EBUSY)),
    behaves("insert_resource", insert_resource)
        .acquires("region", Key::Arg(1), When::Zero)
        .fails(Fails::Errno(EBUSY)),
    behaves("release_resource", release_resource).releases("region", Key::Arg(0)),
    behaves("remove_resource", release_resource).releases("region", Key::Arg(0)),
    behaves("__devm_request_region", devm_request_region)
        .fails(Fails::Null)
        .sleeps(),
    behaves("__devm_release_region", devm_release_region).sleeps(),
    remap("ioremap", ioremap),
    remap("ioremap_wc", ioremap),
    remap("ioremap_wt", ioremap),
    remap("ioremap_uc", ioremap),
    remap("ioremap_cache", ioremap),
    remap("ioremap_prot", ioremap),
    remap("ioremap_encrypted", ioremap),
    remap("memremap", ioremap),
    behaves("iounmap", iounmap).sleeps(),
    behaves("memunmap", iounmap).sleeps(),
    behaves("devm_ioremap", devm_ioremap)
        .fails(Fails::Null)
        .sleeps(),
    behaves("devm_ioremap_uc", devm_ioremap)
        .fails(Fails::Null)
        .sleeps(),
    behaves("devm_ioremap_wc", devm_ioremap)
        .fails(Fails::Null)
        .sleeps(),
    behaves("devm_memremap", devm_ioremap)
        .fails(Fails::Null)
        .sleeps(),
    behaves("devm_iounmap", devm_iounmap).sleeps(),
    behaves("devm_ioremap_resource", devm_ioremap_resource)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves(
        "devm_platform_ioremap_resource",
        devm_platform_ioremap_resource,
    )
    .fails(Fails::ErrPtr(ENOMEM))
    .sleeps(),
    behaves("ioport_map", ioport_map),
    behaves("ioport_unmap", ioport_unmap),
];

const fn remap(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires("ioremap", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps()
}

/// Bytes of struct resource.
pub const SIZE: u64 = 64;
pub(super) const IORESOURCE_IO: u64 = 0x100;
pub(super) const IORESOURCE_MEM: u64 = 0x200;
const IORESOURCE_BUSY: u64 = 0x8000_0000;
/// Most that may be remapped at once.
const MAX_REMAP: u64 = 64 << 20;

/// A range that is taken.
#[derive(Debug, Clone)]
struct Range {
    io: bool,
    start: u64,
    end: u64,
    busy: bool,
    name: String,
    /// Its struct resource in the guest.
    at: u64,
    /// The caller's, not made by __request_region.
    given: bool,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    ranges: Vec<Range>,
    ioport: u64,
    iomem: u64,
}

/// `ioport_resource` and `iomem_resource`.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    let (end, flags, label) = match name {
        "ioport_resource" => (0xffff, IORESOURCE_IO, "PCI IO\0"),
        "iomem_resource" => (u64::MAX, IORESOURCE_MEM, "PCI mem\0"),
        _ => return Ok(None),
    };
    let made = if flags == IORESOURCE_IO {
        cx.resources.ioport
    } else {
        cx.resources.iomem
    };
    if made != 0 {
        return Ok(Some(made));
    }
    let at = crate::data::alloc(cx, SIZE, 8)?;
    let text = crate::data::alloc(cx, 8, 8)?;
    cx.write(text, label.as_bytes())?;
    cx.w64(at + 8, end)?;
    cx.w64(at + 16, text)?;
    cx.w64(at + 24, flags)?;
    if flags == IORESOURCE_IO {
        cx.resources.ioport = at;
    } else {
        cx.resources.iomem = at;
    }
    Ok(Some(at))
}

fn overlapping(cx: &Cx, io: bool, start: u64, end: u64) -> Option<usize> {
    cx.resources
        .ranges
        .iter()
        .position(|r| r.io == io && r.busy && start <= r.end && r.start <= end)
}

/// What the PC itself uses of its ports.
fn platform_owns(io: bool, start: u64, end: u64) -> bool {
    const PORTS: &[(u64, u64)] = &[
        (0x00, 0x1f),
        (0x20, 0x21),
        (0x40, 0x43),
        (0x50, 0x53),
        (0x60, 0x60),
        (0x64, 0x64),
        (0x70, 0x71),
        (0x80, 0x8f),
        (0xa0, 0xa1),
        (0xc0, 0xdf),
        (0xf0, 0xff),
    ];
    io && PORTS.iter().any(|&(s, e)| start <= e && s <= end)
}

fn is_io(cx: &Cx, parent: u64) -> R<bool> {
    Ok(cx.r64(parent + 24)? & 0x1f00 == IORESOURCE_IO)
}

/// __request_region: the new struct resource, or None when the range is taken.
fn request(
    cx: &mut Cx,
    parent: u64,
    start: u64,
    len: u64,
    name: &str,
    label: u64,
) -> R<Option<u64>> {
    let io = is_io(cx, parent)?;
    if len == 0 {
        return Ok(None);
    }
    let end = start.saturating_add(len - 1);
    if io && end > 0xffff
        || platform_owns(io, start, end)
        || overlapping(cx, io, start, end).is_some()
    {
        return Ok(None);
    }
    let at = mm::kalloc(cx, SIZE)?;
    cx.w64(at, start)?;
    cx.w64(at + 8, end)?;
    cx.w64(at + 16, label)?;
    let kind = if io { IORESOURCE_IO } else { IORESOURCE_MEM };
    cx.w64(at + 24, kind | IORESOURCE_BUSY)?;
    cx.w64(at + 40, parent)?;
    cx.resources.ranges.push(Range {
        io,
        start,
        end,
        busy: true,
        name: name.to_owned(),
        at,
        given: false,
    });
    Ok(Some(at))
}

/// __release_region; whether the range was held exactly so.
fn release(cx: &mut Cx, parent: u64, start: u64, len: u64) -> R<bool> {
    let io = is_io(cx, parent)?;
    let end = start.wrapping_add(len).wrapping_sub(1);
    let found = cx
        .resources
        .ranges
        .iter()
        .position(|r| r.io == io && !r.given && r.busy && r.start == start && r.end == end);
    match found {
        Some(index) => {
            let range = cx.resources.ranges.remove(index);
            mm::kfree(cx, range.at);
            Ok(true)
        }
        None => {
            printk::log(
                cx,
                4,
                &format!(
                    "resource: Trying to free nonexistent resource <{start:016x}-{end:016x}>\n"
                ),
            );
            Ok(false)
        }
    }
}

/// The ledger's key of a range: ports and memory do not meet.
fn key(io: bool, start: u64) -> u64 {
    if io { 1 << 62 | start } else { start }
}

/// Takes a range of ports or memory for a driver; whether it was free.
pub(super) fn claim(cx: &mut Cx, io: bool, start: u64, len: u64, label: u64) -> R<bool> {
    let parent = space(cx, io)?;
    let call = Call::internal([parent, start, len, label, 0, 0]);
    Ok(request_region(cx, &call)? != 0)
}

/// Gives it back.
pub(super) fn unclaim(cx: &mut Cx, io: bool, start: u64, len: u64) -> R<()> {
    let parent = space(cx, io)?;
    release_region(cx, &Call::internal([parent, start, len, 0, 0, 0]))?;
    Ok(())
}

/// `ioport_resource` or `iomem_resource`, as modules see it.
fn space(cx: &mut Cx, io: bool) -> R<u64> {
    let name = if io {
        "ioport_resource"
    } else {
        "iomem_resource"
    };
    Ok(variable(cx, name)?.unwrap_or(0))
}

fn request_region(cx: &mut Cx, c: &Call) -> R {
    let [parent, start, len, label, ..] = c.a;
    let name = if label == 0 {
        String::new()
    } else {
        cx.text(label)?
    };
    match request(cx, parent, start, len, &name, label)? {
        Some(at) => {
            let io = is_io(cx, parent)?;
            let detail = format!("{name} {start:#x}-{:#x}", start + len - 1);
            trace::acquired(cx, "region", key(io, start), &detail);
            Ok(at)
        }
        None => Ok(0),
    }
}

fn release_region(cx: &mut Cx, c: &Call) -> R {
    let [parent, start, len, ..] = c.a;
    if release(cx, parent, start, len)? {
        let io = is_io(cx, parent)?;
        trace::released(cx, "region", key(io, start));
    } else {
        let detail = format!("{start:#x}, {len} bytes");
        trace::misuse(cx, "release-unheld", &detail, start, "release_region");
    }
    Ok(0)
}

fn insert(cx: &mut Cx, parent: u64, new: u64, must_be_free: bool) -> R<i32> {
    let io = is_io(cx, parent)?;
    let (start, end) = (cx.r64(new)?, cx.r64(new + 8)?);
    if end < start || io && end > 0xffff {
        return Ok(-EBUSY);
    }
    if must_be_free
        && (overlapping(cx, io, start, end).is_some()
            || cx
                .resources
                .ranges
                .iter()
                .any(|r| r.io == io && start <= r.end && r.start <= end))
    {
        return Ok(-EBUSY);
    }
    let label = cx.r64(new + 16)?;
    let name = if label == 0 {
        String::new()
    } else {
        cx.text(label)?
    };
    let busy = cx.r64(new + 24)? & IORESOURCE_BUSY != 0;
    cx.w64(new + 40, parent)?;
    cx.resources.ranges.push(Range {
        io,
        start,
        end,
        busy,
        name,
        at: new,
        given: true,
    });
    Ok(0)
}

fn request_resource(cx: &mut Cx, c: &Call) -> R {
    Ok(insert(cx, c.a[0], c.a[1], true)? as i64 as u64)
}

fn insert_resource(cx: &mut Cx, c: &Call) -> R {
    Ok(insert(cx, c.a[0], c.a[1], false)? as i64 as u64)
}

fn take_out(cx: &mut Cx, at: u64) -> R<bool> {
    let found = cx
        .resources
        .ranges
        .iter()
        .position(|r| r.at == at && r.given);
    if let Some(index) = found {
        cx.resources.ranges.remove(index);
        cx.w64(at + 40, 0)?;
    }
    Ok(found.is_some())
}

fn release_resource(cx: &mut Cx, c: &Call) -> R {
    if take_out(cx, c.a[0])? {
        Ok(0)
    } else {
        cx.r64(c.a[0] + 40)?;
        Ok(neg(EINVAL))
    }
}

/// The resources of a platform device that is added. 0 or -EBUSY.
pub(super) fn insert_all(cx: &mut Cx, pdev: u64, label: &str) -> R<i32> {
    let off = cx.off;
    let (first, count) = (
        cx.r64(pdev + off.pdev_resource)?,
        u64::from(cx.r32(pdev + off.pdev_num_resources)?).min(1024),
    );
    for index in 0..count {
        let at = first + index * SIZE;
        let (start, end, flags) = (cx.r64(at)?, cx.r64(at + 8)?, cx.r64(at + 24)?);
        let io = match flags & 0x1f00 {
            IORESOURCE_IO => true,
            IORESOURCE_MEM => false,
            _ => continue,
        };
        if overlapping(cx, io, start, end).is_some() || end < start {
            let text = format!(
                "platform {label}: failed to claim resource {index}: [{}  {start:#06x}-{end:#06x}]\n",
                if io { "io" } else { "mem" }
            );
            printk::log(cx, 3, &text);
            for index in 0..index {
                take_out(cx, first + index * SIZE)?;
            }
            return Ok(-EBUSY);
        }
        cx.resources.ranges.push(Range {
            io,
            start,
            end,
            busy: false,
            name: label.to_owned(),
            at,
            given: true,
        });
    }
    Ok(0)
}

/// The resources of a platform device that goes.
pub(super) fn remove_all(cx: &mut Cx, pdev: u64) -> R<()> {
    let off = cx.off;
    let first = cx.r64(pdev + off.pdev_resource)?;
    let count = u64::from(cx.r32(pdev + off.pdev_num_resources)?).min(1024);
    cx.resources
        .ranges
        .retain(|r| !(r.given && r.at >= first && r.at < first + count * SIZE));
    Ok(())
}

/// The lines of /proc/ioports or /proc/iomem.
pub fn listing(cx: &Cx, io: bool) -> String {
    let mut ranges: Vec<&Range> = cx.resources.ranges.iter().filter(|r| r.io == io).collect();
    ranges.sort_by_key(|r| r.start);
    let width = if io { 4 } else { 8 };
    ranges
        .iter()
        .map(|r| format!("{:0width$x}-{:0width$x} : {}\n", r.start, r.end, r.name))
        .collect()
}

fn drop_region(cx: &mut Cx, _: u64, at: u64) -> R<()> {
    let found = cx
        .resources
        .ranges
        .iter()
        .position(|r| r.at == at && !r.given);
    if let Some(index) = found {
        cx.resources.ranges.remove(index);
        mm::kfree(cx, at);
    }
    Ok(())
}

/// __devm_request_region(dev, parent, start, n, name).
fn devm_request_region(cx: &mut Cx, c: &Call) -> R {
    let [dev, parent, start, len, label, ..] = c.a;
    let name = if label == 0 {
        String::new()
    } else {
        cx.text(label)?
    };
    match request(cx, parent, start, len, &name, label)? {
        Some(at) => {
            devres::add(cx, dev, devres::Release::Kernel(drop_region), at);
            Ok(at)
        }
        None => Ok(0),
    }
}

fn devm_release_region(cx: &mut Cx, c: &Call) -> R {
    let [dev, parent, start, len, ..] = c.a;
    let io = is_io(cx, parent)?;
    let end = start.wrapping_add(len).wrapping_sub(1);
    let found = cx
        .resources
        .ranges
        .iter()
        .find(|r| r.io == io && r.start == start && r.end == end)
        .map(|r| r.at);
    match found {
        Some(at) if devres::take(cx, dev, devres::Release::Kernel(drop_region), at) => {
            drop_region(cx, dev, at)?;
        }
        _ => crate::traps::warn(cx, "", "__devm_release_region")?,
    }
    Ok(0)
}

/// Memory that stands for a device's; reads answer zeros until something is written.
pub(super) fn remapped(cx: &mut Cx, phys: u64, len: u64) -> R<u64> {
    if len == 0 || len > MAX_REMAP || phys.checked_add(len - 1).is_none() {
        return Ok(0);
    }
    let size = len.next_multiple_of(map::PAGE);
    Ok(mm::guard::alloc(cx, size, map::PAGE, true)
        .map_or(0, |at| at + phys % map::PAGE % len.max(1) % size))
}

/// The start of the block that a remapped address lies in.
fn base(cx: &Cx, addr: u64) -> u64 {
    mm::guard::block_of(cx, addr).map_or(addr, |b| b.addr)
}

fn ioremap(cx: &mut Cx, c: &Call) -> R {
    remapped(cx, c.a[0], c.a[1])
}

pub(super) fn iounmap(cx: &mut Cx, c: &Call) -> R {
    let addr = c.a[0];
    if addr == 0 {
        return Ok(0);
    }
    match mm::guard::block_of(cx, addr) {
        Some(block) if !block.freed => {
            mm::guard::free(cx, block.addr);
            trace::released(cx, "ioremap", addr);
        }
        _ => {
            printk::log(cx, 3, &format!("iounmap: bad address {addr:016x}\n"));
            kernel_trace(cx)?;
            trace::misuse(cx, "release-unheld", "not remapped", addr, "iounmap");
        }
    }
    Ok(0)
}

fn kernel_trace(cx: &mut Cx) -> R<()> {
    super::kobject::dump_stack(cx)
}

pub(super) fn drop_remap(cx: &mut Cx, _: u64, addr: u64) -> R<()> {
    let at = base(cx, addr);
    mm::guard::free(cx, at);
    Ok(())
}

fn devm_ioremap(cx: &mut Cx, c: &Call) -> R {
    let at = remapped(cx, c.a[1], c.a[2])?;
    if at != 0 {
        devres::add(cx, c.a[0], devres::Release::Kernel(drop_remap), at);
    }
    Ok(at)
}

fn devm_iounmap(cx: &mut Cx, c: &Call) -> R {
    if devres::take(cx, c.a[0], devres::Release::Kernel(drop_remap), c.a[1]) {
        drop_remap(cx, c.a[0], c.a[1])?;
    } else {
        crate::traps::warn(cx, "", "devm_iounmap")?;
    }
    Ok(0)
}

fn remap_resource(cx: &mut Cx, dev: u64, res: u64) -> R<u64> {
    if res == 0 || cx.r64(res + 24)? & 0x1f00 != IORESOURCE_MEM {
        super::core::log(cx, 3, dev, "invalid resource\n")?;
        return Ok(neg(EINVAL));
    }
    let (start, end) = (cx.r64(res)?, cx.r64(res + 8)?);
    if overlapping(cx, false, start, end).is_some() {
        super::core::log(cx, 3, dev, "can't request region for resource\n")?;
        return Ok(neg(EBUSY));
    }
    let at = mm::kalloc(cx, SIZE)?;
    let name = super::core::name(cx, dev)?;
    cx.resources.ranges.push(Range {
        io: false,
        start,
        end,
        busy: true,
        name,
        at,
        given: false,
    });
    devres::add(cx, dev, devres::Release::Kernel(drop_region), at);
    let addr = remapped(cx, start, end.wrapping_sub(start).wrapping_add(1))?;
    if addr == 0 {
        return Ok(neg(ENOMEM));
    }
    devres::add(cx, dev, devres::Release::Kernel(drop_remap), addr);
    Ok(addr)
}

fn devm_ioremap_resource(cx: &mut Cx, c: &Call) -> R {
    remap_resource(cx, c.a[0], c.a[1])
}

fn devm_platform_ioremap_resource(cx: &mut Cx, c: &Call) -> R {
    let pdev = c.a[0];
    let call = Call::internal([pdev, IORESOURCE_MEM, c.a[1], 0, 0, 0]);
    let res = super::platform_resource::nth(cx, &call)?;
    remap_resource(cx, pdev + cx.off.pdev_dev, res)
}

/// Ports as a cookie: what ioread tells apart from memory by its size.
fn ioport_map(_: &mut Cx, c: &Call) -> R {
    if c.a[0] > 0xffff {
        return Ok(0);
    }
    Ok(0x10000 + c.a[0])
}

fn ioport_unmap(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}
