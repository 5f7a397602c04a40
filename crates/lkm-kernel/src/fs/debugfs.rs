//! debugfs (fs/debugfs): directories, files with the module's own operations, and numbers that the kernel prints.
//! A removal takes everything below along.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use super::open::Found;
use crate::abi::{Call, R, errno::*, is_err, neg};
use crate::mm::uaccess;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, printk, trace};
use std::collections::BTreeMap;

const KIND: &str = "debugfs";

pub(crate) const ROWS: &[Row] = &[
    entry("debugfs_create_dir", create_dir),
    entry("debugfs_create_file", create_file),
    entry("debugfs_create_file_unsafe", create_file),
    entry("debugfs_create_automount", create_dir),
    entry("debugfs_create_symlink", create_symlink),
    entry("debugfs_create_blob", create_blob),
    behaves("debugfs_create_file_size", create_file_size).sleeps(),
    behaves("debugfs_create_u8", create_u8).sleeps(),
    behaves("debugfs_create_u16", create_u16).sleeps(),
    behaves("debugfs_create_u32", create_u32).sleeps(),
    behaves("debugfs_create_u64", create_u64).sleeps(),
    behaves("debugfs_create_ulong", create_u64).sleeps(),
    behaves("debugfs_create_size_t", create_u64).sleeps(),
    behaves("debugfs_create_x8", create_x8).sleeps(),
    behaves("debugfs_create_x16", create_x16).sleeps(),
    behaves("debugfs_create_x32", create_x32).sleeps(),
    behaves("debugfs_create_x64", create_x64).sleeps(),
    behaves("debugfs_create_atomic_t", create_atomic).sleeps(),
    behaves("debugfs_create_bool", create_bool).sleeps(),
    behaves("debugfs_create_str", create_str).sleeps(),
    behaves("debugfs_create_u32_array", create_quiet).sleeps(),
    behaves("debugfs_create_regset32", create_quiet).sleeps(),
    behaves("debugfs_create_devm_seqfile", create_quiet).sleeps(),
    behaves("debugfs_remove", remove).sleeps(),
    behaves("debugfs_lookup", lookup).sleeps(),
    behaves("debugfs_lookup_and_remove", lookup_and_remove).sleeps(),
    behaves("debugfs_initialized", initialized),
    behaves("debugfs_file_get", file_get),
    behaves("debugfs_file_put", file_get),
    behaves("dput", dput).sleeps(),
    behaves("dget_parent", dget_parent),
];

const fn entry(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires(KIND, Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps()
}

/// What a number looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Hex,
    Signed,
    Bool,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Dir,
    /// The module's file_operations.
    Fops(u64),
    /// A variable of some bytes.
    Number(u64, u8, Form),
    /// A pointer to a text.
    Str(u64),
    Other,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    parent: u64,
    what: What,
    data: u64,
    mode: u32,
    children: BTreeMap<String, u64>,
    /// Whether a row's event told of it.
    told: bool,
}

/// Entries by their dentry's address; 0 is the top.
#[derive(Default)]
pub struct State {
    entries: BTreeMap<u64, Entry>,
}

static OPS: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: None,
};

fn top(cx: &mut Cx) {
    if cx.debugfs.entries.is_empty() {
        let top = Entry {
            name: String::new(),
            parent: 0,
            what: What::Dir,
            data: 0,
            mode: 0o700,
            children: BTreeMap::new(),
            told: false,
        };
        cx.debugfs.entries.insert(0, top);
    }
}

/// The names in a directory of debugfs, sorted.
pub(crate) fn names(cx: &mut Cx, path: &str) -> Option<Vec<String>> {
    top(cx);
    let mut at = 0;
    for part in path.split('/').filter(|p| !p.is_empty()) {
        at = *cx.debugfs.entries.get(&at)?.children.get(part)?;
    }
    let entry = cx.debugfs.entries.get(&at)?;
    matches!(entry.what, What::Dir).then(|| entry.children.keys().cloned().collect())
}

/// start_creating: the new dentry or an error pointer.
fn create(cx: &mut Cx, name: u64, parent: u64, what: What, data: u64, mode: u64, told: bool) -> R {
    top(cx);
    if is_err(parent) {
        return Ok(parent);
    }
    let label = cx.text(name)?;
    let Some(above) = cx.debugfs.entries.get(&parent) else {
        // A directory that has been removed: its dentry is read.
        cx.r64(parent)?;
        return Ok(neg(ENOENT));
    };
    if above.children.contains_key(&label) {
        let dir = if parent == 0 {
            "/".to_owned()
        } else {
            above.name.clone()
        };
        let text = if matches!(what, What::Dir) {
            format!("debugfs: Directory '{label}' with parent '{dir}' already present!\n")
        } else {
            format!("debugfs: File '{label}' in directory '{dir}' already present!\n")
        };
        printk::log(cx, 3, &text);
        return Ok(neg(EEXIST));
    }
    let size = cx.off.dentry_size;
    let dentry = mm::kalloc(cx, size)?;
    let inode = files::new_inode(cx, S_IFREG | mode as u32 & 0o777, 0)?;
    cx.w64(inode + cx.off.inode_i_private, data)?;
    cx.w64(dentry + cx.off.dentry_d_inode, inode)?;
    let text = mm::kstrdup(cx, label.as_bytes())?;
    cx.w32(dentry + cx.off.dentry_d_name + 4, label.len() as u32)?;
    cx.w64(dentry + cx.off.dentry_d_name + 8, text)?;
    cx.debugfs.entries.insert(
        dentry,
        Entry {
            name: label.clone(),
            parent,
            what,
            data,
            mode: mode as u32 & 0o777,
            children: BTreeMap::new(),
            told,
        },
    );
    if let Some(above) = cx.debugfs.entries.get_mut(&parent) {
        above.children.insert(label, dentry);
    }
    Ok(dentry)
}

fn create_dir(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[1], What::Dir, 0, 0o755, true)
}

/// (name, mode, parent, data, fops).
fn create_file(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Fops(c.a[4]), c.a[3], c.a[1], true)
}

fn create_file_size(cx: &mut Cx, c: &Call) -> R {
    let dentry = create(
        cx,
        c.a[0],
        c.a[2],
        What::Fops(c.a[4]),
        c.a[3],
        c.a[1],
        false,
    )?;
    quiet(cx, c, dentry)
}

fn create_symlink(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[1], What::Other, 0, 0o777, true)
}

/// (name, mode, parent, blob).
fn create_blob(cx: &mut Cx, c: &Call) -> R {
    create(cx, c.a[0], c.a[2], What::Other, c.a[3], c.a[1], true)
}

/// A creator that returns nothing: its entry is told with its dentry as the key.
fn quiet(cx: &mut Cx, c: &Call, dentry: u64) -> R {
    if !is_err(dentry) {
        if let Some(entry) = cx.debugfs.entries.get_mut(&dentry) {
            entry.told = true;
        }
        let label = cx.text(c.a[0])?;
        trace::acquired(cx, KIND, dentry, &label);
    }
    Ok(0)
}

fn number(cx: &mut Cx, c: &Call, size: u8, form: Form) -> R {
    let what = What::Number(c.a[3], size, form);
    let dentry = create(cx, c.a[0], c.a[2], what, c.a[3], c.a[1], false)?;
    quiet(cx, c, dentry)
}

fn create_u8(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 1, Form::Decimal)
}
fn create_u16(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 2, Form::Decimal)
}
fn create_u32(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 4, Form::Decimal)
}
fn create_u64(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 8, Form::Decimal)
}
fn create_x8(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 1, Form::Hex)
}
fn create_x16(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 2, Form::Hex)
}
fn create_x32(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 4, Form::Hex)
}
fn create_x64(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 8, Form::Hex)
}
fn create_atomic(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 4, Form::Signed)
}
fn create_bool(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, 1, Form::Bool)
}

fn create_str(cx: &mut Cx, c: &Call) -> R {
    let dentry = create(cx, c.a[0], c.a[2], What::Str(c.a[3]), c.a[3], c.a[1], false)?;
    quiet(cx, c, dentry)
}

fn create_quiet(cx: &mut Cx, c: &Call) -> R {
    // debugfs_create_devm_seqfile has the device first: (dev, name, parent, show).
    let devm = trace::function(cx) == "debugfs_create_devm_seqfile";
    let (name, mode) = if devm {
        (c.a[1], 0o444)
    } else {
        (c.a[0], c.a[1])
    };
    let dentry = create(cx, name, c.a[2], What::Other, c.a[3], mode, false)?;
    let call = Call::internal([name, 0, 0, 0, 0, 0]);
    quiet(cx, &call, dentry)
}

/// Removes an entry and all below it, the deepest first. A loop and no recursion: how deep a tree is, a module decides.
fn drop_entry(cx: &mut Cx, dentry: u64) -> R<()> {
    let mut order = vec![dentry];
    let mut next = 0;
    while let Some(at) = order.get(next) {
        if let Some(entry) = cx.debugfs.entries.get(at) {
            order.extend(entry.children.values());
        }
        next += 1;
    }
    for dentry in order.into_iter().rev() {
        drop_one(cx, dentry)?;
    }
    Ok(())
}

fn drop_one(cx: &mut Cx, dentry: u64) -> R<()> {
    let Some(entry) = cx.debugfs.entries.remove(&dentry) else {
        return Ok(());
    };
    if let Some(above) = cx.debugfs.entries.get_mut(&entry.parent)
        && above.children.get(&entry.name) == Some(&dentry)
    {
        above.children.remove(&entry.name);
    }
    if entry.told {
        trace::released(cx, KIND, dentry);
    }
    let inode = cx.r64(dentry + cx.off.dentry_d_inode)?;
    let name = cx.r64(dentry + cx.off.dentry_d_name + 8)?;
    mm::kfree(cx, inode);
    mm::kfree(cx, name);
    mm::kfree(cx, dentry);
    Ok(())
}

fn remove(cx: &mut Cx, c: &Call) -> R {
    let dentry = c.a[0];
    if dentry == 0 || is_err(dentry) {
        return Ok(0);
    }
    if !cx.debugfs.entries.contains_key(&dentry) {
        // Removed before: its memory is read.
        cx.r64(dentry)?;
        return Ok(0);
    }
    drop_entry(cx, dentry)?;
    Ok(0)
}

fn find(cx: &mut Cx, name: u64, parent: u64) -> R<Option<u64>> {
    top(cx);
    let label = cx.text(name)?;
    Ok(cx
        .debugfs
        .entries
        .get(&parent)
        .and_then(|e| e.children.get(&label))
        .copied())
}

fn lookup(cx: &mut Cx, c: &Call) -> R {
    Ok(find(cx, c.a[0], c.a[1])?.unwrap_or(0))
}

fn lookup_and_remove(cx: &mut Cx, c: &Call) -> R {
    if let Some(dentry) = find(cx, c.a[0], c.a[1])? {
        drop_entry(cx, dentry)?;
    }
    Ok(0)
}

fn initialized(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

/// References on dentries: those here live as long as their entry, whoever holds them.
fn dput(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        cx.r32(c.a[0])?;
    }
    Ok(0)
}

fn dget_parent(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.debugfs.entries.get(&c.a[0]).map_or(0, |e| e.parent))
}

fn file_get(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// Opens a path below /sys/kernel/debug.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(below) = path.strip_prefix("/sys/kernel/debug/") else {
        return Ok(None);
    };
    top(cx);
    let mut at = 0;
    for part in below.split('/').filter(|p| !p.is_empty()) {
        match cx
            .debugfs
            .entries
            .get(&at)
            .and_then(|e| e.children.get(part))
        {
            Some(&next) => at = next,
            None => return Ok(Some(Err(i64::from(-ENOENT)))),
        }
    }
    let Some(entry) = cx.debugfs.entries.get(&at).cloned() else {
        return Ok(Some(Err(i64::from(-ENOENT))));
    };
    let (backing, fops) = match entry.what {
        What::Dir => return Ok(Some(Err(i64::from(-EISDIR)))),
        What::Fops(fops) => (Backing::Guest, fops),
        _ => (Backing::Kernel(&OPS), 0),
    };
    let new = NewFile {
        what: path,
        mode: S_IFREG | entry.mode,
        rdev: 0,
        f_op: 0,
        flags,
        backing,
        data: at,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    cx.w64(inode + cx.off.inode_i_private, entry.data)?;
    if fops != 0 {
        if !files::take_fops(cx, file, fops)? {
            files::abandon(cx, file)?;
            return Ok(Some(Err(i64::from(-ENXIO))));
        }
        let open = cx.r64(fops + cx.off.fops_open)?;
        if open != 0 {
            let answer = i64::from(cx.call_guest(open, &[inode, file]) as i32);
            if answer != 0 {
                files::abandon(cx, file)?;
                return Ok(Some(Err(answer)));
            }
        }
        crate::module::owner::check_fops(cx, path, fops, 0, "debugfs_create_file")?;
    }
    Ok(Some(Ok(file)))
}

fn what_of(cx: &Cx, file: u64) -> Option<What> {
    let at = files::info(cx, file)?.data;
    cx.debugfs.entries.get(&at).map(|e| e.what)
}

fn value(cx: &Cx, at: u64, size: u8) -> R<u64> {
    Ok(match size {
        1 => u64::from(cx.r8(at)?),
        2 => u64::from(cx.r16(at)?),
        4 => u64::from(cx.r32(at)?),
        _ => cx.r64(at)?,
    })
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let text = match what_of(cx, file) {
        None => return Ok(i64::from(-EIO)),
        Some(What::Number(at, size, form)) => {
            let v = value(cx, at, size)?;
            let width = usize::from(size) * 2;
            match form {
                Form::Decimal => format!("{v}\n"),
                Form::Hex => format!("0x{v:0width$x}\n"),
                Form::Signed => format!("{}\n", v as i32),
                Form::Bool => format!("{}\n", if v != 0 { 'Y' } else { 'N' }),
            }
        }
        Some(What::Str(at)) => match cx.r64(at)? {
            0 => "\n".to_owned(),
            text => format!("{}\n", cx.text(text)?),
        },
        Some(_) => String::new(),
    };
    super::open::read_bytes(cx, file, text.as_bytes(), buf, len)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let Some(What::Number(at, size, form)) = what_of(cx, file) else {
        return Ok(i64::from(-EINVAL));
    };
    let Some(bytes) = uaccess::user_bytes(cx, buf, len.min(64))? else {
        return Ok(i64::from(-EFAULT));
    };
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let parsed = if form == Form::Bool {
        match text.bytes().next() {
            Some(b'y' | b'Y' | b'1' | b't' | b'T') => Some(1),
            Some(b'n' | b'N' | b'0' | b'f' | b'F') => Some(0),
            _ => None,
        }
    } else if let Some(hex) = text.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else {
        text.parse::<i64>()
            .map(|v| v as u64)
            .or_else(|_| text.parse::<u64>())
            .ok()
    };
    let Some(v) = parsed else {
        return Ok(i64::from(-EINVAL));
    };
    match size {
        1 => cx.w8(at, v as u8)?,
        2 => cx.w16(at, v as u16)?,
        4 => cx.w32(at, v as u32)?,
        _ => cx.w64(at, v)?,
    }
    Ok(len as i64)
}
