//! What modules call about files: fget and fput, filp_open, kernel_read, the llseek family, simple_read_from_buffer
//! and their kin (fs/file.c, fs/open.c, fs/read_write.c, fs/libfs.c).

use super::files::{self, Backing};
use super::{open, ops};
use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::mm::uaccess;
use crate::sched;
use crate::table::{Fails, Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("fget", fget),
    behaves("fget_raw", fget),
    behaves("__fdget", fdget),
    behaves("__fdget_pos", fdget),
    behaves("fput", fput),
    behaves("close_fd", close_fd).sleeps(),
    behaves("sys_close", close_fd).sleeps(),
    behaves("get_unused_fd_flags", get_unused_fd_flags),
    behaves("put_unused_fd", put_unused_fd),
    behaves("fd_install", fd_install),
    behaves("filp_open", filp_open)
        .acquires("file", Key::Ret, When::Pointer)
        .named(0)
        .fails(Fails::ErrPtr(ENOENT))
        .sleeps(),
    behaves("filp_close", filp_close)
        .releases("file", Key::Arg(0))
        .sleeps(),
    behaves("kernel_read", kernel_read).sleeps(),
    behaves("kernel_write", kernel_write).sleeps(),
    behaves("__kernel_write", kernel_write).sleeps(),
    behaves("no_llseek", no_llseek),
    behaves("noop_llseek", noop_llseek),
    behaves("generic_file_llseek", default_llseek),
    behaves("default_llseek", default_llseek),
    behaves("fixed_size_llseek", fixed_size_llseek),
    behaves("no_seek_end_llseek", default_llseek),
    behaves("vfs_llseek", vfs_llseek),
    behaves("nonseekable_open", nonseekable_open),
    behaves("stream_open", stream_open),
    behaves("simple_open", simple_open),
    behaves("simple_read_from_buffer", simple_read_from_buffer).sleeps(),
    behaves("simple_write_to_buffer", simple_write_to_buffer).sleeps(),
    behaves("memory_read_from_buffer", memory_read_from_buffer),
    behaves("anon_inode_getfd", anon_inode_getfd).sleeps(),
    behaves("anon_inode_getfile", anon_inode_getfile).sleeps(),
    behaves("fasync_helper", zero),
    behaves("kill_fasync", zero),
];

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn fget(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    match files::lookup(cx, tid, c.a[0] as u32) {
        Some(file) => {
            files::get(cx, file)?;
            Ok(file)
        }
        None => Ok(0),
    }
}

/// The file with FDPUT_FPUT in bit 0: the caller's fdput puts it.
fn fdget(cx: &mut Cx, c: &Call) -> R {
    Ok(match fget(cx, c)? {
        0 => 0,
        file => file | 1,
    })
}

fn fput(cx: &mut Cx, c: &Call) -> R {
    files::put(cx, c.a[0])?;
    Ok(0)
}

fn close_fd(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    Ok(files::close(cx, tid, c.a[0] as u32)? as u64)
}

fn get_unused_fd_flags(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    Ok(u64::from(files::reserve(cx, tid)))
}

fn put_unused_fd(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    files::set_fd(cx, tid, c.a[0] as u32, 0);
    Ok(0)
}

fn fd_install(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    files::set_fd(cx, tid, c.a[0] as u32, c.a[1]);
    Ok(0)
}

fn filp_open(cx: &mut Cx, c: &Call) -> R {
    let path = cx.text(c.a[0])?;
    Ok(match open::open_file(cx, &path, c.a[1] as u32)? {
        Ok(file) => file,
        Err(errno) => errno as u64,
    })
}

fn filp_close(cx: &mut Cx, c: &Call) -> R {
    if cx.r64(c.a[0] + cx.off.file_f_count)? == 0 {
        crate::printk::log(cx, 3, "VFS: Close: file count is 0\n");
        return Ok(0);
    }
    Ok(files::close_file(cx, c.a[0])? as u64)
}

/// warn_unsupported: what has a method for user memory cannot be used from the kernel (Linux kernel commit 4d03e3cc5982
/// ("fs: don't allow kernel reads and writes without iter ops"), in v5.10).
fn unsupported(cx: &mut Cx, file: u64, write: bool) -> R<bool> {
    let Some(open) = files::info(cx, file) else {
        return Ok(false);
    };
    let (path, data) = (open.what.clone(), open.data);
    let own = match open.backing {
        files::Backing::Guest => {
            let member = if write {
                cx.off.fops_write
            } else {
                cx.off.fops_read
            };
            let fops = cx.r64(file + cx.off.file_f_op)?;
            fops != 0 && cx.r64(fops + member)? != 0
        }
        files::Backing::Kernel(_) => {
            path.starts_with("/proc/") && data != 0 && super::proc::has_own(cx, file, write)?
        }
    };
    if own && !cx.profile.old_oops {
        let below = path
            .trim_start_matches('/')
            .find('/')
            .map_or(path.as_str(), |at| &path[at + 1..]);
        let (pid, comm) = crate::sched::current(cx).map_or((0, String::new()), |tid| {
            let task = &cx.sched.tasks[tid as usize];
            (task.pid, task.comm.clone())
        });
        let what = if write { "write" } else { "read" };
        let text =
            format!("kernel {what} not supported for file {below} (pid: {pid} comm: {comm})\n");
        crate::printk::log(cx, 4, &text);
        return Ok(true);
    }
    Ok(false)
}

/// A read or write between kernel memory and a file, through user memory of the process: file operations
/// take user addresses.
fn kernel_rw(cx: &mut Cx, file: u64, buf: u64, len: u64, pos: u64, write: bool) -> R {
    let len = len.min(1 << 20);
    if unsupported(cx, file, write)? {
        return Ok(neg(EINVAL));
    }
    let Some(user) = uaccess::map_pages(cx, len) else {
        return Ok(neg(ENOMEM));
    };
    let at = file + cx.off.file_f_pos;
    let kept = cx.r64(at)?;
    if pos != 0 {
        let pos = cx.r64(pos)?;
        cx.w64(at, pos)?;
    }
    let answer = if write {
        cx.copy(user, buf, len)?;
        ops::write_file(cx, file, user, len)?
    } else {
        let got = ops::read_file(cx, file, user, len)?;
        if got > 0 {
            cx.copy(buf, user, (got as u64).min(len))?;
        }
        got
    };
    let new = cx.r64(at)?;
    if pos != 0 {
        cx.w64(pos, new)?;
        cx.w64(at, kept)?;
    }
    uaccess::unmap_pages(cx, user, len);
    Ok(answer as u64)
}

fn kernel_read(cx: &mut Cx, c: &Call) -> R {
    kernel_rw(cx, c.a[0], c.a[1], c.a[2], c.a[3], false)
}

fn kernel_write(cx: &mut Cx, c: &Call) -> R {
    kernel_rw(cx, c.a[0], c.a[1], c.a[2], c.a[3], true)
}

/// Moves a file's position within 0 to `max`.
pub(crate) fn seek(cx: &mut Cx, file: u64, offset: i64, whence: u64, max: i64) -> R<i64> {
    let at = file + cx.off.file_f_pos;
    let inode = cx.r64(file + cx.off.file_f_inode)?;
    let size = cx.r64(inode + cx.off.inode_i_size)? as i64;
    let base = match whence {
        0 => 0,
        1 => cx.r64(at)? as i64,
        2 => {
            if max == i64::MAX {
                size
            } else {
                max
            }
        }
        _ => return Ok(i64::from(-EINVAL)),
    };
    match base.checked_add(offset) {
        Some(new) if new >= 0 && new <= max => {
            cx.w64(at, new as u64)?;
            Ok(new)
        }
        _ => Ok(i64::from(-EINVAL)),
    }
}

/// vfs_llseek: a file without the method, or that was opened as a stream, has no position.
pub(crate) fn seek_file(cx: &mut Cx, file: u64, offset: i64, whence: u64) -> R<i64> {
    if cx.r32(file + cx.off.file_f_mode)? & files::FMODE_LSEEK == 0 {
        return Ok(i64::from(-ESPIPE));
    }
    if let Some(Backing::Kernel(_)) = files::info(cx, file).map(|o| o.backing) {
        return seek(cx, file, offset, whence, i64::MAX);
    }
    let f_op = cx.r64(file + cx.off.file_f_op)?;
    match if f_op == 0 {
        0
    } else {
        cx.r64(f_op + cx.off.fops_llseek)?
    } {
        0 => Ok(i64::from(-ESPIPE)),
        method => Ok(cx.call_guest(method, &[file, offset as u64, whence]) as i64),
    }
}

fn vfs_llseek(cx: &mut Cx, c: &Call) -> R {
    Ok(seek_file(cx, c.a[0], c.a[1] as i64, c.a[2] & 0xffff_ffff)? as u64)
}

fn no_llseek(_: &mut Cx, _: &Call) -> R {
    Ok(neg(ESPIPE))
}

fn noop_llseek(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.r64(c.a[0] + cx.off.file_f_pos)?)
}

fn default_llseek(cx: &mut Cx, c: &Call) -> R {
    Ok(seek(cx, c.a[0], c.a[1] as i64, c.a[2] & 0xffff_ffff, i64::MAX)? as u64)
}

fn fixed_size_llseek(cx: &mut Cx, c: &Call) -> R {
    Ok(seek(
        cx,
        c.a[0],
        c.a[1] as i64,
        c.a[2] & 0xffff_ffff,
        (c.a[3] as i64).max(0),
    )? as u64)
}

fn nonseekable_open(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[1] + cx.off.file_f_mode;
    let mode = cx.r32(at)?;
    // FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE.
    cx.w32(at, mode & !(4 | 8 | 16))?;
    Ok(0)
}

fn stream_open(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[1] + cx.off.file_f_mode;
    let mode = cx.r32(at)?;
    // The same and FMODE_ATOMIC_POS; FMODE_STREAM is set.
    cx.w32(at, mode & !(4 | 8 | 16 | 0x8000) | 0x20_0000)?;
    Ok(0)
}

fn simple_open(cx: &mut Cx, c: &Call) -> R {
    let private = cx.r64(c.a[0] + cx.off.inode_i_private)?;
    if private != 0 {
        cx.w64(c.a[1] + cx.off.file_private_data, private)?;
    }
    Ok(0)
}

fn simple_read_from_buffer(cx: &mut Cx, c: &Call) -> R {
    let [to, count, ppos, from, available, ..] = c.a;
    let pos = cx.r64(ppos)?;
    if (pos as i64) < 0 {
        return Ok(neg(EINVAL));
    }
    if pos >= available || count == 0 {
        return Ok(0);
    }
    let count = count.min(available - pos);
    let left = uaccess::to_user(cx, to, from + pos, count)?;
    if left == count {
        return Ok(neg(EFAULT));
    }
    cx.w64(ppos, pos + count - left)?;
    Ok(count - left)
}

fn simple_write_to_buffer(cx: &mut Cx, c: &Call) -> R {
    let [to, available, ppos, from, count, ..] = c.a;
    let pos = cx.r64(ppos)?;
    if (pos as i64) < 0 {
        return Ok(neg(EINVAL));
    }
    if pos >= available || count == 0 {
        return Ok(0);
    }
    let count = count.min(available - pos);
    let left = uaccess::from_user(cx, to + pos, from, count)?;
    if left == count {
        return Ok(neg(EFAULT));
    }
    cx.w64(ppos, pos + count - left)?;
    Ok(count - left)
}

fn memory_read_from_buffer(cx: &mut Cx, c: &Call) -> R {
    let [to, count, ppos, from, available, ..] = c.a;
    let pos = cx.r64(ppos)?;
    if (pos as i64) < 0 {
        return Ok(neg(EINVAL));
    }
    if pos >= available {
        return Ok(0);
    }
    let count = count.min(available - pos);
    cx.copy(to, from + pos, count)?;
    cx.w64(ppos, pos + count)?;
    Ok(count)
}

fn anon_file(cx: &mut Cx, c: &Call) -> R<Result<u64, i64>> {
    let [name, f_op, private, flags, ..] = c.a;
    let what = format!("anon_inode:{}", cx.text(name)?);
    let new = files::NewFile {
        what: &what,
        mode: files::S_IFREG | 0o600,
        rdev: 0,
        f_op,
        flags: flags as u32,
        backing: Backing::Guest,
        data: 0,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    if !files::take_fops(cx, file, f_op)? {
        files::abandon(cx, file)?;
        return Ok(Err(i64::from(-ENOENT)));
    }
    crate::module::owner::check_fops(cx, &what, f_op, 0, "anon_inode_getfile")?;
    cx.w64(file + cx.off.file_private_data, private)?;
    Ok(Ok(file))
}

fn anon_inode_getfile(cx: &mut Cx, c: &Call) -> R {
    Ok(anon_file(cx, c)?.unwrap_or_else(|errno| errno as u64))
}

fn anon_inode_getfd(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    Ok(match anon_file(cx, c)? {
        Ok(file) => u64::from(files::install(cx, tid, file)),
        Err(errno) => errno as u64,
    })
}
