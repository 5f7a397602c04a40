//! Managed resources (drivers/base/devres.c): what a driver acquires for a device and the core gives back, last
//! first, when the driver leaves the device or the device goes.

use crate::abi::{Call, R, errno::*, neg};
use crate::hash::Map;
use crate::table::{Fails, Row, behaves};
use crate::{Cx, mm, printk};

pub(crate) const ROWS: &[Row] = &[
    alloc("devm_kmalloc", devm_kmalloc),
    alloc("devm_krealloc", devm_krealloc),
    alloc("devm_kstrdup", devm_kstrdup),
    alloc("devm_kstrdup_const", devm_kstrdup),
    alloc("devm_kasprintf", devm_kasprintf),
    alloc("devm_kmemdup", devm_kmemdup),
    alloc("devm_get_free_pages", devm_get_free_pages),
    behaves("devm_kfree", devm_kfree),
    behaves("devm_free_pages", devm_kfree),
    alloc("__devres_alloc_node", devres_alloc),
    behaves("devres_free", devres_free),
    behaves("devres_add", devres_add),
    behaves("devres_find", devres_find),
    behaves("devres_get", devres_get),
    behaves("devres_remove", devres_remove),
    behaves("devres_destroy", devres_destroy),
    behaves("devres_release", devres_release),
    behaves("devres_open_group", devres_open_group),
    behaves("devres_close_group", devres_close_group),
    behaves("devres_remove_group", devres_remove_group),
    behaves("devres_release_group", devres_release_group),
    behaves("devm_add_action", devm_add_action).fails(Fails::Errno(ENOMEM)),
    behaves("__devm_add_action", devm_add_action).fails(Fails::Errno(ENOMEM)),
    behaves("devm_remove_action", devm_remove_action),
    behaves("devm_release_action", devm_release_action),
    behaves("devm_device_add_group", devm_device_add_group),
    behaves("devm_device_add_groups", devm_device_add_groups),
];

const fn alloc(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun).fails(Fails::Null)
}

/// What gives a resource back.
#[derive(Debug, Clone, Copy)]
pub enum Release {
    /// `release(dev, data)` in the guest, then the data's memory.
    Guest(u64),
    /// An action: `f(data)` in the guest.
    Action(u64),
    /// Memory of devm_kmalloc.
    Memory,
    /// A kernel function of (device, data).
    Kernel(fn(&mut Cx, u64, u64) -> R<()>),
    /// Start of a group with this id.
    Open,
    /// Its end.
    Close,
}

impl PartialEq for Release {
    fn eq(&self, other: &Release) -> bool {
        match (*self, *other) {
            (Release::Guest(a), Release::Guest(b)) | (Release::Action(a), Release::Action(b)) => {
                a == b
            }
            // The data tells two kernel resources of a device apart; the address only narrows it.
            (Release::Kernel(a), Release::Kernel(b)) => std::ptr::fn_addr_eq(a, b),
            (Release::Memory, Release::Memory)
            | (Release::Open, Release::Open)
            | (Release::Close, Release::Close) => true,
            _ => false,
        }
    }
}

/// A resource.
#[derive(Debug, Clone, Copy)]
struct Entry {
    release: Release,
    data: u64,
}

/// Resources by device, in the order they were added.
#[derive(Default)]
pub struct State {
    by_dev: Map<u64, Vec<Entry>>,
    /// What devres_alloc made and nobody added: data to its release function.
    loose: Map<u64, u64>,
    groups: u64,
}

/// Adds a resource that kernel code gives back.
pub fn add(cx: &mut Cx, dev: u64, release: Release, data: u64) {
    cx.devres
        .by_dev
        .entry(dev)
        .or_default()
        .push(Entry { release, data });
}

/// The data of a device's resources of a kind, in order.
pub fn data_of(cx: &Cx, dev: u64, release: Release) -> Vec<u64> {
    let list = cx.devres.by_dev.get(&dev);
    let of_kind = list.into_iter().flatten().filter(|e| e.release == release);
    of_kind.map(|e| e.data).collect()
}

/// Removes a resource without giving it back; whether it was there.
pub fn take(cx: &mut Cx, dev: u64, release: Release, data: u64) -> bool {
    let Some(list) = cx.devres.by_dev.get_mut(&dev) else {
        return false;
    };
    match list
        .iter()
        .rposition(|e| e.release == release && e.data == data)
    {
        Some(at) => {
            list.remove(at);
            true
        }
        None => false,
    }
}

/// Frees memory of the device's: what still runs in it is told, as for memory that the module frees itself.
fn give_back(cx: &mut Cx, data: u64) -> R<()> {
    crate::locking::on_free(cx, data, "devres_release_all")?;
    mm::kfree(cx, data);
    Ok(())
}

fn run(cx: &mut Cx, dev: u64, entry: Entry) -> R<()> {
    match entry.release {
        Release::Guest(release) => {
            if release != 0 {
                cx.call_guest(release, &[dev, entry.data]);
            }
            give_back(cx, entry.data)?;
        }
        Release::Action(action) => {
            cx.call_guest(action, &[entry.data]);
        }
        Release::Memory => give_back(cx, entry.data)?,
        Release::Kernel(release) => release(cx, dev, entry.data)?,
        Release::Open | Release::Close => {}
    }
    Ok(())
}

/// devres_release_all: last first.
pub fn release_all(cx: &mut Cx, dev: u64) -> R<()> {
    while let Some(entry) = cx.devres.by_dev.get_mut(&dev).and_then(Vec::pop) {
        run(cx, dev, entry)?;
    }
    cx.devres.by_dev.remove(&dev);
    Ok(())
}

fn memory(cx: &mut Cx, dev: u64, size: u64, gfp: u64) -> R<u64> {
    if size == 0 {
        return Ok(16);
    }
    if size > 4 << 20 {
        return Ok(0);
    }
    // devm_kmalloc objects are aligned as kmalloc's are.
    let align = if size.is_power_of_two() {
        size.min(4096)
    } else {
        8
    };
    match mm::guard::alloc(cx, size, align, gfp & 0x100 != 0) {
        Some(at) => {
            add(cx, dev, Release::Memory, at);
            Ok(at)
        }
        None => Ok(0),
    }
}

fn devm_kmalloc(cx: &mut Cx, c: &Call) -> R {
    memory(cx, c.a[0], c.a[1], c.a[2])
}

fn devm_krealloc(cx: &mut Cx, c: &Call) -> R {
    let [dev, old, size, gfp, ..] = c.a;
    let new = memory(cx, dev, size, gfp)?;
    if new != 0 && old > 16 {
        let have = mm::guard::block_at(cx, old).map_or(0, |b| b.size);
        cx.copy(new, old, have.min(size))?;
        free(cx, dev, old)?;
    }
    Ok(new)
}

fn text_of(cx: &mut Cx, dev: u64, text: &[u8], gfp: u64) -> R<u64> {
    let at = memory(cx, dev, text.len() as u64 + 1, gfp)?;
    if at != 0 {
        cx.write(at, text)?;
        cx.w8(at + text.len() as u64, 0)?;
    }
    Ok(at)
}

fn devm_kstrdup(cx: &mut Cx, c: &Call) -> R {
    if c.a[1] == 0 {
        return Ok(0);
    }
    let text = cx.cstr(c.a[1], 1 << 20)?;
    text_of(cx, c.a[0], &text, c.a[2])
}

fn devm_kasprintf(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(3);
    let text = printk::format::vsnprintf(cx, c.a[2], &mut args, 4096)?;
    text_of(cx, c.a[0], &text, c.a[1])
}

fn devm_kmemdup(cx: &mut Cx, c: &Call) -> R {
    let [dev, from, len, gfp, ..] = c.a;
    let at = memory(cx, dev, len, gfp)?;
    if at > 16 {
        cx.copy(at, from, len)?;
    }
    Ok(at)
}

fn devm_get_free_pages(cx: &mut Cx, c: &Call) -> R {
    let order = c.a[2].min(10);
    memory(cx, c.a[0], 4096 << order, c.a[1])
}

fn free(cx: &mut Cx, dev: u64, ptr: u64) -> R<()> {
    if ptr <= 16 {
        return Ok(());
    }
    if take(cx, dev, Release::Memory, ptr) {
        mm::kfree(cx, ptr);
        Ok(())
    } else {
        crate::traps::warn(cx, "", "devm_kfree")
    }
}

fn devm_kfree(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn devres_alloc(cx: &mut Cx, c: &Call) -> R {
    let [release, size, ..] = c.a;
    let at = mm::kalloc(cx, size)?;
    cx.devres.loose.insert(at, release);
    Ok(at)
}

fn devres_free(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        cx.devres.loose.remove(&c.a[0]);
        mm::kfree(cx, c.a[0]);
    }
    Ok(0)
}

fn devres_add(cx: &mut Cx, c: &Call) -> R {
    let release = cx.devres.loose.remove(&c.a[1]).unwrap_or(0);
    add(cx, c.a[0], Release::Guest(release), c.a[1]);
    Ok(0)
}

/// find_dr: the last resource with that release which the match function, if any, accepts.
fn find(cx: &mut Cx, dev: u64, release: u64, matcher: u64, data: u64) -> R<Option<u64>> {
    let list: Vec<Entry> = cx.devres.by_dev.get(&dev).cloned().unwrap_or_default();
    for entry in list.into_iter().rev() {
        if entry.release != Release::Guest(release) {
            continue;
        }
        if matcher == 0 || cx.call_guest(matcher, &[dev, entry.data, data]) as i32 != 0 {
            return Ok(Some(entry.data));
        }
    }
    Ok(None)
}

fn devres_find(cx: &mut Cx, c: &Call) -> R {
    Ok(find(cx, c.a[0], c.a[1], c.a[2], c.a[3])?.unwrap_or(0))
}

fn devres_get(cx: &mut Cx, c: &Call) -> R {
    let [dev, new, matcher, data, ..] = c.a;
    let release = cx.devres.loose.get(&new).copied().unwrap_or(0);
    if let Some(old) = find(cx, dev, release, matcher, data)? {
        cx.devres.loose.remove(&new);
        mm::kfree(cx, new);
        return Ok(old);
    }
    cx.devres.loose.remove(&new);
    add(cx, dev, Release::Guest(release), new);
    Ok(new)
}

fn removed(cx: &mut Cx, c: &Call) -> R<Option<u64>> {
    let [dev, release, matcher, data, ..] = c.a;
    let found = find(cx, dev, release, matcher, data)?;
    if let Some(at) = found {
        take(cx, dev, Release::Guest(release), at);
    }
    Ok(found)
}

fn devres_remove(cx: &mut Cx, c: &Call) -> R {
    let found = removed(cx, c)?;
    if let Some(at) = found {
        cx.devres.loose.insert(at, c.a[1]);
    }
    Ok(found.unwrap_or(0))
}

fn devres_destroy(cx: &mut Cx, c: &Call) -> R {
    match removed(cx, c)? {
        Some(at) => {
            mm::kfree(cx, at);
            Ok(0)
        }
        None => Ok(neg(ENOENT)),
    }
}

fn devres_release(cx: &mut Cx, c: &Call) -> R {
    match removed(cx, c)? {
        Some(data) => {
            let release = Release::Guest(c.a[1]);
            run(cx, c.a[0], Entry { release, data })?;
            Ok(0)
        }
        None => Ok(neg(ENOENT)),
    }
}

fn devres_open_group(cx: &mut Cx, c: &Call) -> R {
    cx.devres.groups += 1;
    let id = if c.a[1] == 0 {
        // The kernel uses the group's own address.
        mm::kernel_object(cx, 16)?
    } else {
        c.a[1]
    };
    add(cx, c.a[0], Release::Open, id);
    Ok(id)
}

/// Where a group lies in a device's list: its start and one past its end.
fn group(cx: &Cx, dev: u64, id: u64) -> Option<(usize, usize)> {
    let list = cx.devres.by_dev.get(&dev)?;
    let open = list
        .iter()
        .rposition(|e| e.release == Release::Open && (id == 0 || e.data == id))?;
    let id = list[open].data;
    let close = list
        .iter()
        .position(|e| e.release == Release::Close && e.data == id)
        .map_or(list.len(), |at| at + 1);
    Some((open, close))
}

fn devres_close_group(cx: &mut Cx, c: &Call) -> R {
    if let Some((open, _)) = group(cx, c.a[0], c.a[1]) {
        let id = cx.devres.by_dev[&c.a[0]][open].data;
        add(cx, c.a[0], Release::Close, id);
    }
    Ok(0)
}

fn devres_remove_group(cx: &mut Cx, c: &Call) -> R {
    if let Some((open, _)) = group(cx, c.a[0], c.a[1])
        && let Some(list) = cx.devres.by_dev.get_mut(&c.a[0])
    {
        let id = list[open].data;
        list.retain(|e| e.data != id || !matches!(e.release, Release::Open | Release::Close));
    }
    Ok(0)
}

fn devres_release_group(cx: &mut Cx, c: &Call) -> R {
    let mut count = 0;
    if let Some((open, close)) = group(cx, c.a[0], c.a[1])
        && let Some(list) = cx.devres.by_dev.get_mut(&c.a[0])
    {
        let entries: Vec<Entry> = list.drain(open..close).collect();
        for entry in entries.into_iter().rev() {
            count += u64::from(!matches!(entry.release, Release::Open | Release::Close));
            run(cx, c.a[0], entry)?;
        }
    }
    Ok(count)
}

fn devm_add_action(cx: &mut Cx, c: &Call) -> R {
    add(cx, c.a[0], Release::Action(c.a[1]), c.a[2]);
    Ok(0)
}

fn devm_remove_action(cx: &mut Cx, c: &Call) -> R {
    if !take(cx, c.a[0], Release::Action(c.a[1]), c.a[2]) {
        crate::traps::warn(cx, "", "devm_remove_action")?;
    }
    Ok(0)
}

fn devm_release_action(cx: &mut Cx, c: &Call) -> R {
    if take(cx, c.a[0], Release::Action(c.a[1]), c.a[2]) {
        cx.call_guest(c.a[1], &[c.a[2]]);
    } else {
        crate::traps::warn(cx, "", "devm_release_action")?;
    }
    Ok(0)
}

fn drop_group(cx: &mut Cx, dev: u64, group: u64) -> R<()> {
    crate::fs::sysfs::remove_group(cx, dev + cx.off.device_kobj, group)
}

fn drop_groups(cx: &mut Cx, dev: u64, groups: u64) -> R<()> {
    crate::fs::sysfs::remove_groups(cx, dev + cx.off.device_kobj, groups)
}

fn devm_device_add_group(cx: &mut Cx, c: &Call) -> R {
    let error = crate::fs::sysfs::create_group(cx, c.a[0] + cx.off.device_kobj, c.a[1], false)?;
    if error == 0 {
        add(cx, c.a[0], Release::Kernel(drop_group), c.a[1]);
    }
    Ok(error as i64 as u64)
}

fn devm_device_add_groups(cx: &mut Cx, c: &Call) -> R {
    let error = crate::fs::sysfs::create_groups(cx, c.a[0] + cx.off.device_kobj, c.a[1], false)?;
    if error == 0 {
        add(cx, c.a[0], Release::Kernel(drop_groups), c.a[1]);
    }
    Ok(error as i64 as u64)
}
