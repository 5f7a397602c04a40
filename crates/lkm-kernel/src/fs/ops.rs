//! System calls on open files (fs/read_write.c, fs/ioctl.c, fs/select.c): what a process of a script does with a
//! descriptor. Each runs in the calling process and ends with what the end of a system call does.

use super::files::{self, Backing, FMODE_READ, FMODE_WRITE};
use crate::Cx;
use crate::abi::{R, errno::*};
use crate::fs::open::O_APPEND;
use crate::layout::NONE;
use crate::lib::iov_iter;
use crate::mm::{self, uaccess};
use crate::sched;

/// Most bytes of one read or write.
const MAX_RW: u64 = 1 << 20;

fn file_of(cx: &Cx, fd: u32) -> Option<u64> {
    files::lookup(cx, sched::current_tid(cx), fd)
}

fn method(cx: &Cx, file: u64, offset: u64) -> R<u64> {
    let f_op = cx.r64(file + cx.off.file_f_op)?;
    if f_op == 0 {
        return Ok(0);
    }
    Ok(cx.r64(f_op + offset)?)
}

/// Holds the file during a system call (fdget), so that a close in another task does not take it away.
fn with(cx: &mut Cx, fd: u32, call: impl FnOnce(&mut Cx, u64) -> R<i64>) -> R<i64> {
    let Some(file) = file_of(cx, fd) else {
        return Ok(i64::from(-EBADF));
    };
    files::get(cx, file)?;
    let tid = sched::current_tid(cx);
    if !files::shared(cx, tid) {
        cx.open.in_call.insert(tid, file);
    }
    let answer = call(cx, file)?;
    cx.open.in_call.remove(&tid);
    files::put(cx, file)?;
    files::end_of_call(cx)?;
    Ok(answer)
}

/// A task ends: what it has open is closed. One that dies inside of a system call had the file from its own table,
/// without a count (fdget), unless others share the table: then that count stays for ever.
pub(crate) fn on_exit(cx: &mut Cx, tid: sched::Tid) -> R<()> {
    let held = cx.open.in_call.remove(&tid);
    let ended = held
        .map_or(Ok(()), |file| files::put(cx, file))
        .and_then(|()| files::exit_files(cx, tid))
        .and_then(|()| files::end_of_call(cx));
    if let Err(stop) = ended {
        // The kernel itself followed a bad pointer (operations in a module that has gone): an oops in the exit.
        crate::traps::kernel_oops(cx, stop, None);
    }
    Ok(())
}

/// vfs_read of an open file into user memory.
pub fn read_file(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    if cx.r32(file + cx.off.file_f_mode)? & FMODE_READ == 0 {
        return Ok(i64::from(-EBADF));
    }
    match files::info(cx, file).map(|o| o.backing) {
        Some(Backing::Kernel(ops)) => match ops.read {
            Some(read) => read(cx, file, buf, len),
            None => Ok(i64::from(-EINVAL)),
        },
        _ => {
            let read = method(cx, file, cx.off.fops_read)?;
            if read == 0 {
                return through_iter(cx, file, buf, len, false);
            }
            let pos = file + cx.off.file_f_pos;
            Ok(cx.call_guest(read, &[file, buf, len, pos]) as i64)
        }
    }
}

/// Room for a kiocb, an iov_iter and an iovec.
const ITER_ROOM: u64 = 512;

/// new_sync_read and new_sync_write: a file that has the method for iterators only.
fn through_iter(cx: &mut Cx, file: u64, buf: u64, len: u64, write: bool) -> R<i64> {
    let off = cx.off;
    let member = if write {
        off.fops_write_iter
    } else {
        off.fops_read_iter
    };
    let function = if member == NONE || off.iter_kvec == NONE {
        0
    } else {
        method(cx, file, member)?
    };
    if function == 0 {
        return Ok(i64::from(-EINVAL));
    }
    let room = mm::kalloc(cx, ITER_ROOM)?;
    let (iter, vec) = (room + ITER_ROOM / 2, room + ITER_ROOM - 16);
    iov_iter::single(cx, iter, vec, buf, len, write)?;
    let pos = cx.r64(file + off.file_f_pos)?;
    cx.w64(room + off.kiocb_filp, file)?;
    cx.w64(room + off.kiocb_pos, pos)?;
    let flags = cx.r32(file + off.file_f_flags)?;
    // IOCB_APPEND, for a file that was opened so.
    let append = if flags & O_APPEND != 0 { 2 } else { 0 };
    cx.w32(room + off.kiocb_flags, append)?;
    let answer = cx.call_guest(function, &[room, iter]) as i64;
    if answer > 0 {
        let pos = cx.r64(room + off.kiocb_pos)?;
        cx.w64(file + off.file_f_pos, pos)?;
    }
    mm::kfree(cx, room);
    Ok(answer)
}

/// vfs_write of an open file from user memory.
pub fn write_file(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    if cx.r32(file + cx.off.file_f_mode)? & FMODE_WRITE == 0 {
        return Ok(i64::from(-EBADF));
    }
    match files::info(cx, file).map(|o| o.backing) {
        Some(Backing::Kernel(ops)) => match ops.write {
            Some(write) => write(cx, file, buf, len),
            None => Ok(i64::from(-EINVAL)),
        },
        _ => {
            let write = method(cx, file, cx.off.fops_write)?;
            if write == 0 {
                return through_iter(cx, file, buf, len, true);
            }
            let pos = file + cx.off.file_f_pos;
            Ok(cx.call_guest(write, &[file, buf, len, pos]) as i64)
        }
    }
}

/// read(2): what was read, or a negative errno.
pub fn read(cx: &mut Cx, fd: u32, len: u64) -> R<Result<Vec<u8>, i64>> {
    let len = len.min(MAX_RW);
    let Some(buf) = uaccess::map_pages(cx, len) else {
        return Ok(Err(i64::from(-ENOMEM)));
    };
    let got = with(cx, fd, |cx, file| read_file(cx, file, buf, len))?;
    let bytes = if got > 0 {
        cx.bytes(buf, (got as u64).min(len))?
    } else {
        Vec::new()
    };
    uaccess::unmap_pages(cx, buf, len);
    Ok(if got < 0 { Err(got) } else { Ok(bytes) })
}

/// Reads to the end, as cat does; at most `max` bytes.
pub fn read_all(cx: &mut Cx, fd: u32, max: usize) -> R<Result<Vec<u8>, i64>> {
    let mut out = Vec::new();
    while out.len() < max {
        match read(cx, fd, 4096)? {
            Err(errno) => return Ok(Err(errno)),
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => out.extend(bytes),
        }
    }
    Ok(Ok(out))
}

/// write(2): bytes written, or a negative errno.
pub fn write(cx: &mut Cx, fd: u32, bytes: &[u8]) -> R<i64> {
    let len = (bytes.len() as u64).min(MAX_RW);
    let Some(buf) = uaccess::map_pages(cx, len) else {
        return Ok(i64::from(-ENOMEM));
    };
    cx.write(buf, &bytes[..len as usize])?;
    let answer = with(cx, fd, |cx, file| write_file(cx, file, buf, len))?;
    uaccess::unmap_pages(cx, buf, len);
    Ok(answer)
}

/// ioctl(2).
pub fn ioctl(cx: &mut Cx, fd: u32, cmd: u64, arg: u64) -> R<i64> {
    with(cx, fd, |cx, file| {
        if let Some(Backing::Kernel(ops)) = files::info(cx, file).map(|o| o.backing) {
            return match ops.ioctl {
                Some(ioctl) => ioctl(cx, file, cmd, arg),
                None => Ok(i64::from(-ENOTTY)),
            };
        }
        let ioctl = method(cx, file, cx.off.fops_ioctl)?;
        if ioctl == 0 {
            return Ok(i64::from(-ENOTTY));
        }
        let answer = cx.call_guest(ioctl, &[file, cmd, arg]) as i64;
        Ok(if answer == i64::from(-ENOIOCTLCMD) {
            i64::from(-ENOTTY)
        } else {
            answer
        })
    })
}

/// lseek(2).
pub fn lseek(cx: &mut Cx, fd: u32, offset: i64, whence: u64) -> R<i64> {
    with(cx, fd, |cx, file| {
        super::file_calls::seek_file(cx, file, offset, whence)
    })
}

/// poll(2) without waiting: the event mask that the file answers now.
pub fn poll(cx: &mut Cx, fd: u32) -> R<i64> {
    with(cx, fd, |cx, file| {
        let poll = match files::info(cx, file).map(|o| o.backing) {
            Some(Backing::Guest) => method(cx, file, cx.off.fops_poll)?,
            _ => 0,
        };
        // DEFAULT_POLLMASK: always readable and writable. A NULL table says that nobody waits.
        if poll == 0 {
            return Ok(0x145);
        }
        Ok((cx.call_guest(poll, &[file, 0]) & 0xffff_ffff) as i64)
    })
}

/// close(2), with the end of the system call.
pub fn close(cx: &mut Cx, fd: u32) -> R<i64> {
    let tid = sched::current_tid(cx);
    let answer = files::close(cx, tid, fd)?;
    files::end_of_call(cx)?;
    Ok(answer)
}
