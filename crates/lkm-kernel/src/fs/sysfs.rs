//! sysfs (fs/sysfs, fs/kernfs): a tree of directories of kobjects with attribute files, binary files and links,
//! reached by path. A directory takes everything in it along when it goes.

mod attr;
mod group;

pub use attr::{kobj_sysfs_ops, ops_of};
pub(crate) use attr::{open_path, variable};
pub use group::{create_group, create_groups, remove_group, remove_groups};

use crate::abi::{R, errno::*};
use crate::drivers::kobject;
use crate::hash::Map;
use crate::{Cx, printk, trace};
use std::collections::BTreeMap;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The directory of a kobject (0: the root), or of an attribute group.
    Dir(u64),
    /// An attribute of a kobject: object, attribute. Its type has the methods.
    File(u64, u64),
    /// An attribute that has its methods itself (class_attribute, bus_attribute, driver_attribute): what they are
    /// given first, the attribute, and whether they are given that, too.
    Own(u64, u64, bool),
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

/// Removes a node and all below it, the deepest first. A loop and no recursion: how deep a tree is, a module decides.
fn remove(cx: &mut Cx, node: usize) {
    if node == 0 || !cx.sysfs.nodes[node].live {
        return;
    }
    let mut order = vec![node];
    let mut next = 0;
    while let Some(&at) = order.get(next) {
        order.extend(cx.sysfs.nodes[at].children.values());
        next += 1;
    }
    for node in order.into_iter().rev() {
        remove_one(cx, node);
    }
}

fn remove_one(cx: &mut Cx, node: usize) {
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

/// An attribute of a class, bus or driver in a directory: `object` is what its methods are given, `passed` whether
/// they are given the attribute as well.
pub fn create_own(cx: &mut Cx, dir: usize, object: u64, attr: u64, passed: bool) -> R<i32> {
    let name_at = cx.r64(attr)?;
    let name = cx.text(name_at)?;
    let told = Some(("sysfs file", attr));
    add(cx, dir, &name, Kind::Own(object, attr, passed), told)
}

/// Removes it.
pub fn remove_own(cx: &mut Cx, dir: usize, attr: u64) -> R<()> {
    let name_at = cx.r64(attr)?;
    let name = cx.text(name_at)?;
    remove_in(cx, dir, &name);
    Ok(())
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
