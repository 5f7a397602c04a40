//! Bitmaps as text (lib/bitmap.c): parsing of masks and lists, printing into buffers.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::lib::{bitmap, ctype, number};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("bitmap_parse", parse),
    behaves("bitmap_parselist", parselist),
    behaves("bitmap_print_to_pagebuf", print_page),
    behaves("bitmap_print_bitmask_to_buf", print_mask),
    behaves("bitmap_print_list_to_buf", print_list),
];

/// A mask in hexadecimal, groups of at most 32 bits separated by commas; the errno when it is none.
pub(crate) fn from_mask(text: &[u8], bits: u64) -> Result<Vec<u64>, i32> {
    let mut map = vec![0u64; bits.div_ceil(64) as usize];
    let trimmed = text
        .iter()
        .position(|&b| b == b'\n')
        .map_or(text, |end| &text[..end]);
    let groups: Vec<&[u8]> = trimmed
        .split(|&b| b == b',' || ctype::is_space(b))
        .filter(|g| !g.is_empty())
        .collect();
    for (index, group) in groups.iter().rev().enumerate() {
        let mut value = 0u64;
        for &byte in *group {
            let digit = char::from(byte).to_digit(16).ok_or(errno::EINVAL)?;
            value = value << 4 | u64::from(digit);
            if value >> 32 != 0 {
                return Err(errno::EOVERFLOW);
            }
        }
        let start = index as u64 * 32;
        let room = bits.saturating_sub(start).min(32);
        if value >> room != 0 {
            return Err(errno::EOVERFLOW);
        }
        if let Some(word) = map.get_mut(index / 2) {
            *word |= value << (32 * (index % 2));
        }
    }
    Ok(map)
}

fn parse(cx: &mut Cx, c: &Call) -> R {
    let [start, len, to, bits, ..] = c.a;
    let bits = u64::from(bits as u32);
    let text = cx.cstr(start, (len as u32).min(1 << 24) as usize)?;
    match from_mask(&text, bits) {
        Ok(map) => {
            bitmap::store(cx, to, &map)?;
            Ok(0)
        }
        Err(error) => Ok(neg(error)),
    }
}

/// A number of a list; `N` is the last bit.
fn bit(text: &[u8], at: &mut usize, last: u64) -> Result<u64, i32> {
    if text.get(*at) == Some(&b'N') {
        *at += 1;
        return Ok(last);
    }
    let got = number::integer(&text[*at..], 10, usize::MAX);
    if got.digits == 0 {
        return Err(errno::EINVAL);
    }
    if got.overflow || got.value > u64::from(u32::MAX) {
        return Err(errno::EOVERFLOW);
    }
    *at += got.digits;
    Ok(got.value)
}

/// A list of ranges: `a`, `a-b`, `a-b:used/group`, `all`, separated by commas and spaces.
pub(crate) fn from_list(text: &[u8], bits: u64) -> Result<Vec<u64>, i32> {
    let mut map = vec![0u64; bits.div_ceil(64) as usize];
    let last = bits.wrapping_sub(1);
    let end_of = |b: u8| matches!(b, 0 | b'\n');
    let separator = |b: u8| b == b',' || (ctype::is_space(b) && b != b'\n');
    let text = text
        .iter()
        .position(|&b| end_of(b))
        .map_or(text, |end| &text[..end]);
    let mut at = 0;
    loop {
        while text.get(at).is_some_and(|&b| separator(b)) {
            at += 1;
        }
        if at >= text.len() {
            return Ok(map);
        }
        let (start, end);
        if text[at..].len() >= 3 && text[at..at + 3].eq_ignore_ascii_case(b"all") {
            (start, end) = (0, last);
            at += 3;
        } else {
            start = bit(text, &mut at, last)?;
            if text.get(at) == Some(&b'-') {
                at += 1;
                end = bit(text, &mut at, last)?;
            } else {
                end = start;
            }
        }
        let (mut used, mut group) = (end.wrapping_add(1), end.wrapping_add(1));
        if text.get(at) == Some(&b':') {
            at += 1;
            used = bit(text, &mut at, last)?;
            if text.get(at) != Some(&b'/') {
                return Err(errno::EINVAL);
            }
            at += 1;
            group = bit(text, &mut at, last)?;
        }
        if text.get(at).is_some_and(|&b| !separator(b)) {
            return Err(errno::EINVAL);
        }
        if start > end || group == 0 || used > group {
            return Err(errno::EINVAL);
        }
        if end >= bits {
            return Err(errno::ERANGE);
        }
        let mut from = start;
        while from <= end {
            bitmap::change(&mut map, from, (end - from + 1).min(used), true);
            from += group;
        }
    }
}

fn parselist(cx: &mut Cx, c: &Call) -> R {
    let bits = u64::from(c.a[2] as u32);
    let text = crate::lib::text(cx, c.a[0])?;
    match from_list(&text, bits) {
        Ok(map) => {
            bitmap::store(cx, c.a[1], &map)?;
            Ok(0)
        }
        Err(error) => Ok(neg(error)),
    }
}

fn printed(cx: &Cx, map: u64, bits: u64, list: bool) -> R<Vec<u8>> {
    let bytes = cx.bytes(map, bits.div_ceil(64) * 8)?;
    let mut text = if list {
        bitmap::list(&bytes, bits)
    } else {
        bitmap::mask(&bytes, bits)
    };
    text.push('\n');
    Ok(text.into_bytes())
}

/// bitmap_print_to_pagebuf(list, buf, map, bits): to the end of the buffer's page.
fn print_page(cx: &mut Cx, c: &Call) -> R {
    let text = printed(cx, c.a[2], u64::from(c.a[3] as u32), c.a[0] as u8 != 0)?;
    let room = 4096 - (c.a[1] & 4095);
    crate::lib::put_string(cx, c.a[1], &text, room)?;
    Ok((text.len() as u64).min(room - 1))
}

/// (buf, map, bits, offset, count): a part of the text, as a sysfs file is read.
fn print_part(cx: &mut Cx, c: &Call, list: bool) -> R {
    let mut text = printed(cx, c.a[1], u64::from(c.a[2] as u32), list)?;
    text.push(0);
    let (offset, count) = (c.a[3] as i64, c.a[4]);
    if offset < 0 {
        return Ok(neg(errno::EINVAL));
    }
    let rest = text.get(offset as usize..).unwrap_or_default();
    let part = &rest[..rest.len().min(count as usize)];
    cx.write(c.a[0], part)?;
    Ok(part.len() as u64)
}

fn print_mask(cx: &mut Cx, c: &Call) -> R {
    print_part(cx, c, false)
}

fn print_list(cx: &mut Cx, c: &Call) -> R {
    print_part(cx, c, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks() {
        assert_eq!(from_list(b"0-2,5", 8), Ok(vec![0b10_0111]));
        assert_eq!(from_list(b"0-7:2/4", 8), Ok(vec![0b11_0011]));
        assert_eq!(from_list(b"all", 4), Ok(vec![0xf]));
        assert_eq!(from_list(b"3-1", 8), Err(errno::EINVAL));
        assert_eq!(from_list(b"9", 8), Err(errno::ERANGE));
        assert_eq!(from_list(b"-1", 8), Err(errno::EINVAL));
        assert_eq!(from_list(b"0-7:", 8), Err(errno::EINVAL));
        assert_eq!(from_mask(b"1,00000000", 64), Ok(vec![1 << 32]));
        assert_eq!(from_mask(b"10", 4), Err(errno::EOVERFLOW));
        assert_eq!(from_mask(b"gg", 64), Err(errno::EINVAL));
    }
}
