//! seq_file (fs/seq_file.c): a page of text filled by start, next, show and stop, or by one show function. The
//! structure is the guest's; modules read its private pointer and count inline.

use crate::abi::{Call, R, VaList, errno::*};
use crate::mm::{self, uaccess};
use crate::printk::format::vsnprintf;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, util};

pub(crate) const ROWS: &[Row] = &[
    behaves("seq_open", seq_open)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("seq_open_private", seq_open_private)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("__seq_open_private", seq_open_private_ret)
        .fails(Fails::Null)
        .sleeps(),
    behaves("seq_release", seq_release).sleeps(),
    behaves("seq_release_private", seq_release_private).sleeps(),
    behaves("single_open", single_open)
        .acquires("seq_operations", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("single_open_size", single_open)
        .acquires("seq_operations", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("single_release", seq_release)
        .releases("seq_operations", Key::Arg(1))
        .sleeps(),
    behaves("seq_read", seq_read).sleeps(),
    behaves("seq_lseek", seq_lseek).sleeps(),
    behaves("seq_printf", seq_printf),
    behaves("seq_vprintf", seq_vprintf),
    behaves("seq_puts", seq_puts),
    behaves("seq_putc", seq_putc),
    behaves("seq_write", seq_write),
    behaves("seq_put_decimal_ull", seq_put_decimal_ull),
    behaves("seq_put_decimal_ll", seq_put_decimal_ll),
    behaves("seq_pad", seq_pad),
    behaves("seq_escape_mem", seq_escape_mem),
    behaves("seq_list_start", seq_list_start),
    behaves("seq_list_start_head", seq_list_start_head),
    behaves("seq_list_next", seq_list_next),
    behaves("__lkm_single_start", single_start),
    behaves("__lkm_single_next", single_next),
    behaves("__lkm_single_stop", single_stop),
];

/// Bytes a buffer starts with; it doubles while a record does not fit.
const FIRST: u64 = 4096;
const LIMIT: u64 = 4 << 20;
/// SEQ_SKIP.
const SKIP: i32 = 1;

/// The state of this file.
#[derive(Default)]
pub struct State {
    /// seq_operations that single_open made, by show function; they live on.
    singles: crate::hash::Map<u64, u64>,
    /// Private memory that __seq_open_private made: seq_file to address.
    owned: crate::hash::Map<u64, u64>,
}

fn open(cx: &mut Cx, file: u64, op: u64) -> R<u64> {
    let off = cx.off;
    let m = mm::kalloc(cx, off.seq_file_size)?;
    cx.w64(file + off.file_private_data, m)?;
    cx.w64(m + off.seq_op, op)?;
    cx.w64(m + off.seq_file_ptr, file)?;
    Ok(m)
}

/// proc_create_seq's open: operations and private state of some bytes.
pub(crate) fn open_seq(cx: &mut Cx, file: u64, op: u64, size: u64) -> R<i64> {
    let m = open(cx, file, op)?;
    if size != 0 {
        let private = mm::kalloc(cx, size)?;
        cx.w64(m + cx.off.seq_private, private)?;
        cx.seq.owned.insert(m, private);
    }
    Ok(0)
}

/// single_open's work.
pub(crate) fn open_single(cx: &mut Cx, file: u64, show: u64, data: u64) -> R<i64> {
    let op = match cx.seq.singles.get(&show) {
        Some(&op) => op,
        None => {
            let op = crate::data::alloc(cx, 32, 8)?;
            for (at, name) in [
                (0, "__lkm_single_start"),
                (8, "__lkm_single_stop"),
                (16, "__lkm_single_next"),
            ] {
                let function = crate::symbols::address(cx, name);
                cx.w64(op + at, function)?;
            }
            cx.w64(op + 24, show)?;
            cx.seq.singles.insert(show, op);
            op
        }
    };
    let m = open(cx, file, op)?;
    cx.w64(m + cx.off.seq_private, data)?;
    Ok(0)
}

/// seq_release with what the open owned.
pub(crate) fn release(cx: &mut Cx, file: u64) -> R<()> {
    let m = cx.r64(file + cx.off.file_private_data)?;
    let buf = cx.r64(m + cx.off.seq_buf)?;
    mm::kfree(cx, buf);
    if let Some(private) = cx.seq.owned.remove(&m) {
        mm::kfree(cx, private);
    }
    mm::kfree(cx, m);
    Ok(())
}

/// Whether the last record did not fit.
fn overflowed(cx: &Cx, m: u64) -> R<bool> {
    Ok(cx.r64(m + cx.off.seq_count)? == cx.r64(m + cx.off.seq_size)?)
}

fn grow(cx: &mut Cx, m: u64) -> R<bool> {
    let off = cx.off;
    let size = cx.r64(m + off.seq_size)? * 2;
    if size > LIMIT {
        return Ok(false);
    }
    let old = cx.r64(m + off.seq_buf)?;
    mm::kfree(cx, old);
    let new = mm::kalloc(cx, size)?;
    cx.w64(m + off.seq_buf, new)?;
    cx.w64(m + off.seq_size, size)?;
    cx.w64(m + off.seq_count, 0)?;
    Ok(true)
}

/// seq_read: what is left in the buffer, else a new buffer of records from the position on.
pub(crate) fn read(cx: &mut Cx, file: u64, buf: u64, len: u64, ppos: u64) -> R<i64> {
    let off = cx.off;
    let m = cx.r64(file + off.file_private_data)?;
    let op = cx.r64(m + off.seq_op)?;
    let [start, stop, next, show] = [0, 8, 16, 24].map(|at| cx.r64(op + at));
    let (start, stop, next, show) = (start?, stop?, next?, show?);
    if cx.r64(m + off.seq_buf)? == 0 {
        let page = mm::kalloc(cx, FIRST)?;
        cx.w64(m + off.seq_buf, page)?;
        cx.w64(m + off.seq_size, FIRST)?;
    }
    if cx.r64(ppos)? == 0 {
        cx.w64(m + off.seq_index, 0)?;
        cx.w64(m + off.seq_count, 0)?;
    }
    let mut copied = drain(cx, m, buf, len)?;
    if copied == 0 && cx.r64(m + off.seq_count)? == 0 {
        cx.w64(m + off.seq_from, 0)?;
        let index = m + off.seq_index;
        let mut p = cx.call_guest(start, &[m, index]);
        let mut error = 0;
        for _ in 0..1_000_000u32 {
            if p == 0 || crate::abi::is_err(p) {
                error = if p == 0 { 0 } else { p as i64 };
                break;
            }
            let before = cx.r64(m + off.seq_count)?;
            let answer = cx.call_guest(show, &[m, p]) as i32;
            if answer < 0 {
                error = i64::from(answer);
                cx.w64(m + off.seq_count, before)?;
                break;
            }
            if answer == SKIP {
                cx.w64(m + off.seq_count, before)?;
            }
            if overflowed(cx, m)? {
                if before > 0 {
                    // The record comes again with the next buffer.
                    cx.w64(m + off.seq_count, before)?;
                    break;
                }
                cx.call_guest(stop, &[m, p]);
                if !grow(cx, m)? {
                    return Ok(i64::from(-ENOMEM));
                }
                p = cx.call_guest(start, &[m, index]);
                continue;
            }
            let at = cx.r64(index)?;
            p = cx.call_guest(next, &[m, p, index]);
            if cx.r64(index)? == at {
                crate::printk::log(
                    cx,
                    4,
                    &format!(
                        "buggy .next function {} did not update position index\n",
                        crate::module::kallsyms::describe(cx, next)
                    ),
                );
                cx.w64(index, at + 1)?;
            }
            if cx.r64(m + off.seq_count)? >= len {
                break;
            }
        }
        cx.call_guest(stop, &[m, p]);
        copied = drain(cx, m, buf, len)?;
        if copied == 0 && error != 0 {
            return Ok(error);
        }
    }
    if copied > 0 {
        let pos = cx.r64(ppos)?;
        cx.w64(ppos, pos + copied as u64)?;
    }
    Ok(copied)
}

fn drain(cx: &mut Cx, m: u64, buf: u64, len: u64) -> R<i64> {
    let off = cx.off;
    let (count, from) = (cx.r64(m + off.seq_count)?, cx.r64(m + off.seq_from)?);
    let n = count.min(len);
    if n == 0 {
        return Ok(0);
    }
    let data = cx.r64(m + off.seq_buf)?;
    let left = uaccess::to_user(cx, buf, data + from, n)?;
    if left == n {
        return Ok(i64::from(-EFAULT));
    }
    let done = n - left;
    cx.w64(m + off.seq_from, from + done)?;
    cx.w64(m + off.seq_count, count - done)?;
    Ok(done as i64)
}

/// Appends to the buffer; a text that does not fit marks it as overflowed.
pub fn append(cx: &mut Cx, m: u64, bytes: &[u8]) -> R<()> {
    let off = cx.off;
    let (count, size) = (cx.r64(m + off.seq_count)?, cx.r64(m + off.seq_size)?);
    let len = bytes.len() as u64;
    if count.saturating_add(len) < size {
        let buf = cx.r64(m + off.seq_buf)?;
        cx.write(buf + count, bytes)?;
        cx.w64(m + off.seq_count, count + len)?;
    } else {
        cx.w64(m + off.seq_count, size)?;
    }
    Ok(())
}

fn seq_open(cx: &mut Cx, c: &Call) -> R {
    if cx.r64(c.a[0] + cx.off.file_private_data)? != 0 {
        crate::traps::warn(cx, "", "seq_open")?;
    }
    open(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn seq_open_private(cx: &mut Cx, c: &Call) -> R {
    open_seq(cx, c.a[0], c.a[1], u64::from(c.a[2] as u32).max(1))?;
    Ok(0)
}

fn seq_open_private_ret(cx: &mut Cx, c: &Call) -> R {
    open_seq(cx, c.a[0], c.a[1], u64::from(c.a[2] as u32).max(1))?;
    let m = cx.r64(c.a[0] + cx.off.file_private_data)?;
    Ok(cx.r64(m + cx.off.seq_private)?)
}

fn seq_release(cx: &mut Cx, c: &Call) -> R {
    release(cx, c.a[1])?;
    Ok(0)
}

fn seq_release_private(cx: &mut Cx, c: &Call) -> R {
    let m = cx.r64(c.a[1] + cx.off.file_private_data)?;
    cx.w64(m + cx.off.seq_private, 0)?;
    release(cx, c.a[1])?;
    Ok(0)
}

fn single_open(cx: &mut Cx, c: &Call) -> R {
    Ok(open_single(cx, c.a[0], c.a[1], c.a[2])? as u64)
}

fn single_start(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(cx.r64(c.a[1])? == 0))
}

fn single_next(cx: &mut Cx, c: &Call) -> R {
    let pos = cx.r64(c.a[2])?;
    cx.w64(c.a[2], pos + 1)?;
    Ok(0)
}

fn single_stop(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn seq_read(cx: &mut Cx, c: &Call) -> R {
    Ok(read(cx, c.a[0], c.a[1], c.a[2], c.a[3])? as u64)
}

/// Only a return to the start and what does not move are served.
fn seq_lseek(cx: &mut Cx, c: &Call) -> R {
    let m = cx.r64(c.a[0] + cx.off.file_private_data)?;
    let answer =
        super::file_calls::seek(cx, c.a[0], c.a[1] as i64, c.a[2] & 0xffff_ffff, i64::MAX)?;
    if answer == 0 {
        cx.w64(m + cx.off.seq_count, 0)?;
        cx.w64(m + cx.off.seq_index, 0)?;
    }
    Ok(answer as u64)
}

fn seq_printf(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(2);
    let text = vsnprintf(cx, c.a[1], &mut args, LIMIT as usize)?;
    append(cx, c.a[0], &text)?;
    Ok(0)
}

fn seq_vprintf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[2])?;
    let text = vsnprintf(cx, c.a[1], &mut args, LIMIT as usize)?;
    args.store(cx, c.a[2])?;
    append(cx, c.a[0], &text)?;
    Ok(0)
}

fn seq_puts(cx: &mut Cx, c: &Call) -> R {
    let text = cx.cstr(c.a[1], LIMIT as usize)?;
    append(cx, c.a[0], &text)?;
    Ok(0)
}

fn seq_putc(cx: &mut Cx, c: &Call) -> R {
    append(cx, c.a[0], &[c.a[1] as u8])?;
    Ok(0)
}

fn seq_write(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[1], c.a[2].min(LIMIT))?;
    append(cx, c.a[0], &bytes)?;
    Ok(if overflowed(cx, c.a[0])? { u64::MAX } else { 0 })
}

/// seq_escape_mem(m, src, len, flags, esc).
fn seq_escape_mem(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[1], c.a[2].min(LIMIT))?;
    let only = match c.a[4] {
        0 => Vec::new(),
        at => cx.cstr(at, 256)?,
    };
    let text = crate::lib::escape::escape(&bytes, c.a[3] as u32, &only);
    append(cx, c.a[0], &text)?;
    Ok(0)
}

fn number(cx: &mut Cx, c: &Call, text: &str) -> R {
    if c.a[1] != 0 {
        let before = cx.cstr(c.a[1], 256)?;
        append(cx, c.a[0], &before)?;
    }
    append(cx, c.a[0], text.as_bytes())?;
    Ok(0)
}

fn seq_put_decimal_ull(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, &c.a[2].to_string())
}

fn seq_put_decimal_ll(cx: &mut Cx, c: &Call) -> R {
    number(cx, c, &(c.a[2] as i64).to_string())
}

fn seq_pad(cx: &mut Cx, c: &Call) -> R {
    // pad_until follows count.
    let off = cx.off;
    let count = cx.r64(c.a[0] + off.seq_count)?;
    let until = cx.r64(c.a[0] + off.seq_count + 8)?;
    if until > count && until - count < 1024 {
        append(cx, c.a[0], &vec![b' '; (until - count) as usize])?;
    }
    if c.a[1] as u8 != 0 {
        append(cx, c.a[0], &[c.a[1] as u8])?;
    }
    Ok(0)
}

fn nth(cx: &Cx, head: u64, pos: u64) -> R<u64> {
    Ok(util::list_entries(cx, head)?
        .get(pos as usize)
        .copied()
        .unwrap_or(0))
}

fn seq_list_start(cx: &mut Cx, c: &Call) -> R {
    nth(cx, c.a[0], c.a[1])
}

fn seq_list_start_head(cx: &mut Cx, c: &Call) -> R {
    match c.a[1] {
        0 => Ok(c.a[0]),
        n => nth(cx, c.a[0], n - 1),
    }
}

fn seq_list_next(cx: &mut Cx, c: &Call) -> R {
    let next = cx.r64(c.a[0])?;
    let pos = cx.r64(c.a[2])?;
    cx.w64(c.a[2], pos + 1)?;
    Ok(if next == c.a[1] { 0 } else { next })
}
