//! open(2) (fs/open.c, fs/namei.c as far as it goes): which object a path names, and the open of it. Device nodes,
//! proc, sysfs and debugfs are what modules made; everything else is a small file system in memory.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use crate::abi::{R, errno::*};
use crate::mm::uaccess;
use crate::sched::Tid;
use crate::{Cx, module};
use std::collections::BTreeMap;

/// O_CREAT.
pub const O_CREAT: u32 = 0o100;
/// O_TRUNC.
pub const O_TRUNC: u32 = 0o1000;
/// O_APPEND.
pub const O_APPEND: u32 = 0o2000;

/// Files in memory: path to contents.
#[derive(Default)]
pub struct State {
    files: BTreeMap<String, Vec<u8>>,
    texts: BTreeMap<u64, Vec<u8>>,
    /// The file that a task's system call is about, where the count is the lab's only.
    pub(super) in_call: BTreeMap<Tid, u64>,
}

/// Most bytes of a file in memory.
const MAX_FILE: u64 = 64 << 20;

/// A file system's answer for a path: not mine, the open file, or a negative errno.
pub type Found = Option<Result<u64, i64>>;

/// Opens a path for kernel code: the file, in no table, or a negative errno.
pub fn open_file(cx: &mut Cx, path: &str, flags: u32) -> R<Result<u64, i64>> {
    let resolvers: [fn(&mut Cx, &str, u32) -> R<Found>; 10] = [
        super::kernel_sysctl::open_path,
        super::chrdev::open_path,
        super::sysctl::open_path,
        super::proc::open_path,
        super::debugfs::open_path,
        super::sysfs::open_path,
        super::superblock::open_path,
        module_text,
        module::files::open_path,
        memory,
    ];
    for resolve in resolvers {
        if let Some(answer) = resolve(cx, path, flags)? {
            return Ok(answer);
        }
    }
    Ok(Err(i64::from(-ENOENT)))
}

/// open(2) of the running process `tid`: a descriptor, or a negative errno.
pub fn open_path(cx: &mut Cx, tid: Tid, path: &str, flags: u32) -> R<Result<u32, i64>> {
    if files::is_full(cx, tid) {
        return Ok(Err(i64::from(-EMFILE)));
    }
    let answer = match open_file(cx, path, flags)? {
        Ok(file) => Ok(files::install(cx, tid, file)),
        Err(errno) => Err(errno),
    };
    files::end_of_call(cx)?;
    Ok(answer)
}

/// What the kernel itself has in a directory.
const OWN: &[&str] = &[
    "/dev/console",
    "/dev/kmsg",
    "/dev/null",
    "/dev/zero",
    "/proc/devices",
    "/proc/kallsyms",
    "/proc/modules",
    "/proc/sys/kernel/tainted",
    "/sys/kernel/debug",
    "/sys/module",
];

/// The names in a directory, sorted; None when nothing makes the path one. /sys/module is the module subsystem's.
pub fn names(cx: &mut Cx, path: &str) -> Option<Vec<String>> {
    let path = path.trim_end_matches('/');
    let mut paths: Vec<String> = OWN.iter().map(|&p| p.to_owned()).collect();
    paths.extend(super::chrdev::paths(cx));
    paths.extend(super::sysctl::paths(cx));
    paths.extend(super::kernel_sysctl::paths());
    paths.extend(cx.open.files.keys().cloned());
    let mut names: Vec<String> = paths
        .iter()
        .filter_map(|p| p.strip_prefix(path)?.strip_prefix('/')?.split('/').next())
        .map(str::to_owned)
        .collect();
    let below = |top: &str| {
        path.strip_prefix(top)
            .filter(|r| r.is_empty() || r.starts_with('/'))
    };
    let more = if let Some(rest) = below("/sys/kernel/debug") {
        super::debugfs::names(cx, rest)
    } else if let Some(rest) = below("/sys") {
        super::sysfs::names(cx, rest)
    } else {
        below("/proc").and_then(|rest| super::proc::names(cx, rest))
    };
    if names.is_empty() && more.is_none() {
        return None;
    }
    names.extend(more.unwrap_or_default());
    names.sort();
    names.dedup();
    Some(names)
}

/// Puts a file into the lab's memory.
pub fn put_file(cx: &mut Cx, path: &str, contents: Vec<u8>) {
    cx.open.files.insert(path.to_owned(), contents);
}

static TEXT: KernelOps = KernelOps {
    read: Some(text_read),
    write: None,
    ioctl: None,
    release: Some(text_release),
};

/// An open file whose contents are a text made at open.
pub fn text_file(cx: &mut Cx, path: &str, flags: u32, text: Vec<u8>) -> R<u64> {
    let new = NewFile {
        what: path,
        mode: S_IFREG | 0o444,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&TEXT),
        data: 0,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    keep_text(cx, file, text);
    Ok(file)
}

/// What reading an open file gives from now on.
pub(crate) fn keep_text(cx: &mut Cx, file: u64, text: Vec<u8>) {
    cx.open.texts.insert(file, text);
}

/// Copies the part of `bytes` at a file's position to user memory and moves the position.
pub fn read_bytes(cx: &mut Cx, file: u64, bytes: &[u8], buf: u64, len: u64) -> R<i64> {
    let at = file + cx.off.file_f_pos;
    let pos = (cx.r64(at)? as usize).min(bytes.len());
    let count = (len as usize).min(bytes.len() - pos);
    if count == 0 {
        return Ok(0);
    }
    let left = uaccess::bytes_to_user(cx, buf, &bytes[pos..pos + count])?;
    if left == count as u64 {
        return Ok(i64::from(-EFAULT));
    }
    let done = count as u64 - left;
    cx.w64(at, pos as u64 + done)?;
    Ok(done as i64)
}

pub(crate) fn text_read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let text = cx.open.texts.get(&file).cloned().unwrap_or_default();
    read_bytes(cx, file, &text, buf, len)
}

pub(crate) fn text_release(cx: &mut Cx, file: u64) -> R<()> {
    cx.open.texts.remove(&file);
    Ok(())
}

/// /proc files of the kernel itself that scripts read.
fn module_text(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let text = match path {
        "/proc/modules" => module::show::proc_modules(cx, true)?,
        "/proc/devices" => super::chrdev::proc_devices(cx),
        _ => return Ok(None),
    };
    Ok(Some(Ok(text_file(cx, path, flags, text.into_bytes())?)))
}

static MEMORY: KernelOps = KernelOps {
    read: Some(memory_read),
    write: Some(memory_write),
    ioctl: None,
    release: None,
};

static NULL: KernelOps = KernelOps {
    read: Some(null_read),
    write: Some(null_write),
    ioctl: None,
    release: None,
};

static ZERO: KernelOps = KernelOps {
    read: Some(zero_read),
    write: Some(null_write),
    ioctl: None,
    release: None,
};

fn memory(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let ops: &'static KernelOps = match path {
        "/dev/null" | "/dev/console" | "/dev/kmsg" => &NULL,
        "/dev/zero" => &ZERO,
        _ => &MEMORY,
    };
    if std::ptr::eq(ops, &raw const MEMORY) {
        // Special file systems make no files by name.
        let special = ["/dev/", "/proc/", "/sys/"]
            .iter()
            .any(|p| path.starts_with(p));
        match cx.open.files.get_mut(path) {
            Some(contents) if flags & O_TRUNC != 0 => contents.clear(),
            Some(_) => {}
            None if flags & O_CREAT != 0 && !special => {
                cx.open.files.insert(path.to_owned(), Vec::new());
            }
            None => return Ok(None),
        }
    }
    let size = cx.open.files.get(path).map_or(0, |c| c.len() as u64);
    let new = NewFile {
        what: path,
        mode: S_IFREG | 0o644,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(ops),
        data: 0,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    cx.w64(inode + cx.off.inode_i_size, size)?;
    if flags & O_APPEND != 0 {
        cx.w64(file + cx.off.file_f_pos, size)?;
    }
    Ok(Some(Ok(file)))
}

fn path_of(cx: &Cx, file: u64) -> String {
    files::info(cx, file).map_or_else(String::new, |o| o.what.clone())
}

fn memory_read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let path = path_of(cx, file);
    let contents = cx.open.files.get(&path).cloned().unwrap_or_default();
    read_bytes(cx, file, &contents, buf, len)
}

fn memory_write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let path = path_of(cx, file);
    let at = file + cx.off.file_f_pos;
    let pos = cx.r64(at)?;
    if pos.saturating_add(len) > MAX_FILE {
        return Ok(i64::from(-EFBIG));
    }
    let Some(bytes) = uaccess::user_bytes(cx, buf, len)? else {
        return Ok(i64::from(-EFAULT));
    };
    let contents = cx.open.files.entry(path).or_default();
    let end = (pos + len) as usize;
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[pos as usize..end].copy_from_slice(&bytes);
    let size = contents.len() as u64;
    cx.w64(at, pos + len)?;
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    cx.w64(inode + cx.off.inode_i_size, size)?;
    Ok(len as i64)
}

fn null_read(_: &mut Cx, _: u64, _: u64, _: u64) -> R<i64> {
    Ok(0)
}

fn zero_read(cx: &mut Cx, _: u64, buf: u64, len: u64) -> R<i64> {
    if !uaccess::is_user(buf, len) {
        return Ok(i64::from(-EFAULT));
    }
    cx.fill(buf, 0, len)?;
    Ok(len as i64)
}

fn null_write(_: &mut Cx, _: u64, _: u64, len: u64) -> R<i64> {
    Ok(len as i64)
}
