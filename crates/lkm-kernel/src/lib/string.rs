//! Strings and memory (lib/string.c, lib/string_helpers.c, mm/util.c), but for the native leaves.

use crate::Cx;
use crate::abi::{Call, R, Stop, errno, neg};
use crate::lib::{ctype, text};
use crate::table::{Fails, Key, Row, When, behaves};

const fn makes(name: &'static str, fun: crate::abi::Fun, gfp: u8) -> Row {
    behaves(name, fun)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(gfp)
}

pub(crate) const ROWS: &[Row] = &[
    behaves("strscpy", strscpy),
    behaves("sized_strscpy", strscpy),
    behaves("strscpy_pad", strscpy_pad),
    behaves("strlcpy", strlcpy),
    behaves("strlcat", strlcat),
    behaves("strncpy", strncpy),
    behaves("strcat", strcat),
    behaves("strncat", strncat),
    behaves("stpcpy", stpcpy),
    behaves("strncmp", strncmp),
    behaves("strcasecmp", strcasecmp),
    behaves("strncasecmp", strncasecmp),
    behaves("strnlen", strnlen),
    behaves("strchr", strchr),
    behaves("strchrnul", strchrnul),
    behaves("strnchr", strnchr),
    behaves("strrchr", strrchr),
    behaves("strstr", strstr),
    behaves("strnstr", strnstr),
    behaves("strspn", strspn),
    behaves("strcspn", strcspn),
    behaves("strpbrk", strpbrk),
    behaves("strsep", strsep),
    behaves("strim", strim),
    behaves("skip_spaces", skip_spaces),
    behaves("strreplace", strreplace),
    behaves("memchr", memchr),
    behaves("memchr_inv", memchr_inv),
    behaves("memscan", memscan),
    behaves("memset16", memset16),
    behaves("memset32", memset32),
    behaves("memset64", memset64),
    behaves("memcpy_and_pad", memcpy_and_pad),
    behaves("match_string", match_string),
    behaves("__sysfs_match_string", sysfs_match_string),
    behaves("sysfs_streq", sysfs_streq),
    behaves("memweight", memweight),
    behaves("fortify_panic", fortify_panic),
    behaves("__fortify_panic", fortify_panic),
    behaves("kfree_const", kfree_const),
    behaves("argv_free", argv_free),
    behaves("kfree_strarray", kfree_strarray),
    makes("kstrdup", kstrdup, 1),
    makes("kstrdup_const", kstrdup, 1),
    makes("kstrndup", kstrndup, 2),
    makes("kmemdup", kmemdup, 2),
    makes("kmemdup_noprof", kmemdup, 2),
    makes("kvmemdup", kmemdup, 2),
    makes("kmemdup_nul", kmemdup_nul, 2),
    makes("__memcat_p", memcat_p, 2),
    makes("argv_split", argv_split, 0),
];

/// A new NUL-terminated copy of a text.
pub(crate) fn duplicate(cx: &mut Cx, text: &[u8], gfp: u64) -> R {
    let at = crate::mm::slab::alloc(cx, text.len() as u64 + 1, gfp)?;
    if at > 16 {
        crate::lib::put_string(cx, at, text, text.len() as u64 + 1)?;
    }
    Ok(at)
}

/// strscpy: the length, or -E2BIG when it had to be cut; and where the NUL went.
fn copy_cut(cx: &Cx, c: &Call) -> R<(u64, u64)> {
    let [dst, src, size, ..] = c.a;
    if size == 0 || size > i32::MAX as u64 {
        return Ok((neg(errno::E2BIG), 0));
    }
    let text = cx.cstr(src, size as usize)?;
    crate::lib::put_string(cx, dst, &text, size)?;
    if text.len() as u64 == size {
        return Ok((neg(errno::E2BIG), size));
    }
    Ok((text.len() as u64, text.len() as u64 + 1))
}

fn strscpy(cx: &mut Cx, c: &Call) -> R {
    Ok(copy_cut(cx, c)?.0)
}

fn strscpy_pad(cx: &mut Cx, c: &Call) -> R {
    let (value, used) = copy_cut(cx, c)?;
    if (value as i64) >= 0 && used < c.a[2] {
        cx.fill(c.a[0] + used, 0, c.a[2] - used)?;
    }
    Ok(value)
}

fn strlcpy(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[1])?;
    crate::lib::put_string(cx, c.a[0], &text, c.a[2])?;
    Ok(text.len() as u64)
}

fn strlcat(cx: &mut Cx, c: &Call) -> R {
    let (have, add) = (text(cx, c.a[0])?.len() as u64, text(cx, c.a[1])?);
    if have >= c.a[2] {
        return Err(Stop::Bug("kernel BUG at lib/string.c!".into()));
    }
    crate::lib::put_string(cx, c.a[0] + have, &add, c.a[2] - have)?;
    Ok(have + add.len() as u64)
}

fn strncpy(cx: &mut Cx, c: &Call) -> R {
    let text = cx.cstr(c.a[1], c.a[2] as usize)?;
    cx.write(c.a[0], &text)?;
    cx.fill(c.a[0] + text.len() as u64, 0, c.a[2] - text.len() as u64)?;
    Ok(c.a[0])
}

fn append(cx: &Cx, at: u64, add: &[u8]) -> R {
    let have = text(cx, at)?.len() as u64;
    cx.write(at + have, add)?;
    cx.w8(at + have + add.len() as u64, 0)?;
    Ok(at)
}

fn strcat(cx: &mut Cx, c: &Call) -> R {
    append(cx, c.a[0], &text(cx, c.a[1])?)
}

fn strncat(cx: &mut Cx, c: &Call) -> R {
    let add = cx.cstr(c.a[1], c.a[2].min(1 << 31) as usize)?;
    append(cx, c.a[0], &add)
}

fn stpcpy(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[1])?;
    cx.write(c.a[0], &text)?;
    cx.w8(c.a[0] + text.len() as u64, 0)?;
    Ok(c.a[0] + text.len() as u64)
}

fn compare(cx: &Cx, c: &Call, max: u64, fold: fn(u8) -> u8, strict: bool) -> R {
    for index in 0..max {
        let (a, b) = (fold(cx.r8(c.a[0] + index)?), fold(cx.r8(c.a[1] + index)?));
        if a != b {
            return Ok(match strict {
                true if a < b => u64::MAX,
                true => 1,
                false => (i64::from(a) - i64::from(b)) as u64,
            });
        }
        if a == 0 {
            break;
        }
    }
    Ok(0)
}

fn strncmp(cx: &mut Cx, c: &Call) -> R {
    compare(cx, c, c.a[2], |b| b, true)
}

fn strcasecmp(cx: &mut Cx, c: &Call) -> R {
    compare(cx, c, u64::MAX, ctype::lower, false)
}

fn strncasecmp(cx: &mut Cx, c: &Call) -> R {
    compare(cx, c, c.a[2], ctype::lower, false)
}

fn strnlen(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.cstr(c.a[0], c.a[1].min(1 << 31) as usize)?.len() as u64)
}

/// Position of a byte in a string, its NUL included.
fn find(text: &[u8], byte: u8) -> Option<u64> {
    if byte == 0 {
        return Some(text.len() as u64);
    }
    text.iter().position(|&b| b == byte).map(|at| at as u64)
}

fn or_null(base: u64, at: Option<u64>) -> R {
    Ok(at.map_or(0, |at| base + at))
}

fn strchr(cx: &mut Cx, c: &Call) -> R {
    or_null(c.a[0], find(&text(cx, c.a[0])?, c.a[1] as u8))
}

fn strchrnul(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    Ok(c.a[0] + find(&text, c.a[1] as u8).unwrap_or(text.len() as u64))
}

fn strnchr(cx: &mut Cx, c: &Call) -> R {
    let max = c.a[1].min(1 << 31) as usize;
    let text = cx.cstr(c.a[0], max)?;
    let found = find(&text, c.a[2] as u8).filter(|&at| at < max as u64);
    or_null(c.a[0], found)
}

fn strrchr(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let byte = c.a[1] as u8;
    let found = match byte {
        0 => Some(text.len()),
        _ => text.iter().rposition(|&b| b == byte),
    };
    or_null(c.a[0], found.map(|at| at as u64))
}

fn substring(hay: &[u8], needle: &[u8]) -> Option<u64> {
    if needle.is_empty() {
        return Some(0);
    }
    hay.windows(needle.len())
        .position(|w| w == needle)
        .map(|at| at as u64)
}

fn strstr(cx: &mut Cx, c: &Call) -> R {
    or_null(c.a[0], substring(&text(cx, c.a[0])?, &text(cx, c.a[1])?))
}

fn strnstr(cx: &mut Cx, c: &Call) -> R {
    let needle = text(cx, c.a[1])?;
    let hay = cx.cstr(c.a[0], c.a[2].min(1 << 31) as usize)?;
    or_null(c.a[0], substring(&hay, &needle))
}

fn span(text: &[u8], set: &[u8], inside: bool) -> u64 {
    text.iter()
        .take_while(|b| set.contains(b) == inside)
        .count() as u64
}

fn strspn(cx: &mut Cx, c: &Call) -> R {
    Ok(span(&text(cx, c.a[0])?, &text(cx, c.a[1])?, true))
}

fn strcspn(cx: &mut Cx, c: &Call) -> R {
    Ok(span(&text(cx, c.a[0])?, &text(cx, c.a[1])?, false))
}

fn strpbrk(cx: &mut Cx, c: &Call) -> R {
    let hay = text(cx, c.a[0])?;
    let at = span(&hay, &text(cx, c.a[1])?, false);
    or_null(c.a[0], (at < hay.len() as u64).then_some(at))
}

fn strsep(cx: &mut Cx, c: &Call) -> R {
    let start = cx.r64(c.a[0])?;
    if start == 0 {
        return Ok(0);
    }
    let hay = text(cx, start)?;
    let at = span(&hay, &text(cx, c.a[1])?, false);
    if at < hay.len() as u64 {
        cx.w8(start + at, 0)?;
        cx.w64(c.a[0], start + at + 1)?;
    } else {
        cx.w64(c.a[0], 0)?;
    }
    Ok(start)
}

fn strim(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let Some(last) = text.iter().rposition(|&b| !ctype::is_space(b)) else {
        if !text.is_empty() {
            cx.w8(c.a[0], 0)?;
        }
        return Ok(c.a[0]);
    };
    cx.w8(c.a[0] + last as u64 + 1, 0)?;
    let skip = text.iter().take_while(|&&b| ctype::is_space(b)).count();
    Ok(c.a[0] + skip as u64)
}

fn skip_spaces(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let skip = text.iter().take_while(|&&b| ctype::is_space(b)).count();
    Ok(c.a[0] + skip as u64)
}

fn strreplace(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let (old, new) = (c.a[1] as u8, c.a[2] as u8);
    for (at, _) in text.iter().enumerate().filter(|(_, b)| **b == old) {
        cx.w8(c.a[0] + at as u64, new)?;
    }
    // 6.5 and later return the start, earlier kernels the end.
    Ok(c.a[0] + text.len() as u64)
}

/// The first byte in a range for which `wanted` holds.
fn scan(cx: &Cx, at: u64, len: u64, wanted: impl Fn(u8) -> bool) -> R<Option<u64>> {
    let mut done = 0;
    while done < len {
        let part = (len - done).min(4096 - (at.wrapping_add(done) & 4095));
        let bytes = cx.bytes(at.wrapping_add(done), part)?;
        if let Some(found) = bytes.iter().position(|&b| wanted(b)) {
            return Ok(Some(at + done + found as u64));
        }
        done += part;
    }
    Ok(None)
}

fn memchr(cx: &mut Cx, c: &Call) -> R {
    let byte = c.a[1] as u8;
    Ok(scan(cx, c.a[0], c.a[2], |b| b == byte)?.unwrap_or(0))
}

fn memchr_inv(cx: &mut Cx, c: &Call) -> R {
    let byte = c.a[1] as u8;
    Ok(scan(cx, c.a[0], c.a[2], |b| b != byte)?.unwrap_or(0))
}

fn memscan(cx: &mut Cx, c: &Call) -> R {
    let byte = c.a[1] as u8;
    Ok(scan(cx, c.a[0], c.a[2], |b| b == byte)?.unwrap_or(c.a[0] + c.a[2]))
}

fn pattern(cx: &Cx, c: &Call, size: usize) -> R {
    let (word, count) = (c.a[1].to_le_bytes(), c.a[2]);
    if count != 0 {
        cx.r8(c.a[0]
            .wrapping_add(count.wrapping_mul(size as u64))
            .wrapping_sub(1))?;
    }
    for index in 0..count {
        cx.write(c.a[0] + index * size as u64, &word[..size])?;
    }
    Ok(c.a[0])
}

fn memset16(cx: &mut Cx, c: &Call) -> R {
    pattern(cx, c, 2)
}

fn memset32(cx: &mut Cx, c: &Call) -> R {
    pattern(cx, c, 4)
}

fn memset64(cx: &mut Cx, c: &Call) -> R {
    pattern(cx, c, 8)
}

/// memcpy_and_pad(dest, dest_len, src, count, pad).
fn memcpy_and_pad(cx: &mut Cx, c: &Call) -> R {
    let [dst, room, src, count, byte, _] = c.a;
    let copied = room.min(count);
    cx.copy(dst, src, copied)?;
    cx.fill(dst + copied, byte as u8, room - copied)?;
    Ok(0)
}

/// Bits set in a range of bytes.
fn memweight(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[0], c.a[1])?;
    Ok(bytes.iter().map(|b| u64::from(b.count_ones())).sum())
}

fn index_of(cx: &Cx, c: &Call, same: impl Fn(&[u8]) -> bool) -> R {
    for index in 0..c.a[1].min(1 << 20) {
        let entry = cx.r64(c.a[0] + index * 8)?;
        if entry == 0 {
            break;
        }
        if same(&text(cx, entry)?) {
            return Ok(index);
        }
    }
    Ok(neg(errno::EINVAL))
}

fn match_string(cx: &mut Cx, c: &Call) -> R {
    let wanted = text(cx, c.a[2])?;
    index_of(cx, c, |entry| entry == wanted)
}

/// Equal, a trailing newline aside.
fn equal_lines(a: &[u8], b: &[u8]) -> bool {
    a == b || a.strip_suffix(b"\n") == Some(b) || b.strip_suffix(b"\n") == Some(a)
}

fn sysfs_match_string(cx: &mut Cx, c: &Call) -> R {
    let wanted = text(cx, c.a[2])?;
    index_of(cx, c, |entry| equal_lines(entry, &wanted))
}

fn sysfs_streq(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(equal_lines(
        &text(cx, c.a[0])?,
        &text(cx, c.a[1])?,
    )))
}

fn fortify_panic(cx: &mut Cx, c: &Call) -> R {
    // 6.1 passes the function's name; later kernels a reason code.
    let name = cx
        .text(c.a[0])
        .unwrap_or_else(|_| "a string function".into());
    crate::printk::log(cx, 0, &format!("detected buffer overflow in {name}\n"));
    crate::trace::misuse(cx, "overflow", &format!("in {name}"), 0, &name);
    Err(Stop::Bug("kernel BUG at lib/string_helpers.c!".into()))
}

fn kfree_const(cx: &mut Cx, c: &Call) -> R {
    // What lies in a module or in the kernel's own data was never allocated.
    if lkm_machine::map::MODULES.holds(c.a[0]) || lkm_machine::map::KDATA.holds(c.a[0]) {
        return Ok(0);
    }
    crate::mm::slab::free(cx, c.a[0], "kfree_const")?;
    Ok(0)
}

fn kstrdup(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    let text = text(cx, c.a[0])?;
    duplicate(cx, &text, c.a[1])
}

fn kstrndup(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    let text = cx.cstr(c.a[0], c.a[1].min(1 << 31) as usize)?;
    duplicate(cx, &text, c.a[2])
}

fn kmemdup(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[0], c.a[1])?;
    let at = crate::mm::slab::alloc(cx, c.a[1], c.a[2])?;
    if at > 16 {
        cx.write(at, &bytes)?;
    }
    Ok(at)
}

fn kmemdup_nul(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    let bytes = cx.bytes(c.a[0], c.a[1])?;
    duplicate(cx, &bytes, c.a[2])
}

/// __memcat_p: two NULL-terminated arrays of pointers joined.
fn memcat_p(cx: &mut Cx, c: &Call) -> R {
    let mut all = Vec::new();
    for start in [c.a[0], c.a[1]] {
        for index in 0..1 << 20 {
            match cx.r64(start + index * 8)? {
                0 => break,
                word => all.push(word),
            }
        }
    }
    all.push(0);
    let at = crate::mm::slab::alloc(cx, all.len() as u64 * 8, 0xcc0)?;
    if at > 16 {
        crate::lib::bitmap::store(cx, at, &all)?;
    }
    Ok(at)
}

/// argv_split(gfp, text, &argc): one object holds the array and, behind it, the words.
fn argv_split(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[1])?;
    let words: Vec<&[u8]> = text
        .split(|&b| ctype::is_space(b))
        .filter(|w| !w.is_empty())
        .collect();
    let array = (words.len() as u64 + 1) * 8;
    let size = array + words.iter().map(|w| w.len() as u64 + 1).sum::<u64>();
    let at = crate::mm::slab::alloc(cx, size, c.a[0])?;
    if at <= 16 {
        return Ok(0);
    }
    let mut end = at + array;
    for (index, word) in words.iter().enumerate() {
        cx.w64(at + 8 * index as u64, end)?;
        cx.write(end, word)?;
        cx.w8(end + word.len() as u64, 0)?;
        end += word.len() as u64 + 1;
    }
    cx.w64(at + array - 8, 0)?;
    if c.a[2] != 0 {
        cx.w32(c.a[2], words.len() as u32)?;
    }
    Ok(at)
}

fn argv_free(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::free(cx, c.a[0], "argv_free")?;
    Ok(0)
}

fn kfree_strarray(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(0);
    }
    for index in 0..c.a[1] {
        let entry = cx.r64(c.a[0] + 8 * index)?;
        crate::mm::slab::free(cx, entry, "kfree_strarray")?;
    }
    crate::mm::slab::free(cx, c.a[0], "kfree_strarray")?;
    Ok(0)
}
