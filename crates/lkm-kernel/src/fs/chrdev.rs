//! Character devices (fs/char_dev.c): number regions, cdevs, and the open that finds one by its number.

use super::files::{self, Backing, NewFile, S_IFCHR};
use super::open::Found;
use crate::abi::{Call, R, errno::*, neg};
use crate::drivers::kobject;
use crate::hash::Map;
use crate::module::{kmod, owner, refs};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace, util};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("alloc_chrdev_region", alloc_chrdev_region)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("register_chrdev_region", register_chrdev_region)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("unregister_chrdev_region", unregister_chrdev_region).sleeps(),
    behaves("__register_chrdev", register_chrdev)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("__unregister_chrdev", unregister_chrdev).sleeps(),
    behaves("cdev_init", cdev_init),
    behaves("cdev_alloc", cdev_alloc)
        .fails(Fails::Null)
        .sleeps(),
    behaves("cdev_add", cdev_add)
        .acquires("char device", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("cdev_del", cdev_del)
        .releases("char device", Key::Arg(0))
        .sleeps(),
    behaves("cdev_set_parent", cdev_set_parent),
    behaves("cdev_device_add", cdev_device_add)
        .acquires("char device", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("cdev_device_del", cdev_device_del)
        .releases("char device", Key::Arg(0))
        .sleeps(),
    behaves("__lkm_cdev_release", cdev_release),
    behaves("__lkm_cdev_dynamic_release", cdev_dynamic_release),
];

/// A range of numbers of one major.
#[derive(Debug, Clone)]
struct Region {
    base: u32,
    count: u32,
    name: String,
    /// The cdev that register_chrdev made for it, or 0.
    cdev: u64,
}

/// Numbers that a cdev answers for.
#[derive(Debug, Clone, Copy)]
struct Probe {
    dev: u32,
    count: u32,
    cdev: u64,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    regions: BTreeMap<u32, Vec<Region>>,
    map: Vec<Probe>,
    /// Device nodes by path below /dev: number.
    nodes: BTreeMap<String, u32>,
    /// Nodes that were made by hand, by path.
    made: BTreeMap<String, u32>,
    /// Inodes of device nodes that were opened.
    inodes: Map<u32, u64>,
    ktype: u64,
    ktype_dynamic: u64,
}

/// MAJOR.
pub const fn major(dev: u32) -> u32 {
    dev >> 20
}

/// MINOR.
pub const fn minor(dev: u32) -> u32 {
    dev & 0xf_ffff
}

/// MKDEV.
pub const fn mkdev(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

const MAJOR_MAX: u32 = 512;
/// Most nodes that are made by hand.
const MAX_MADE: usize = 10_000;
/// Majors that the stock kernel itself uses at boot (tty, misc, input, …): never given out.
const BUILT_IN: &[u32] = &[
    1, 4, 5, 7, 10, 13, 29, 128, 136, 180, 189, 226, 252, 253, 254,
];

fn region(cx: &mut Cx, wanted: u32, base: u32, count: u32, name: &str) -> Result<u32, i32> {
    if wanted >= MAJOR_MAX {
        let text = format!(
            "CHRDEV \"{name}\" major requested ({wanted}) is greater than the maximum ({})\n",
            MAJOR_MAX - 1
        );
        printk::log(cx, 3, &text);
        return Err(EINVAL);
    }
    if count > 0x10_0000u32.saturating_sub(base) {
        let text = format!(
            "CHRDEV \"{name}\" minor range requested ({base}-{}) is out of range of maximum range (0-1048575) for a single major\n",
            base.wrapping_add(count).wrapping_sub(1)
        );
        printk::log(cx, 3, &text);
        return Err(EINVAL);
    }
    let number = if wanted != 0 {
        wanted
    } else {
        let free = (234..=254)
            .rev()
            .chain((384..=511).rev())
            .find(|m| !BUILT_IN.contains(m) && cx.chrdev.regions.get(m).is_none_or(Vec::is_empty));
        match free {
            Some(number) => number,
            None => {
                let text = format!("CHRDEV \"{name}\" dynamic allocation region is full\n");
                printk::log(cx, 3, &text);
                return Err(EBUSY);
            }
        }
    };
    let list = cx.chrdev.regions.entry(number).or_default();
    if list
        .iter()
        .any(|r| base < r.base + r.count && r.base < base + count)
        || wanted != 0 && matches!(number, 1 | 4 | 5 | 10 | 13) && base == 0
    {
        return Err(EBUSY);
    }
    list.push(Region {
        base,
        count,
        name: name.chars().take(63).collect(),
        cdev: 0,
    });
    list.sort_by_key(|r| r.base);
    Ok(number)
}

/// Removes the region that was registered with exactly this start and length.
fn drop_region(cx: &mut Cx, number: u32, base: u32, count: u32) -> Option<Region> {
    let list = cx.chrdev.regions.get_mut(&number)?;
    let at = list
        .iter()
        .position(|r| r.base == base && r.count == count)?;
    Some(list.remove(at))
}

const REGION: &str = "char device region";

fn alloc_chrdev_region(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[3])?;
    let base = c.a[1] as u32;
    match region(cx, 0, base, c.a[2] as u32, &name) {
        Ok(number) => {
            let dev = mkdev(number, base);
            cx.w32(c.a[0], dev)?;
            trace::acquired(cx, REGION, u64::from(dev), &name);
            Ok(0)
        }
        Err(errno) => Ok(neg(errno)),
    }
}

/// The parts of a range of numbers that spans majors: (major, first minor, count).
fn parts(from: u32, count: u32) -> Vec<(u32, u32, u32)> {
    let mut out = Vec::new();
    let to = u64::from(from) + u64::from(count);
    let mut at = u64::from(from);
    while at < to && out.len() < MAJOR_MAX as usize {
        let next = ((at >> 20) + 1) << 20;
        let end = next.min(to);
        out.push(((at >> 20) as u32, (at & 0xf_ffff) as u32, (end - at) as u32));
        at = end;
    }
    out
}

fn register_chrdev_region(cx: &mut Cx, c: &Call) -> R {
    let (from, count) = (c.a[0] as u32, c.a[1] as u32);
    let name = cx.text(c.a[2])?;
    let mut done = Vec::new();
    for (number, base, count) in parts(from, count) {
        // Major 0 here asks for a dynamic one, as in the kernel.
        match region(cx, number, base, count, &name) {
            Ok(got) => done.push((got, base, count)),
            Err(errno) => {
                for (number, base, count) in done {
                    drop_region(cx, number, base, count);
                }
                return Ok(neg(errno));
            }
        }
    }
    trace::acquired(cx, REGION, u64::from(from), &name);
    Ok(0)
}

fn unregister_chrdev_region(cx: &mut Cx, c: &Call) -> R {
    let (from, count) = (c.a[0] as u32, c.a[1] as u32);
    let mut all = true;
    for (number, base, count) in parts(from, count) {
        all &= drop_region(cx, number, base, count).is_some();
    }
    if all {
        trace::released(cx, REGION, u64::from(from));
    } else {
        let detail = format!(
            "{}:{} and {count} numbers are not registered as one region",
            major(from),
            minor(from)
        );
        trace::misuse(
            cx,
            "release-unheld",
            &detail,
            u64::from(from),
            "unregister_chrdev_region",
        );
    }
    Ok(0)
}

fn register_chrdev(cx: &mut Cx, c: &Call) -> R {
    let (wanted, base, count) = (c.a[0] as u32, c.a[1] as u32, c.a[2] as u32);
    let name = cx.text(c.a[3])?;
    let fops = c.a[4];
    let number = match region(cx, wanted, base, count, &name) {
        Ok(number) => number,
        Err(errno) => return Ok(neg(errno)),
    };
    let cdev = new_cdev(cx)?;
    let holder = cx.r64(fops + cx.off.fops_owner)?;
    cx.w64(cdev + cx.off.cdev_owner, holder)?;
    cx.w64(cdev + cx.off.cdev_ops, fops)?;
    kobject::set_name(cx, cdev, name.as_bytes())?;
    add(cx, cdev, mkdev(number, base), count)?;
    if let Some(region) = cx
        .chrdev
        .regions
        .get_mut(&number)
        .and_then(|l| l.iter_mut().find(|r| r.base == base && r.count == count))
    {
        region.cdev = cdev;
    }
    trace::acquired(cx, "char device", u64::from(mkdev(number, base)), &name);
    let what = format!("character device {name}");
    owner::check_fops(cx, &what, fops, holder, "__register_chrdev")?;
    Ok(if wanted == 0 { u64::from(number) } else { 0 })
}

fn unregister_chrdev(cx: &mut Cx, c: &Call) -> R {
    let (number, base, count) = (c.a[0] as u32, c.a[1] as u32, c.a[2] as u32);
    let Some(region) = drop_region(cx, number, base, count) else {
        let detail = format!("major {number} is not registered");
        trace::misuse(cx, "release-unheld", &detail, 0, "unregister_chrdev");
        return Ok(0);
    };
    if region.cdev != 0 {
        del(cx, region.cdev)?;
    }
    trace::released(cx, "char device", u64::from(mkdev(number, base)));
    Ok(0)
}

fn ktypes(cx: &mut Cx) -> R<(u64, u64)> {
    if cx.chrdev.ktype == 0 {
        cx.chrdev.ktype = kobject::kernel_ktype(cx, "__lkm_cdev_release", 0)?;
        cx.chrdev.ktype_dynamic = kobject::kernel_ktype(cx, "__lkm_cdev_dynamic_release", 0)?;
    }
    Ok((cx.chrdev.ktype, cx.chrdev.ktype_dynamic))
}

fn new_cdev(cx: &mut Cx) -> R<u64> {
    let (_, ktype) = ktypes(cx)?;
    let cdev = mm::kalloc(cx, cx.off.cdev_size)?;
    util::list_init(cx, cdev + cx.off.cdev_list)?;
    kobject::init(cx, cdev, ktype)?;
    Ok(cdev)
}

fn cdev_init(cx: &mut Cx, c: &Call) -> R {
    let [cdev, fops, ..] = c.a;
    let (ktype, _) = ktypes(cx)?;
    cx.fill(cdev, 0, cx.off.cdev_size)?;
    util::list_init(cx, cdev + cx.off.cdev_list)?;
    kobject::init(cx, cdev, ktype)?;
    cx.w64(cdev + cx.off.cdev_ops, fops)?;
    Ok(0)
}

fn cdev_alloc(cx: &mut Cx, _: &Call) -> R {
    new_cdev(cx)
}

fn add(cx: &mut Cx, cdev: u64, dev: u32, count: u32) -> R<()> {
    cx.w32(cdev + cx.off.cdev_dev, dev)?;
    cx.w32(cdev + cx.off.cdev_count, count)?;
    let parent = cx.r64(cdev + cx.off.kobject_parent)?;
    cx.chrdev.map.push(Probe { dev, count, cdev });
    kobject::get(cx, parent)
}

/// Whether an open of the device will hold the module that serves it.
fn owned(cx: &mut Cx, cdev: u64, dev: u32, function: &'static str) -> R<()> {
    let ops = cx.r64(cdev + cx.off.cdev_ops)?;
    let holder = cx.r64(cdev + cx.off.cdev_owner)?;
    let what = format!("character device {}:{}", major(dev), minor(dev));
    owner::check_fops(cx, &what, ops, holder, function)
}

fn cdev_add(cx: &mut Cx, c: &Call) -> R {
    let (cdev, dev) = (c.a[0], c.a[1] as u32);
    add(cx, cdev, dev, c.a[2] as u32)?;
    owned(cx, cdev, dev, "cdev_add")?;
    Ok(0)
}

fn del(cx: &mut Cx, cdev: u64) -> R<()> {
    let (dev, count) = (
        cx.r32(cdev + cx.off.cdev_dev)?,
        cx.r32(cdev + cx.off.cdev_count)?,
    );
    cx.chrdev
        .map
        .retain(|p| (p.dev, p.count, p.cdev) != (dev, count, cdev));
    kobject::put(cx, cdev)
}

fn cdev_del(cx: &mut Cx, c: &Call) -> R {
    del(cx, c.a[0])?;
    Ok(0)
}

fn cdev_set_parent(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0] + cx.off.kobject_parent, c.a[1])?;
    Ok(0)
}

fn cdev_device_add(cx: &mut Cx, c: &Call) -> R {
    let [cdev, dev, ..] = c.a;
    let devt = cx.r32(dev + cx.off.device_devt)?;
    if devt != 0 {
        cx.w64(cdev + cx.off.kobject_parent, dev + cx.off.device_kobj)?;
        add(cx, cdev, devt, 1)?;
        owned(cx, cdev, devt, "cdev_device_add")?;
    }
    let answer = crate::drivers::core::add(cx, dev)?;
    if answer != 0 && devt != 0 {
        del(cx, cdev)?;
    }
    Ok(answer as i64 as u64)
}

fn cdev_device_del(cx: &mut Cx, c: &Call) -> R {
    crate::drivers::core::del(cx, c.a[1])?;
    if cx.r32(c.a[1] + cx.off.device_devt)? != 0 {
        del(cx, c.a[0])?;
    }
    Ok(0)
}

/// The last reference on a cdev went: inodes forget it (cdev_purge), its parent is put.
fn gone(cx: &mut Cx, cdev: u64) -> R<()> {
    for inode in util::list_entries(cx, cdev + cx.off.cdev_list)? {
        util::list_del_init(cx, inode)?;
        cx.w64(inode - cx.off.inode_i_devices + cx.off.inode_i_cdev, 0)?;
    }
    let parent = cx.r64(cdev + cx.off.kobject_parent)?;
    kobject::put(cx, parent)
}

fn cdev_release(cx: &mut Cx, c: &Call) -> R {
    gone(cx, c.a[0])?;
    Ok(0)
}

fn cdev_dynamic_release(cx: &mut Cx, c: &Call) -> R {
    gone(cx, c.a[0])?;
    mm::kfree(cx, c.a[0]);
    Ok(0)
}

/// cdev_get: the owner's reference, then the object's. False when the owner is going.
fn take(cx: &mut Cx, cdev: u64, file: u64) -> R<bool> {
    let owner = cx.r64(cdev + cx.off.cdev_owner)?;
    let holder = files::holder(cx);
    if !refs::try_get(cx, owner, "open file", file, &holder)? {
        return Ok(false);
    }
    kobject::get(cx, cdev)?;
    Ok(true)
}

/// cdev_put.
pub(crate) fn put(cx: &mut Cx, cdev: u64, file: u64) -> R<()> {
    let owner = cx.r64(cdev + cx.off.cdev_owner)?;
    kobject::put(cx, cdev)?;
    refs::put_key(cx, owner, "open file", file)
}

/// The lines of /proc/devices about characters.
pub fn proc_devices(cx: &Cx) -> String {
    let mut out = String::from("Character devices:\n");
    for (number, list) in &cx.chrdev.regions {
        for region in list {
            out.push_str(&format!("{number:3} {}\n", region.name));
        }
    }
    out.push_str("\nBlock devices:\n");
    out
}

/// devtmpfs: a node appears below /dev.
pub fn add_node(cx: &mut Cx, name: &str, dev: u32) {
    cx.chrdev.nodes.insert(name.to_owned(), dev);
}

/// devtmpfs: the node goes; its inode stays as long as a file is open on it.
pub fn remove_node(cx: &mut Cx, name: &str) -> R<()> {
    if let Some(dev) = cx.chrdev.nodes.remove(name)
        && !cx.chrdev.nodes.values().any(|&other| other == dev)
        && let Some(inode) = cx.chrdev.inodes.remove(&dev)
    {
        files::put_inode(cx, inode)?;
    }
    Ok(())
}

/// The device nodes.
pub(crate) fn paths(cx: &Cx) -> impl Iterator<Item = String> {
    let nodes = cx.chrdev.nodes.keys().map(|name| format!("/dev/{name}"));
    nodes.chain(cx.chrdev.made.keys().cloned())
}

/// The number of a device node.
pub fn node(cx: &Cx, path: &str) -> Option<u32> {
    let found = path
        .strip_prefix("/dev/")
        .and_then(|name| cx.chrdev.nodes.get(name));
    found.or_else(|| cx.chrdev.made.get(path)).copied()
}

/// Opens a path below /dev that names a character device.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    match node(cx, path) {
        Some(dev) => Ok(Some(open(cx, path, dev, flags)?)),
        None => Ok(None),
    }
}

/// The cdev that answers for a number.
fn probe(cx: &Cx, dev: u32) -> Option<u64> {
    let all = cx.chrdev.map.iter().rev();
    let mut fitting = all.filter(|p| dev >= p.dev && dev - p.dev < p.count);
    fitting.next().map(|p| p.cdev)
}

/// mknod(2) of a character device: 0, or a negative errno.
pub fn mknod(cx: &mut Cx, path: &str, dev: u32) -> i64 {
    if cx.chrdev.made.contains_key(path) || node(cx, path).is_some() {
        return i64::from(-EEXIST);
    }
    if cx.chrdev.made.len() >= MAX_MADE {
        return i64::from(-ENOSPC);
    }
    cx.chrdev.made.insert(path.to_owned(), dev);
    0
}

/// chrdev_open: finds the cdev of a number, takes its references and runs its open method.
pub fn open(cx: &mut Cx, path: &str, dev: u32, flags: u32) -> R<Result<u64, i64>> {
    let inode = match cx.chrdev.inodes.get(&dev) {
        Some(&inode) => inode,
        None => {
            let inode = files::new_inode(cx, S_IFCHR | 0o600, dev)?;
            cx.chrdev.inodes.insert(dev, inode);
            inode
        }
    };
    let new = NewFile {
        what: path,
        mode: S_IFCHR | 0o600,
        rdev: dev,
        f_op: 0,
        flags,
        backing: Backing::Guest,
        data: u64::from(dev),
        inode,
    };
    if major(dev) == crate::drivers::misc::MAJOR {
        let file = files::new_file(cx, &new)?;
        return crate::drivers::misc::open(cx, file, inode, minor(dev));
    }
    let off = cx.off;
    let mut cdev = cx.r64(inode + off.inode_i_cdev)?;
    if cdev == 0 {
        let mut found = probe(cx, dev);
        if found.is_none() {
            // base_probe: by the whole number, then by the major.
            let name = format!("char-major-{}-{}", major(dev), minor(dev));
            if kmod::request(cx, &name, true)? > 0 {
                kmod::request(cx, &format!("char-major-{}", major(dev)), true)?;
            }
            found = probe(cx, dev);
        }
        let Some(found) = found else {
            return Ok(Err(i64::from(-ENXIO)));
        };
        cdev = found;
    }
    let file = files::new_file(cx, &new)?;
    if !take(cx, cdev, file)? {
        files::abandon(cx, file)?;
        return Ok(Err(i64::from(-ENXIO)));
    }
    if cx.r64(inode + off.inode_i_cdev)? == 0 {
        cx.w64(inode + off.inode_i_cdev, cdev)?;
        util::list_add(cx, inode + off.inode_i_devices, cdev + off.cdev_list)?;
    }
    let fops = cx.r64(cdev + off.cdev_ops)?;
    if fops == 0 || !files::take_fops(cx, file, fops)? {
        put(cx, cdev, file)?;
        files::abandon(cx, file)?;
        return Ok(Err(i64::from(-ENXIO)));
    }
    let method = cx.r64(fops + off.fops_open)?;
    if method != 0 {
        let answer = i64::from(cx.call_guest(method, &[inode, file]) as i32);
        if answer != 0 {
            put(cx, cdev, file)?;
            files::abandon(cx, file)?;
            return Ok(Err(answer));
        }
    }
    Ok(Ok(file))
}
