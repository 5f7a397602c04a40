//! sysfs (fs/sysfs, fs/kernfs): a tree of directories of kobjects with attribute files, binary files and links,
//! reached by path. A directory takes everything in it along when it goes.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use super::open::Found;
use crate::abi::{R, errno::*};
use crate::drivers::kobject;
use crate::hash::Map;
use crate::mm::{self, uaccess};
use crate::{Cx, printk, trace};
use std::collections::BTreeMap;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The directory of a kobject (0: the root), or of an attribute group.
    Dir(u64),
    /// An attribute of a kobject: object, attribute.
    File(u64, u64),
    /// A binary attribute of a kobject: object, attribute.
    Bin(u64, u64),
    /// A link to another node.
    Link(usize),
}

/// An entry of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    name: String,
    parent: usize,
    kind: Kind,
    children: BTreeMap<String, usize>,
    /// The ledger entry to close when it goes: kind and key.
    told: Option<(&'static str, u64)>,
    /// Guest address that stands for it in `kobject.sd`.
    handle: u64,
    live: bool,
}

/// The tree.
#[derive(Default)]
pub struct State {
    nodes: Vec<Node>,
    by_handle: Map<u64, usize>,
    handles: Vec<u64>,
    ops: u64,
}

static ATTR: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: None,
};

/// Bytes of an attribute's page.
pub const PAGE: u64 = 4096;

fn root(cx: &mut Cx) -> usize {
    if cx.sysfs.nodes.is_empty() {
        cx.sysfs.nodes.push(Node {
            name: String::new(),
            parent: 0,
            kind: Kind::Dir(0),
            children: BTreeMap::new(),
            told: None,
            handle: 0,
            live: true,
        });
    }
    0
}

fn path(cx: &Cx, mut node: usize) -> String {
    let mut parts = Vec::new();
    while node != 0 && parts.len() < 64 {
        parts.push(cx.sysfs.nodes[node].name.clone());
        node = cx.sysfs.nodes[node].parent;
    }
    parts.reverse();
    format!("/{}", parts.join("/"))
}

/// The node of a kobject's directory. A module's own object gets its directory when first asked for.
pub fn dir_of(cx: &mut Cx, kobj: u64) -> R<Option<usize>> {
    if kobj == 0 {
        return Ok(Some(root(cx)));
    }
    let handle = cx.r64(kobj + cx.off.kobject_sd)?;
    if let Some(&node) = cx.sysfs.by_handle.get(&handle) {
        return Ok(Some(node));
    }
    let module = cx
        .modules
        .list
        .iter()
        .find(|m| m.addr.wrapping_add(cx.off.module_kobj) == kobj)
        .map(|m| m.name.clone());
    if let Some(name) = module {
        let top = named_dir(cx, 0, "module")?;
        let node = insert(cx, top, &name, Kind::Dir(kobj), None)?;
        let handle = cx.sysfs.nodes[node].handle;
        cx.w64(kobj + cx.off.kobject_sd, handle)?;
        return Ok(Some(node));
    }
    Ok(None)
}

/// A directory without an object below another, made when it is not there.
pub fn named_dir(cx: &mut Cx, parent: usize, name: &str) -> R<usize> {
    root(cx);
    match cx.sysfs.nodes[parent].children.get(name) {
        Some(&node) => Ok(node),
        None => insert(cx, parent, name, Kind::Dir(0), None),
    }
}

/// A directory without an object, by its path from the top.
pub fn top_dir(cx: &mut Cx, path: &str) -> R<usize> {
    let mut at = root(cx);
    for part in path.split('/').filter(|p| !p.is_empty()) {
        at = named_dir(cx, at, part)?;
    }
    Ok(at)
}

fn insert(
    cx: &mut Cx,
    parent: usize,
    name: &str,
    kind: Kind,
    told: Option<(&'static str, u64)>,
) -> R<usize> {
    let handle = if matches!(kind, Kind::Dir(_)) {
        match cx.sysfs.handles.pop() {
            Some(handle) => handle,
            None => crate::data::alloc(cx, 128, 8)?,
        }
    } else {
        0
    };
    let node = cx.sysfs.nodes.len();
    cx.sysfs.nodes.push(Node {
        name: name.to_owned(),
        parent,
        kind,
        children: BTreeMap::new(),
        told,
        handle,
        live: true,
    });
    cx.sysfs.nodes[parent]
        .children
        .insert(name.to_owned(), node);
    if handle != 0 {
        cx.sysfs.by_handle.insert(handle, node);
    }
    Ok(node)
}

/// sysfs_warn_dup.
fn duplicate(cx: &mut Cx, parent: usize, name: &str) -> R<i32> {
    let above = path(cx, parent);
    let above = above.trim_end_matches('/');
    printk::log(
        cx,
        4,
        &format!("sysfs: cannot create duplicate filename '{above}/{name}'\n"),
    );
    kobject::dump_stack(cx)?;
    Ok(-EEXIST)
}

/// Adds a node unless the name is taken. 0 or a negative errno.
fn add(
    cx: &mut Cx,
    parent: usize,
    name: &str,
    kind: Kind,
    told: Option<(&'static str, u64)>,
) -> R<i32> {
    if cx.sysfs.nodes[parent].children.contains_key(name) {
        return duplicate(cx, parent, name);
    }
    insert(cx, parent, name, kind, told)?;
    if let Some((kind, key)) = told {
        let detail = format!("{}/{name}", path(cx, parent).trim_end_matches('/'));
        trace::acquired(cx, kind, key, &detail);
    }
    Ok(0)
}

/// sysfs_create_dir_ns.
pub fn create_dir(cx: &mut Cx, kobj: u64, parent: u64, name: &str) -> R<i32> {
    let Some(above) = dir_of(cx, parent)? else {
        return Ok(-ENOENT);
    };
    create_dir_in(cx, kobj, above, name)
}

/// The same below a node.
pub fn create_dir_in(cx: &mut Cx, kobj: u64, above: usize, name: &str) -> R<i32> {
    if cx.sysfs.nodes[above].children.contains_key(name) {
        return duplicate(cx, above, name);
    }
    let node = insert(cx, above, name, Kind::Dir(kobj), None)?;
    let handle = cx.sysfs.nodes[node].handle;
    cx.w64(kobj + cx.off.kobject_sd, handle)?;
    Ok(0)
}

/// sysfs_remove_dir: the directory and all that is in it.
pub fn remove_dir(cx: &mut Cx, kobj: u64) -> R<()> {
    let at = kobj + cx.off.kobject_sd;
    let handle = cx.r64(at)?;
    cx.w64(at, 0)?;
    if let Some(&node) = cx.sysfs.by_handle.get(&handle) {
        remove(cx, node);
    }
    Ok(())
}

fn remove(cx: &mut Cx, node: usize) {
    if node == 0 || !cx.sysfs.nodes[node].live {
        return;
    }
    let children: Vec<usize> = cx.sysfs.nodes[node].children.values().copied().collect();
    for child in children {
        remove(cx, child);
    }
    let entry = &mut cx.sysfs.nodes[node];
    entry.live = false;
    let (told, handle, parent) = (entry.told.take(), entry.handle, entry.parent);
    let name = entry.name.clone();
    if cx.sysfs.nodes[parent].children.get(&name) == Some(&node) {
        cx.sysfs.nodes[parent].children.remove(&name);
    }
    if handle != 0 {
        cx.sysfs.by_handle.remove(&handle);
        cx.sysfs.handles.push(handle);
    }
    if let Some((kind, key)) = told {
        trace::released(cx, kind, key);
    }
}

/// kernfs_rename within the same directory.
pub fn rename_dir(cx: &mut Cx, kobj: u64, name: &str) -> R<i32> {
    let Some(node) = dir_of(cx, kobj)? else {
        return Ok(-ENOENT);
    };
    let parent = cx.sysfs.nodes[node].parent;
    if cx.sysfs.nodes[parent].children.contains_key(name) {
        return Ok(-EEXIST);
    }
    let old = std::mem::replace(&mut cx.sysfs.nodes[node].name, name.to_owned());
    let children = &mut cx.sysfs.nodes[parent].children;
    children.remove(&old);
    children.insert(name.to_owned(), node);
    Ok(0)
}

/// The path of a kobject below /sys.
pub fn path_of(cx: &mut Cx, kobj: u64) -> R<String> {
    Ok(match dir_of(cx, kobj)? {
        Some(node) => path(cx, node),
        None => String::new(),
    })
}

/// The parent to create in: the object's directory or the group's below it.
fn place(cx: &mut Cx, kobj: u64, group: Option<&str>) -> R<Option<usize>> {
    let Some(dir) = dir_of(cx, kobj)? else {
        return Ok(None);
    };
    Ok(match group {
        None => Some(dir),
        Some(name) => cx.sysfs.nodes[dir].children.get(name).copied(),
    })
}

/// sysfs_create_file_ns, in a group's directory or the object's own. `tell` records it.
pub fn create_file(cx: &mut Cx, kobj: u64, attr: u64, group: Option<&str>, tell: bool) -> R<i32> {
    let Some(dir) = place(cx, kobj, group)? else {
        if kobj == 0 || group.is_none() {
            crate::traps::warn(cx, "", "sysfs_create_file_ns")?;
            return Ok(-EINVAL);
        }
        return Ok(-ENOENT);
    };
    let name_at = cx.r64(attr)?;
    let name = cx.text(name_at)?;
    add(
        cx,
        dir,
        &name,
        Kind::File(kobj, attr),
        tell.then_some(("sysfs file", attr)),
    )
}

/// sysfs_create_bin_file.
pub fn create_bin(cx: &mut Cx, kobj: u64, attr: u64, tell: bool) -> R<i32> {
    let Some(dir) = place(cx, kobj, None)? else {
        crate::traps::warn(cx, "", "sysfs_create_bin_file")?;
        return Ok(-EINVAL);
    };
    let name_at = cx.r64(attr)?;
    let name = cx.text(name_at)?;
    add(
        cx,
        dir,
        &name,
        Kind::Bin(kobj, attr),
        tell.then_some(("sysfs file", attr)),
    )
}

/// Removes a name from an object's directory or a group's; whether it was there.
pub fn remove_name(cx: &mut Cx, kobj: u64, group: Option<&str>, name: &str) -> R<bool> {
    let Some(dir) = place(cx, kobj, group)? else {
        return Ok(false);
    };
    let Some(&node) = cx.sysfs.nodes[dir].children.get(name) else {
        return Ok(false);
    };
    remove(cx, node);
    Ok(true)
}

/// sysfs_create_link: `name` in the object's directory points to the target's.
pub fn create_link(cx: &mut Cx, kobj: u64, target: u64, name: &str, tell: bool) -> R<i32> {
    let Some(dir) = dir_of(cx, kobj)? else {
        return Ok(-EFAULT);
    };
    let Some(to) = (if target == 0 {
        None
    } else {
        dir_of(cx, target)?
    }) else {
        return Ok(-ENOENT);
    };
    link_in(cx, dir, to, name, tell.then_some(("sysfs link", kobj)))
}

/// A link below a node.
pub fn link_in(
    cx: &mut Cx,
    dir: usize,
    to: usize,
    name: &str,
    told: Option<(&'static str, u64)>,
) -> R<i32> {
    add(cx, dir, name, Kind::Link(to), told)
}

/// Removes a child of a node by name.
pub fn remove_in(cx: &mut Cx, dir: usize, name: &str) {
    if let Some(&node) = cx.sysfs.nodes[dir].children.get(name) {
        remove(cx, node);
    }
}

/// Whether a node has no children.
pub fn is_empty(cx: &Cx, dir: usize) -> bool {
    cx.sysfs.nodes[dir].children.is_empty()
}

/// The attributes that an attribute_group lists: (attributes, binary attributes), visible ones only.
fn group_attrs(cx: &mut Cx, kobj: u64, group: u64) -> R<(Vec<u64>, Vec<u64>)> {
    // struct attribute_group: name, is_visible, is_bin_visible, attrs, bin_attrs (6.12 the same).
    let [visible, bin_visible, attrs, bins] = [8, 16, 24, 32].map(|at| cx.r64(group + at));
    let mut out = (Vec::new(), Vec::new());
    for (list, check, to) in [
        (attrs?, visible?, &mut out.0),
        (bins?, bin_visible?, &mut out.1),
    ] {
        if list == 0 {
            continue;
        }
        for index in 0..1024u64 {
            let attr = cx.r64(list + index * 8)?;
            if attr == 0 {
                break;
            }
            if check != 0 && cx.call_guest(check, &[kobj, attr, index]) & 0xffff == 0 {
                continue;
            }
            to.push(attr);
        }
    }
    Ok(out)
}

/// sysfs_create_group. `tell` records the group.
pub fn create_group(cx: &mut Cx, kobj: u64, group: u64, tell: bool) -> R<i32> {
    let Some(dir) = dir_of(cx, kobj)? else {
        crate::traps::warn(cx, "", "internal_create_group")?;
        return Ok(-EINVAL);
    };
    let name_at = cx.r64(group)?;
    if cx.r64(group + 24)? == 0 && cx.r64(group + 32)? == 0 {
        let label = kobject::name(cx, kobj)?;
        let name = if name_at == 0 {
            String::new()
        } else {
            cx.text(name_at)?
        };
        crate::traps::warn(
            cx,
            &format!("sysfs: (bin_)attrs not set by subsystem for group: {label}/{name}\n"),
            "internal_create_group",
        )?;
        return Ok(-EINVAL);
    }
    let group_name = if name_at == 0 {
        None
    } else {
        let name = cx.text(name_at)?;
        let error = add(cx, dir, &name, Kind::Dir(0), None)?;
        if error != 0 {
            return Ok(error);
        }
        Some(name)
    };
    let (attrs, bins) = group_attrs(cx, kobj, group)?;
    let mut made: Vec<String> = Vec::new();
    for (attr, bin) in attrs
        .into_iter()
        .map(|a| (a, false))
        .chain(bins.into_iter().map(|a| (a, true)))
    {
        let Some(dir) = place(cx, kobj, group_name.as_deref())? else {
            return Ok(-ENOENT);
        };
        let name_at = cx.r64(attr)?;
        let name = cx.text(name_at)?;
        let kind = if bin {
            Kind::Bin(kobj, attr)
        } else {
            Kind::File(kobj, attr)
        };
        let error = add(cx, dir, &name, kind, None)?;
        if error != 0 {
            for name in made {
                remove_name(cx, kobj, group_name.as_deref(), &name)?;
            }
            if let Some(name) = group_name {
                remove_name(cx, kobj, None, &name)?;
            }
            return Ok(error);
        }
        made.push(name);
    }
    if tell {
        let detail = format!(
            "{}/{}",
            path(cx, dir),
            group_name.clone().unwrap_or_else(|| made.join(","))
        );
        // The entry that carries the group goes with the directory or with its first file.
        let carrier = match (&group_name, made.first()) {
            (Some(name), _) | (None, Some(name)) => cx.sysfs.nodes[dir].children.get(name).copied(),
            _ => None,
        };
        if let Some(node) = carrier {
            cx.sysfs.nodes[node].told = Some(("sysfs group", group));
            trace::acquired(cx, "sysfs group", group, &detail);
        }
    }
    Ok(0)
}

/// sysfs_remove_group.
pub fn remove_group(cx: &mut Cx, kobj: u64, group: u64) -> R<()> {
    let name_at = cx.r64(group)?;
    if name_at != 0 {
        let name = cx.text(name_at)?;
        if !remove_name(cx, kobj, None, &name)? {
            let label = kobject::name(cx, kobj)?;
            crate::traps::warn(
                cx,
                &format!("sysfs group '{name}' not found for kobject '{label}'\n"),
                "sysfs_remove_group",
            )?;
        }
        return Ok(());
    }
    for list in [24, 32] {
        let list = cx.r64(group + list)?;
        if list == 0 {
            continue;
        }
        for index in 0..1024u64 {
            let attr = cx.r64(list + index * 8)?;
            if attr == 0 {
                break;
            }
            let name_at = cx.r64(attr)?;
            let name = cx.text(name_at)?;
            remove_name(cx, kobj, None, &name)?;
        }
    }
    Ok(())
}

/// The groups of a NULL-terminated array; NULL is none.
fn group_list(cx: &Cx, groups: u64) -> R<Vec<u64>> {
    let mut out = Vec::new();
    if groups != 0 {
        for index in 0..256u64 {
            match cx.r64(groups + index * 8)? {
                0 => break,
                group => out.push(group),
            }
        }
    }
    Ok(out)
}

/// sysfs_create_groups.
pub fn create_groups(cx: &mut Cx, kobj: u64, groups: u64, tell: bool) -> R<i32> {
    let list = group_list(cx, groups)?;
    for (index, &group) in list.iter().enumerate() {
        let error = create_group(cx, kobj, group, tell)?;
        if error != 0 {
            for &group in list[..index].iter().rev() {
                remove_group(cx, kobj, group)?;
            }
            return Ok(error);
        }
    }
    Ok(0)
}

/// sysfs_remove_groups.
pub fn remove_groups(cx: &mut Cx, kobj: u64, groups: u64) -> R<()> {
    for group in group_list(cx, groups)? {
        remove_group(cx, kobj, group)?;
    }
    Ok(())
}

/// `kobj_sysfs_ops`: show and store of struct kobj_attribute.
pub fn kobj_sysfs_ops(cx: &mut Cx) -> R<u64> {
    if cx.sysfs.ops == 0 {
        cx.sysfs.ops = ops_of(cx, "__lkm_kobj_attr_show", "__lkm_kobj_attr_store")?;
    }
    Ok(cx.sysfs.ops)
}

/// A struct sysfs_ops of two kernel functions.
pub fn ops_of(cx: &mut Cx, show: &'static str, store: &'static str) -> R<u64> {
    let at = crate::data::alloc(cx, 16, 8)?;
    let (show, store) = (
        crate::symbols::address(cx, show),
        crate::symbols::address(cx, store),
    );
    cx.w64(at, show)?;
    cx.w64(at + 8, store)?;
    Ok(at)
}

/// The node that a path below /sys names; links are followed.
pub fn find(cx: &mut Cx, path: &str) -> Option<usize> {
    let mut at = root(cx);
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let mut next = *cx.sysfs.nodes[at].children.get(part)?;
        for _ in 0..8 {
            match cx.sysfs.nodes[next].kind {
                Kind::Link(to) => next = to,
                _ => break,
            }
        }
        at = next;
    }
    Some(at)
}

/// The names in a directory below /sys, sorted; None when it is none.
pub fn names(cx: &mut Cx, path: &str) -> Option<Vec<String>> {
    let node = find(cx, path)?;
    let node = &cx.sysfs.nodes[node];
    matches!(node.kind, Kind::Dir(_)).then(|| node.children.keys().cloned().collect())
}

/// Opens an attribute by its path.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(below) = path.strip_prefix("/sys/") else {
        return Ok(None);
    };
    let Some(node) = find(cx, below) else {
        return Ok(None);
    };
    let attr = match cx.sysfs.nodes[node].kind {
        Kind::File(_, attr) | Kind::Bin(_, attr) => attr,
        _ => return Ok(Some(Err(i64::from(-EISDIR)))),
    };
    let mode = u32::from(cx.r16(attr + 8)?);
    let new = NewFile {
        what: path,
        mode: S_IFREG | mode,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&ATTR),
        data: node as u64,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    Ok(Some(Ok(file)))
}

/// The methods of an attribute, as (object, attribute, method address, binary).
fn method(cx: &Cx, file: u64, store: bool) -> R<Result<(u64, u64, u64, bool), i64>> {
    let node = files::info(cx, file).map_or(0, |o| o.data as usize);
    let Some(node) = cx.sysfs.nodes.get(node).filter(|n| n.live) else {
        return Ok(Err(i64::from(-ENODEV)));
    };
    match node.kind {
        Kind::File(kobj, attr) => {
            let ktype = cx.r64(kobj + cx.off.kobject_ktype)?;
            let ops = if ktype == 0 {
                0
            } else {
                cx.r64(ktype + cx.off.ktype_sysfs_ops)?
            };
            let method = if ops == 0 {
                0
            } else {
                cx.r64(ops + if store { 8 } else { 0 })?
            };
            Ok(Ok((kobj, attr, method, false)))
        }
        Kind::Bin(kobj, attr) => {
            // struct bin_attribute ends with read, write, mmap: 6.1 has them at 40, 48, 56.
            let method = cx.r64(attr + if store { 48 } else { 40 })?;
            Ok(Ok((kobj, attr, method, true)))
        }
        _ => Ok(Err(i64::from(-EISDIR))),
    }
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let (kobj, attr, method, bin) = match method(cx, file, false)? {
        Ok(found) => found,
        Err(errno) => return Ok(errno),
    };
    if method == 0 {
        return Ok(i64::from(-EIO));
    }
    let page = mm::kalloc(cx, PAGE)?;
    let at = file + cx.off.file_f_pos;
    let pos = cx.r64(at)?;
    let answer = if bin {
        let count = len.min(PAGE);
        let got = cx.call_guest(method, &[file, kobj, attr, page, pos, count]) as i64;
        if got > 0 {
            let left = uaccess::to_user(cx, buf, page, (got as u64).min(count))?;
            cx.w64(at, pos + got as u64 - left)?;
        }
        got
    } else {
        let mut got = cx.call_guest(method, &[kobj, attr, page]) as i64;
        if got >= PAGE as i64 {
            let name = crate::module::kallsyms::describe(cx, method);
            printk::log(
                cx,
                4,
                &format!("fill_read_buffer: {name} returned bad count\n"),
            );
            got = PAGE as i64 - 1;
        }
        if got < 0 {
            got
        } else {
            let text = cx.bytes(page, got as u64)?;
            super::open::read_bytes(cx, file, &text, buf, len)?
        }
    };
    mm::kfree(cx, page);
    Ok(answer)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let (kobj, attr, method, bin) = match method(cx, file, true)? {
        Ok(found) => found,
        Err(errno) => return Ok(errno),
    };
    if method == 0 {
        return Ok(i64::from(-EIO));
    }
    let count = len.min(PAGE - 1);
    let Some(bytes) = uaccess::user_bytes(cx, buf, count)? else {
        return Ok(i64::from(-EFAULT));
    };
    let page = mm::kalloc(cx, PAGE)?;
    cx.write(page, &bytes)?;
    let answer = if bin {
        let pos = cx.r64(file + cx.off.file_f_pos)?;
        cx.call_guest(method, &[file, kobj, attr, page, pos, count]) as i64
    } else {
        cx.call_guest(method, &[kobj, attr, page, count]) as i64
    };
    mm::kfree(cx, page);
    Ok(answer)
}

/// `kobj_sysfs_ops` for modules.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name == "kobj_sysfs_ops" {
        return Ok(Some(kobj_sysfs_ops(cx)?));
    }
    Ok(None)
}
