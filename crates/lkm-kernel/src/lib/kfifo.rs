//! Ring buffers (lib/kfifo.c): struct __kfifo is the guest's, { in, out, mask, esize, data }, since single elements
//! are put and taken inline; here are allocation and whole runs of elements.

use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::mm::slab;
use crate::table::{Fails, Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("__kfifo_alloc", alloc)
        .fails(Fails::Errno(ENOMEM))
        .sleeps_gfp(3),
    behaves("__kfifo_free", free),
    behaves("__kfifo_init", init),
    behaves("__kfifo_in", put),
    behaves("__kfifo_out", take),
    behaves("__kfifo_out_peek", peek),
    behaves("__kfifo_in_r", put_record),
    behaves("__kfifo_out_r", take_record),
    behaves("__kfifo_out_peek_r", peek_record),
    behaves("__kfifo_len_r", len_record),
    behaves("__kfifo_skip_r", skip_record),
    behaves("__kfifo_from_user", from_user).sleeps(),
    behaves("__kfifo_to_user", to_user).sleeps(),
];

const IN: u64 = 0;
const OUT: u64 = 4;
const MASK: u64 = 8;
const ESIZE: u64 = 12;
const DATA: u64 = 16;

fn set(cx: &Cx, fifo: u64, mask: u32, esize: u32, data: u64) -> R<()> {
    cx.w32(fifo + IN, 0)?;
    cx.w32(fifo + OUT, 0)?;
    cx.w32(fifo + MASK, mask)?;
    cx.w32(fifo + ESIZE, esize)?;
    Ok(cx.w64(fifo + DATA, data)?)
}

/// `__kfifo_alloc(fifo, elements, element size, gfp)`: rounded up to a power of two.
fn alloc(cx: &mut Cx, c: &Call) -> R {
    let [fifo, size, esize, gfp, ..] = c.a;
    let size = u64::from(
        (size as u32)
            .max(1)
            .checked_next_power_of_two()
            .unwrap_or(0),
    );
    if size < 2 {
        set(cx, fifo, 0, esize as u32, 0)?;
        return Ok(neg(EINVAL));
    }
    let data = slab::alloc(cx, size.saturating_mul(esize), gfp)?;
    if data == 0 {
        set(cx, fifo, 0, esize as u32, 0)?;
        return Ok(neg(ENOMEM));
    }
    crate::mm::pages::acquired(cx, "slab", data, size * esize, "__kfifo_alloc");
    set(cx, fifo, size as u32 - 1, esize as u32, data)?;
    Ok(0)
}

fn free(cx: &mut Cx, c: &Call) -> R {
    let data = cx.r64(c.a[0] + DATA)?;
    slab::free(cx, data, "__kfifo_free")?;
    set(cx, c.a[0], 0, 0, 0)?;
    Ok(0)
}

/// `__kfifo_init(fifo, buffer, bytes, element size)`: rounded down.
fn init(cx: &mut Cx, c: &Call) -> R {
    let [fifo, buffer, size, esize, ..] = c.a;
    let count = u64::from(size as u32) / esize.max(1);
    let count = if count == 0 { 0 } else { 1 << count.ilog2() };
    if count < 2 {
        set(cx, fifo, 0, esize as u32, buffer)?;
        return Ok(neg(EINVAL));
    }
    set(cx, fifo, count as u32 - 1, esize as u32, buffer)?;
    Ok(0)
}

struct Fifo {
    put: u32,
    taken: u32,
    size: u32,
    esize: u64,
    data: u64,
}

fn read(cx: &Cx, fifo: u64) -> R<Fifo> {
    Ok(Fifo {
        put: cx.r32(fifo + IN)?,
        taken: cx.r32(fifo + OUT)?,
        size: cx.r32(fifo + MASK)?.wrapping_add(1),
        esize: u64::from(cx.r32(fifo + ESIZE)?),
        data: cx.r64(fifo + DATA)?,
    })
}

/// The two pieces of a run of elements that begins at a counter: address and bytes.
fn pieces(f: &Fifo, from: u32, len: u32) -> [(u64, u64); 2] {
    let at = from & (f.size.wrapping_sub(1));
    let first = len.min(f.size.wrapping_sub(at));
    [
        (f.data + u64::from(at) * f.esize, u64::from(first) * f.esize),
        (f.data, u64::from(len - first) * f.esize),
    ]
}

/// `__kfifo_in(fifo, buffer, elements)`: how many there was room for.
fn put(cx: &mut Cx, c: &Call) -> R {
    let [fifo, from, len, ..] = c.a;
    let f = read(cx, fifo)?;
    let room = f.size.wrapping_sub(f.put.wrapping_sub(f.taken));
    let len = (len as u32).min(room);
    let mut from = from;
    for (at, bytes) in pieces(&f, f.put, len) {
        cx.copy(at, from, bytes)?;
        from += bytes;
    }
    cx.w32(fifo + IN, f.put.wrapping_add(len))?;
    Ok(u64::from(len))
}

fn copy_out(cx: &mut Cx, c: &Call) -> R<(Fifo, u32)> {
    let [fifo, to, len, ..] = c.a;
    let f = read(cx, fifo)?;
    let len = (len as u32).min(f.put.wrapping_sub(f.taken));
    let mut to = to;
    for (at, bytes) in pieces(&f, f.taken, len) {
        cx.copy(to, at, bytes)?;
        to += bytes;
    }
    Ok((f, len))
}

fn take(cx: &mut Cx, c: &Call) -> R {
    let (f, len) = copy_out(cx, c)?;
    cx.w32(c.a[0] + OUT, f.taken.wrapping_add(len))?;
    Ok(u64::from(len))
}

fn peek(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(copy_out(cx, c)?.1))
}

/// `__kfifo_from_user(fifo, from, bytes, &copied)`: 0 or -EFAULT.
fn from_user(cx: &mut Cx, c: &Call) -> R {
    let [fifo, from, len, copied, ..] = c.a;
    let f = read(cx, fifo)?;
    let room = f.size.wrapping_sub(f.put.wrapping_sub(f.taken));
    let elements = ((len / f.esize.max(1)).min(u64::from(u32::MAX)) as u32).min(room);
    let mut from = from;
    for (at, bytes) in pieces(&f, f.put, elements) {
        if !crate::mm::uaccess::is_user(from, bytes) || cx.copy(at, from, bytes).is_err() {
            cx.w32(copied, 0)?;
            return Ok(neg(EFAULT));
        }
        from += bytes;
    }
    cx.w32(copied, elements.wrapping_mul(f.esize as u32))?;
    cx.w32(fifo + IN, f.put.wrapping_add(elements))?;
    Ok(0)
}

/// `__kfifo_to_user(fifo, to, bytes, &copied)`: 0 or -EFAULT.
fn to_user(cx: &mut Cx, c: &Call) -> R {
    let [fifo, to, len, copied, ..] = c.a;
    let f = read(cx, fifo)?;
    let have = f.put.wrapping_sub(f.taken);
    let elements = ((len / f.esize.max(1)).min(u64::from(u32::MAX)) as u32).min(have);
    let mut to = to;
    for (at, bytes) in pieces(&f, f.taken, elements) {
        if !crate::mm::uaccess::is_user(to, bytes) || cx.copy(to, at, bytes).is_err() {
            cx.w32(copied, 0)?;
            return Ok(neg(EFAULT));
        }
        to += bytes;
    }
    cx.w32(copied, elements.wrapping_mul(f.esize as u32))?;
    cx.w32(fifo + OUT, f.taken.wrapping_add(elements))?;
    Ok(0)
}

/// Bytes of a record's length.
fn record_len(cx: &Cx, f: &Fifo, recsize: u64) -> R<u32> {
    let mut len = 0;
    for index in 0..recsize.min(2) {
        let at = f.taken.wrapping_add(index as u32) & f.size.wrapping_sub(1);
        len |= u32::from(cx.r8(f.data + u64::from(at))?) << (8 * index);
    }
    Ok(len)
}

/// `__kfifo_in_r(fifo, buffer, bytes, length bytes)`: a whole record or nothing.
fn put_record(cx: &mut Cx, c: &Call) -> R {
    let [fifo, from, len, recsize, ..] = c.a;
    let f = read(cx, fifo)?;
    let (len, head) = (len as u32, recsize as u32);
    let room = f.size.wrapping_sub(f.put.wrapping_sub(f.taken));
    if len.saturating_add(head) > room {
        return Ok(0);
    }
    for index in 0..recsize.min(2) {
        let at = f.put.wrapping_add(index as u32) & f.size.wrapping_sub(1);
        cx.w8(f.data + u64::from(at), (len >> (8 * index)) as u8)?;
    }
    let mut from = from;
    for (at, bytes) in pieces(&f, f.put.wrapping_add(head), len) {
        cx.copy(at, from, bytes)?;
        from += bytes;
    }
    cx.w32(fifo + IN, f.put.wrapping_add(len + head))?;
    Ok(u64::from(len))
}

fn copy_record(cx: &mut Cx, c: &Call) -> R<(Fifo, u32, u32)> {
    let [fifo, to, room, recsize, ..] = c.a;
    let f = read(cx, fifo)?;
    if f.put == f.taken {
        return Ok((f, 0, 0));
    }
    let whole = record_len(cx, &f, recsize)?;
    let len = whole.min(room as u32);
    let mut to = to;
    for (at, bytes) in pieces(&f, f.taken.wrapping_add(recsize as u32), len) {
        cx.copy(to, at, bytes)?;
        to += bytes;
    }
    Ok((f, len, whole.wrapping_add(recsize as u32)))
}

fn take_record(cx: &mut Cx, c: &Call) -> R {
    let (f, len, step) = copy_record(cx, c)?;
    cx.w32(c.a[0] + OUT, f.taken.wrapping_add(step))?;
    Ok(u64::from(len))
}

fn peek_record(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(copy_record(cx, c)?.1))
}

fn len_record(cx: &mut Cx, c: &Call) -> R {
    let f = read(cx, c.a[0])?;
    Ok(u64::from(record_len(cx, &f, c.a[1])?))
}

fn skip_record(cx: &mut Cx, c: &Call) -> R {
    let f = read(cx, c.a[0])?;
    let step = record_len(cx, &f, c.a[1])?.wrapping_add(c.a[1] as u32);
    cx.w32(c.a[0] + OUT, f.taken.wrapping_add(step))?;
    Ok(0)
}
