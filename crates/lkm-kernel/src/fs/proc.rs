//! procfs entries (fs/proc/generic.c, inode.c, proc_net.c): a tree of entries with proc_ops, seq_file operations or a
//! show function. No module reference is taken by an open; removal ends what is open.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use super::open::Found;
use crate::abi::{Call, R, errno::*};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, trace};
use std::collections::BTreeMap;

const KIND: &str = "proc entry";

pub(crate) const ROWS: &[Row] = &[
    entry("proc_create", proc_create),
    entry("proc_create_data", proc_create_data),
    entry("proc_create_seq_private", proc_create_seq),
    entry("proc_create_single_data", proc_create_single),
    entry("proc_create_net_data", proc_create_seq),
    entry("proc_create_net_single", proc_create_single),
    entry("proc_create_mount_point", proc_mkdir_one),
    entry("proc_mkdir", proc_mkdir),
    entry("proc_mkdir_mode", proc_mkdir_mode),
    entry("proc_mkdir_data", proc_mkdir_data),
    entry("_proc_mkdir", proc_mkdir_data),
    entry("proc_net_mkdir", proc_net_mkdir),
    entry("proc_symlink", proc_symlink),
    behaves("proc_remove", proc_remove).sleeps(),
    behaves("remove_proc_entry", remove_proc_entry).sleeps(),
    behaves("remove_proc_subtree", remove_proc_subtree).sleeps(),
    behaves("proc_set_size", proc_set_size),
    behaves("proc_set_user", proc_set_size),
    behaves("PDE_DATA", pde_data),
    behaves("pde_data", pde_data),
    behaves("proc_get_parent_data", proc_get_parent_data),
];

const fn entry(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires(KIND, Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::Null)
        .sleeps()
}

/// What serves an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Dir,
    /// A struct proc_ops.
    Ops(u64),
    /// A struct seq_operations, and bytes of private state.
    Seq(u64, u64),
    /// A show function.
    Single(u64),
    Link,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    parent: u64,
    what: What,
    data: u64,
    mode: u32,
    children: BTreeMap<String, u64>,
    /// Files that are open on it.
    open: Vec<u64>,
}

/// Entries by the address that modules hold (a proc_dir_entry, opaque to them); 0 is the top.
#[derive(Default)]
pub struct State {
    entries: BTreeMap<u64, Entry>,
    net: u64,
}

static OPS: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: Some(ioctl),
    release: Some(release),
};

/// Directories and files that /proc has without modules.
const BUILT_IN: &[&str] = &[
    "net", "sys", "driver", "fs", "bus", "tty", "irq", "sysvipc", "acpi",
];

fn top(cx: &mut Cx) {
    if cx.proc.entries.is_empty() {
        cx.proc
            .entries
            .insert(0, new_entry("", 0, What::Dir, 0, 0o555));
    }
}

fn new_entry(name: &str, parent: u64, what: What, data: u64, mode: u32) -> Entry {
    Entry {
        name: name.to_owned(),
        parent,
        what,
        data,
        mode,
        children: BTreeMap::new(),
        open: Vec::new(),
    }
}

/// The parent and last part of a name like `driver/x`; built-in directories come into being here.
fn place(cx: &mut Cx, path: &str, parent: u64) -> R<Option<(u64, String)>> {
    top(cx);
    let mut at = parent;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return Ok(Some((at, part.to_owned())));
        }
        let found = cx
            .proc
            .entries
            .get(&at)
            .and_then(|e| e.children.get(part))
            .copied();
        at = match found {
            Some(next) => next,
            None if at == 0 && BUILT_IN.contains(&part) => built_in(cx, part)?,
            None => {
                crate::traps::warn(cx, &format!("name '{path}'\n"), "__xlate_proc_name")?;
                return Ok(None);
            }
        };
    }
    Ok(None)
}

fn built_in(cx: &mut Cx, name: &str) -> R<u64> {
    top(cx);
    if let Some(&at) = cx.proc.entries.get(&0).and_then(|e| e.children.get(name)) {
        return Ok(at);
    }
    let at = crate::data::alloc(cx, 192, 8)?;
    insert(cx, at, 0, name, What::Dir, 0, 0o555);
    Ok(at)
}

fn insert(cx: &mut Cx, at: u64, parent: u64, name: &str, what: What, data: u64, mode: u32) {
    cx.proc
        .entries
        .insert(at, new_entry(name, parent, what, data, mode));
    if let Some(parent) = cx.proc.entries.get_mut(&parent) {
        parent.children.insert(name.to_owned(), at);
    }
}

/// proc_register: the new entry's address, or 0.
fn create(cx: &mut Cx, name: u64, parent: u64, what: What, data: u64, mode: u64) -> R<u64> {
    let path = cx.text(name)?;
    if parent != 0 && !cx.proc.entries.contains_key(&parent) {
        // A directory that has been removed: the kernel reads freed memory.
        cx.r64(parent)?;
        return Ok(0);
    }
    let Some((parent, last)) = place(cx, &path, parent)? else {
        return Ok(0);
    };
    if last.is_empty() || last.len() >= 256 {
        crate::traps::warn(cx, &format!("name len {}\n", last.len()), "__proc_create")?;
        return Ok(0);
    }
    if parent == 0 && (last == "." || last == "..") {
        crate::traps::warn(cx, &format!("name '{last}'\n"), "__proc_create")?;
        return Ok(0);
    }
    let taken = cx
        .proc
        .entries
        .get(&parent)
        .is_some_and(|e| e.children.contains_key(&last))
        || parent == 0 && (BUILT_IN.contains(&last.as_str()) || last == "modules");
    if taken {
        let above = dir_name(cx, parent);
        crate::traps::warn(
            cx,
            &format!("proc_dir_entry '{above}/{last}' already registered\n"),
            "proc_register",
        )?;
        return Ok(0);
    }
    let at = mm::kalloc(cx, 192)?;
    let mode = match (mode & 0o7777, what) {
        (0, What::Dir) => 0o555,
        (0, _) => 0o444,
        (mode, _) => mode as u32,
    };
    insert(cx, at, parent, &last, what, data, mode);
    Ok(at)
}

fn dir_name(cx: &Cx, at: u64) -> String {
    match cx.proc.entries.get(&at) {
        Some(e) if at != 0 => e.name.clone(),
        _ => "/proc".into(),
    }
}

fn proc_create(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Ops(c.a[3]), 0, c.a[1])
}

fn proc_create_data(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Ops(c.a[3]), c.a[4], c.a[1])
}

/// (name, mode, parent, seq_ops, state_size, data).
fn proc_create_seq(cx: &mut Cx, c: &Call) -> R {
    let size = u64::from(c.a[4] as u32);
    create(cx, c.a[0], c.a[2], What::Seq(c.a[3], size), c.a[5], c.a[1])
}

/// (name, mode, parent, show, data).
fn proc_create_single(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Single(c.a[3]), c.a[4], c.a[1])
}

fn proc_mkdir_one(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], 0, What::Dir, 0, 0)
}

fn proc_mkdir(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[1], What::Dir, 0, 0)
}

fn proc_mkdir_mode(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Dir, 0, c.a[1])
}

fn proc_mkdir_data(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Dir, c.a[3], c.a[1])
}

/// (net, name, parent).
fn proc_net_mkdir(cx: &mut Cx, c: &Call) -> R {
    let parent = if c.a[2] == 0 { net_dir(cx)? } else { c.a[2] };
    create(cx, c.a[1], parent, What::Dir, 0, 0)
}

fn proc_symlink(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[1], What::Link, 0, 0o777)
}

/// /proc/net of the only network namespace.
pub fn net_dir(cx: &mut Cx) -> R<u64> {
    if cx.proc.net == 0 {
        cx.proc.net = built_in(cx, "net")?;
    }
    Ok(cx.proc.net)
}

/// Takes an entry out; files that are open on it are released now (proc_entry_rundown).
fn drop_entry(cx: &mut Cx, at: u64) -> R<()> {
    let Some(entry) = cx.proc.entries.remove(&at) else {
        return Ok(());
    };
    if let Some(parent) = cx.proc.entries.get_mut(&entry.parent)
        && parent.children.get(&entry.name) == Some(&at)
    {
        parent.children.remove(&entry.name);
    }
    for file in entry.open {
        run_release(cx, file, entry.what)?;
    }
    trace::released(cx, KIND, at);
    mm::kfree(cx, at);
    Ok(())
}

fn drop_tree(cx: &mut Cx, at: u64) -> R<()> {
    let mut order = vec![at];
    let mut next = 0;
    while next < order.len() {
        if let Some(entry) = cx.proc.entries.get(&order[next]) {
            order.extend(entry.children.values());
        }
        next += 1;
    }
    for at in order.into_iter().rev() {
        drop_entry(cx, at)?;
    }
    Ok(())
}

fn proc_remove(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        if cx.proc.entries.contains_key(&c.a[0]) {
            drop_tree(cx, c.a[0])?;
        } else {
            // Removed before: its memory is read.
            cx.r64(c.a[0])?;
        }
    }
    Ok(0)
}

fn find_for_removal(cx: &mut Cx, c: &Call) -> R<Option<u64>> {
    let path = cx.text(c.a[0])?;
    if c.a[1] != 0 && !cx.proc.entries.contains_key(&c.a[1]) {
        cx.r64(c.a[1])?;
        return Ok(None);
    }
    let Some((parent, last)) = place(cx, &path, c.a[1])? else {
        return Ok(None);
    };
    let found = cx
        .proc
        .entries
        .get(&parent)
        .and_then(|e| e.children.get(&last))
        .copied();
    if found.is_none() {
        crate::traps::warn(cx, &format!("name '{path}'\n"), "remove_proc_entry")?;
        trace::misuse(
            cx,
            "release-unheld",
            &format!("/proc entry {path}"),
            0,
            "remove_proc_entry",
        );
    }
    Ok(found)
}

fn remove_proc_entry(cx: &mut Cx, c: &Call) -> R {
    if let Some(at) = find_for_removal(cx, c)? {
        let entry = cx.proc.entries.get(&at).cloned();
        if let Some(entry) = entry
            && let Some(first) = entry.children.keys().next()
        {
            // The directory goes and what is in it is leaked.
            let text = format!(
                "remove_proc_entry: removing non-empty directory '{}/{}', leaking at least '{first}'\n",
                dir_name(cx, entry.parent),
                entry.name
            );
            crate::traps::warn(cx, &text, "remove_proc_entry")?;
        }
        drop_entry(cx, at)?;
    }
    Ok(0)
}

fn remove_proc_subtree(cx: &mut Cx, c: &Call) -> R {
    if let Some(at) = find_for_removal(cx, c)? {
        drop_tree(cx, at)?;
    }
    Ok(0)
}

fn proc_set_size(cx: &mut Cx, c: &Call) -> R {
    cx.r64(c.a[0])?;
    Ok(0)
}

fn pde_data(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.r64(c.a[0] + cx.off.inode_i_private)?)
}

fn proc_get_parent_data(cx: &mut Cx, c: &Call) -> R {
    let private = cx.r64(c.a[0] + cx.off.inode_i_private)?;
    let parent = cx
        .proc
        .entries
        .values()
        .find(|e| e.data == private)
        .map(|e| e.parent);
    Ok(parent
        .and_then(|p| cx.proc.entries.get(&p))
        .map_or(0, |e| e.data))
}

/// Opens a path below /proc that a module made.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(below) = path.strip_prefix("/proc/") else {
        return Ok(None);
    };
    top(cx);
    let mut at = 0;
    for part in below.split('/').filter(|p| !p.is_empty()) {
        match cx.proc.entries.get(&at).and_then(|e| e.children.get(part)) {
            Some(&next) => at = next,
            None => return Ok(None),
        }
    }
    let Some(entry) = cx.proc.entries.get(&at).cloned() else {
        return Ok(None);
    };
    if matches!(entry.what, What::Dir | What::Link) {
        return Ok(Some(Err(i64::from(-EISDIR))));
    }
    let new = NewFile {
        what: path,
        mode: S_IFREG | entry.mode,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&OPS),
        data: at,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    cx.w64(inode + cx.off.inode_i_private, entry.data)?;
    let answer = match entry.what {
        What::Ops(ops) => {
            let open = cx.r64(ops + cx.off.proc_open)?;
            if open == 0 {
                0
            } else {
                i64::from(cx.call_guest(open, &[inode, file]) as i32)
            }
        }
        What::Seq(ops, size) => super::seq_file::open_seq(cx, file, ops, size)?,
        What::Single(show) => super::seq_file::open_single(cx, file, show, entry.data)?,
        What::Dir | What::Link => 0,
    };
    if answer != 0 {
        files::abandon(cx, file)?;
        return Ok(Some(Err(answer)));
    }
    if let Some(entry) = cx.proc.entries.get_mut(&at) {
        entry.open.push(file);
    }
    Ok(Some(Ok(file)))
}

/// What serves an open file, or None when the entry has gone.
fn live(cx: &Cx, file: u64) -> Option<What> {
    let at = files::info(cx, file)?.data;
    let entry = cx.proc.entries.get(&at)?;
    entry.open.contains(&file).then_some(entry.what)
}

/// Whether a file is read or written by a method of its maker's, which takes user memory only.
pub(crate) fn has_own(cx: &Cx, file: u64, write: bool) -> R<bool> {
    match live(cx, file) {
        Some(What::Ops(ops)) => {
            let member = if write {
                cx.off.proc_write
            } else {
                cx.off.proc_read
            };
            Ok(cx.r64(ops + member)? != 0)
        }
        _ => Ok(false),
    }
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let pos = file + cx.off.file_f_pos;
    match live(cx, file) {
        None => Ok(i64::from(-EIO)),
        Some(What::Ops(ops)) => {
            let read = cx.r64(ops + cx.off.proc_read)?;
            if read == 0 {
                return Ok(i64::from(-EIO));
            }
            Ok(cx.call_guest(read, &[file, buf, len, pos]) as i64)
        }
        Some(_) => super::seq_file::read(cx, file, buf, len, pos),
    }
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let pos = file + cx.off.file_f_pos;
    match live(cx, file) {
        Some(What::Ops(ops)) => {
            let write = cx.r64(ops + cx.off.proc_write)?;
            if write == 0 {
                return Ok(i64::from(-EIO));
            }
            Ok(cx.call_guest(write, &[file, buf, len, pos]) as i64)
        }
        _ => Ok(i64::from(-EIO)),
    }
}

fn ioctl(cx: &mut Cx, file: u64, cmd: u64, arg: u64) -> R<i64> {
    if let Some(What::Ops(ops)) = live(cx, file) {
        let ioctl = cx.r64(ops + cx.off.proc_ioctl)?;
        if ioctl != 0 {
            return Ok(cx.call_guest(ioctl, &[file, cmd, arg]) as i64);
        }
    }
    Ok(i64::from(-ENOTTY))
}

fn run_release(cx: &mut Cx, file: u64, what: What) -> R<()> {
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    match what {
        What::Ops(ops) => {
            let release = cx.r64(ops + cx.off.proc_release)?;
            if release != 0 {
                cx.call_guest(release, &[inode, file]);
            }
            Ok(())
        }
        _ => super::seq_file::release(cx, file),
    }
}

fn release(cx: &mut Cx, file: u64) -> R<()> {
    let Some(what) = live(cx, file) else {
        return Ok(());
    };
    let at = files::info(cx, file).map_or(0, |o| o.data);
    if let Some(entry) = cx.proc.entries.get_mut(&at) {
        entry.open.retain(|&f| f != file);
    }
    run_release(cx, file, what)
}

/// The names in a directory below /proc that modules made, sorted.
pub fn names(cx: &mut Cx, path: &str) -> Option<Vec<String>> {
    top(cx);
    let mut at = 0;
    for part in path.split('/').filter(|p| !p.is_empty()) {
        at = *cx.proc.entries.get(&at)?.children.get(part)?;
    }
    Some(cx.proc.entries.get(&at)?.children.keys().cloned().collect())
}
