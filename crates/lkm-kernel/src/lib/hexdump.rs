//! Bytes and hexadecimal text (lib/hexdump.c).

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::lib::ctype;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("hex_to_bin", hex_to_bin),
    behaves("hex2bin", hex2bin),
    behaves("bin2hex", bin2hex),
    behaves("hex_dump_to_buffer", hex_dump_to_buffer),
    behaves("print_hex_dump", print_hex_dump),
];

fn value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|d| d as u8)
}

fn hex_to_bin(_: &mut Cx, c: &Call) -> R {
    Ok(value(c.a[0] as u8).map_or(u64::MAX, u64::from))
}

fn hex2bin(cx: &mut Cx, c: &Call) -> R {
    let [dst, src, count, ..] = c.a;
    for index in 0..count {
        let (high, low) = (
            value(cx.r8(src + 2 * index)?),
            value(cx.r8(src + 2 * index + 1)?),
        );
        let (Some(high), Some(low)) = (high, low) else {
            return Ok(neg(errno::EINVAL));
        };
        cx.w8(dst + index, high << 4 | low)?;
    }
    Ok(0)
}

fn bin2hex(cx: &mut Cx, c: &Call) -> R {
    let [dst, src, count, ..] = c.a;
    let bytes = cx.bytes(src, count)?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    cx.write(dst, text.as_bytes())?;
    Ok(dst + 2 * count)
}

/// A line of a dump, whole.
pub(crate) fn line(bytes: &[u8], row: u64, group: u64, ascii: bool) -> Vec<u8> {
    let row = if row == 32 { 32 } else { 16 };
    let bytes = &bytes[..bytes.len().min(row)];
    let mut group = group as usize;
    if !matches!(group, 1 | 2 | 4 | 8) || !bytes.len().is_multiple_of(group) {
        group = 1;
    }
    let groups: Vec<String> = bytes
        .chunks(group)
        .map(|chunk| chunk.iter().rev().map(|b| format!("{b:02x}")).collect())
        .collect();
    let mut out = groups.join(" ").into_bytes();
    if ascii && !bytes.is_empty() {
        out.resize(row * 2 + row / group + 1, b' ');
        let shown = |b: u8| {
            if b.is_ascii() && ctype::is_print(b) {
                b
            } else {
                b'.'
            }
        };
        out.extend(bytes.iter().map(|&b| shown(b)));
    }
    out
}

fn hex_dump_to_buffer(cx: &mut Cx, c: &Call) -> R {
    let [buf, len, row, group, to, room] = c.a;
    let ascii = c.arg(cx, 6)? as u8 != 0;
    let (row, group) = (u64::from(row as u32), group as u32);
    let row = if row == 32 { 32 } else { 16 };
    let len = len.min(row);
    let bytes = cx.bytes(buf, len)?;
    let mut group = u64::from(group);
    if !matches!(group, 1 | 2 | 4 | 8) || !len.is_multiple_of(group) {
        group = 1;
    }
    let whole = line(&bytes, row, group, ascii);
    if room > whole.len() as u64 {
        cx.write(to, &whole)?;
        cx.w8(to + whole.len() as u64, 0)?;
        return Ok(whole.len() as u64);
    }
    // Too small: what fits is kept, and the length that a whole line takes is returned.
    crate::lib::put_string(cx, to, &whole, room)?;
    Ok(if ascii {
        row * 2 + row / group + 1 + len
    } else {
        ((group * 2 + 1) * (len / group)).wrapping_sub(1)
    })
}

fn print_hex_dump(cx: &mut Cx, c: &Call) -> R {
    const BY_ADDRESS: u64 = 1;
    const BY_OFFSET: u64 = 2;
    let [level, prefix, kind, row, group, buf] = c.a;
    let (len, ascii) = (c.arg(cx, 6)?, c.arg(cx, 7)? as u8 != 0);
    let level_text = cx.cstr(level, 16)?;
    let prefix = if prefix == 0 {
        Vec::new()
    } else {
        cx.cstr(prefix, 256)?
    };
    let row = if row as u32 == 32 { 32u64 } else { 16 };
    // The log is bounded; a dump of a gigabyte is not printed.
    let len = len.min(1 << 20);
    let mut offset = 0;
    while offset < len {
        let bytes = cx.bytes(buf + offset, (len - offset).min(row))?;
        let mut text = level_text.clone();
        text.extend(&prefix);
        match kind & 0xffff_ffff {
            BY_ADDRESS => text.extend(format!("{:016x}: ", buf + offset).bytes()),
            BY_OFFSET => text.extend(format!("{offset:08x}: ").bytes()),
            _ => {}
        }
        text.extend(line(&bytes, row, u64::from(group as u32), ascii));
        text.push(b'\n');
        crate::printk::log_bytes(cx, &text);
        offset += row;
    }
    Ok(0)
}
