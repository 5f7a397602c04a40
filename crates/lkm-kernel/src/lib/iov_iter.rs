//! Iterators over buffers (lib/iov_iter.c): what `read_iter`, `write_iter`, sendmsg and recvmsg are handed. The kinds that
//! a system call makes, of user memory, and vectors of kernel memory; others hold nothing.

use crate::Cx;
use crate::abi::{Call, R};
use crate::layout::NONE;
use crate::mm::uaccess;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("_copy_from_iter", copy_from_iter).sleeps(),
    behaves("_copy_from_iter_nocache", copy_from_iter).sleeps(),
    behaves("_copy_to_iter", copy_to_iter).sleeps(),
    behaves("iov_iter_zero", iov_iter_zero).sleeps(),
    behaves("iov_iter_advance", iov_iter_advance),
    behaves("iov_iter_revert", iov_iter_revert),
    behaves("iov_iter_init", iov_iter_init),
    behaves("iov_iter_kvec", iov_iter_kvec),
];

/// Bytes of an iovec or kvec: base and length.
const VEC: u64 = 16;
/// The kind that a system call makes: ITER_IOVEC before 6.4, ITER_UBUF since.
const OF_USER: u8 = 0;
/// Most bytes of one copy.
const MAX: u64 = 1 << 30;

/// Whether the kernel at hand numbers its kinds as before 6.4, where user memory comes as vectors.
fn vectors(cx: &Cx) -> bool {
    cx.off.iter_iov != NONE
}

fn iovec_kind(cx: &Cx) -> u8 {
    u8::from(!vectors(cx))
}

fn kvec_kind(cx: &Cx) -> u8 {
    if vectors(cx) { 1 } else { 3 }
}

/// Makes an iterator over one piece of user memory; `vec` has room for an iovec. A source is what is written from.
pub(crate) fn single(cx: &mut Cx, iter: u64, vec: u64, buf: u64, len: u64, source: bool) -> R<()> {
    let off = cx.off;
    cx.w8(iter + off.iter_type, OF_USER)?;
    cx.w8(iter + off.iter_data_source, u8::from(source))?;
    cx.w64(iter + off.iter_offset, 0)?;
    cx.w64(iter + off.iter_nr_segs, 1)?;
    if vectors(cx) {
        cx.w64(vec, buf)?;
        cx.w64(vec + 8, len)?;
        cx.w64(iter + off.iter_kvec, vec)?;
        if off.iter_user_backed != NONE {
            cx.w8(iter + off.iter_user_backed, 1)?;
        }
    } else {
        cx.w64(iter + off.iter_kvec, buf)?;
    }
    Ok(cx.w64(iter + off.iter_count, len)?)
}

/// The piece that the iterator is at: address, bytes, whether it is the user's.
fn piece(cx: &mut Cx, iter: u64) -> R<Option<(u64, u64, bool)>> {
    let off = cx.off;
    let kind = cx.r8(iter + off.iter_type)?;
    let count = cx.r64(iter + off.iter_count)?;
    let at = cx.r64(iter + off.iter_offset)?;
    let vec = cx.r64(iter + off.iter_kvec)?;
    if count == 0 {
        return Ok(None);
    }
    if kind == OF_USER && !vectors(cx) {
        return Ok(Some((vec.wrapping_add(at), count, true)));
    }
    let user = kind == iovec_kind(cx);
    if !user && kind != kvec_kind(cx) {
        return Ok(None);
    }
    let segments = cx.r64(iter + off.iter_nr_segs)?;
    let (mut vec, mut at) = (vec, at);
    for left in (1..=segments.min(1024)).rev() {
        let (base, len) = (cx.r64(vec)?, cx.r64(vec + 8)?);
        if at < len {
            cx.w64(iter + off.iter_kvec, vec)?;
            cx.w64(iter + off.iter_offset, at)?;
            cx.w64(iter + off.iter_nr_segs, left)?;
            let some = (len - at).min(count);
            return Ok(Some((base.wrapping_add(at), some, user)));
        }
        at -= len;
        vec += VEC;
    }
    Ok(None)
}

fn advance(cx: &mut Cx, iter: u64, some: u64) -> R<()> {
    let off = cx.off;
    let (count, at) = (
        cx.r64(iter + off.iter_count)?,
        cx.r64(iter + off.iter_offset)?,
    );
    let some = some.min(count);
    cx.w64(iter + off.iter_count, count - some)?;
    Ok(cx.w64(iter + off.iter_offset, at.wrapping_add(some))?)
}

/// Goes over up to `len` bytes; `with` handles a piece (offset in the whole, address, bytes, user memory) and answers how
/// many of its bytes it could not. How many were done.
fn each(
    cx: &mut Cx,
    iter: u64,
    len: u64,
    mut with: impl FnMut(&mut Cx, u64, u64, u64, bool) -> R,
) -> R {
    let len = len.min(MAX);
    let mut done = 0;
    while done < len {
        let Some((at, some, user)) = piece(cx, iter)? else {
            break;
        };
        let some = some.min(len - done);
        let left = with(cx, done, at, some, user)?.min(some);
        advance(cx, iter, some - left)?;
        done += some - left;
        if left > 0 {
            break;
        }
    }
    Ok(done)
}

fn copy_from_iter(cx: &mut Cx, c: &Call) -> R {
    let [to, len, iter, ..] = c.a;
    each(cx, iter, len, |cx, done, at, some, user| {
        if user {
            return uaccess::from_user(cx, to + done, at, some);
        }
        cx.copy(to + done, at, some)?;
        Ok(0)
    })
}

fn copy_to_iter(cx: &mut Cx, c: &Call) -> R {
    let [from, len, iter, ..] = c.a;
    each(cx, iter, len, |cx, done, at, some, user| {
        if user {
            return uaccess::to_user(cx, at, from + done, some);
        }
        cx.copy(at, from + done, some)?;
        Ok(0)
    })
}

fn iov_iter_zero(cx: &mut Cx, c: &Call) -> R {
    each(cx, c.a[1], c.a[0], |cx, _, at, some, user| {
        if user {
            return uaccess::bytes_to_user(cx, at, &vec![0; some as usize]);
        }
        cx.fill(at, 0, some)?;
        Ok(0)
    })
}

fn iov_iter_advance(cx: &mut Cx, c: &Call) -> R {
    each(cx, c.a[0], c.a[1], |_, _, _, _, _| Ok(0))?;
    Ok(0)
}

/// iov_iter_revert: within the piece it is at, as far as that goes; then into those before it.
fn iov_iter_revert(cx: &mut Cx, c: &Call) -> R {
    let [iter, mut back, ..] = c.a;
    let off = cx.off;
    let count = cx.r64(iter + off.iter_count)?;
    cx.w64(iter + off.iter_count, count.wrapping_add(back))?;
    let mut at = cx.r64(iter + off.iter_offset)?;
    let mut segments = cx.r64(iter + off.iter_nr_segs)?;
    let flat = cx.r8(iter + off.iter_type)? == OF_USER && !vectors(cx);
    let mut vec = cx.r64(iter + off.iter_kvec)?;
    while back > at && !flat {
        back -= at;
        vec = vec.wrapping_sub(VEC);
        segments += 1;
        // A vector that is not there faults, as it would in the kernel.
        at = cx.r64(vec + 8)?;
        if at == 0 && segments > 1024 {
            break;
        }
    }
    cx.w64(iter + off.iter_kvec, vec)?;
    cx.w64(iter + off.iter_nr_segs, segments)?;
    cx.w64(iter + off.iter_offset, at.saturating_sub(back))?;
    Ok(0)
}

fn init(cx: &mut Cx, c: &Call, kind: u8) -> R {
    let [iter, direction, vec, segments, count, _] = c.a;
    let off = cx.off;
    cx.w8(iter + off.iter_type, kind)?;
    cx.w8(iter + off.iter_data_source, (direction & 1) as u8)?;
    if off.iter_user_backed != NONE {
        cx.w8(iter + off.iter_user_backed, u8::from(kind != kvec_kind(cx)))?;
    }
    cx.w64(iter + off.iter_offset, 0)?;
    cx.w64(iter + off.iter_kvec, vec)?;
    cx.w64(iter + off.iter_nr_segs, segments)?;
    cx.w64(iter + off.iter_count, count)?;
    Ok(0)
}

/// `iov_iter_init(i, direction, iov, nr_segs, count)`: vectors of user memory.
fn iov_iter_init(cx: &mut Cx, c: &Call) -> R {
    let kind = iovec_kind(cx);
    init(cx, c, kind)
}

fn iov_iter_kvec(cx: &mut Cx, c: &Call) -> R {
    let kind = kvec_kind(cx);
    init(cx, c, kind)
}
