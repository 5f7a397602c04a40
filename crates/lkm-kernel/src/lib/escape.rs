//! Escaping and unescaping of strings, and sizes for people (lib/string_helpers.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::lib::ctype;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("string_escape_mem", string_escape_mem),
    behaves("string_unescape", string_unescape),
    behaves("string_get_size", string_get_size),
];

/// ESCAPE_SPACE: \f \n \r \t \v.
pub(crate) const SPACE: u32 = 0x01;
/// ESCAPE_SPECIAL: \" \\ \a \e.
pub(crate) const SPECIAL: u32 = 0x02;
/// ESCAPE_NULL: \0.
pub(crate) const NULL: u32 = 0x04;
/// ESCAPE_OCTAL.
pub(crate) const OCTAL: u32 = 0x08;
/// ESCAPE_NP: printable characters pass.
pub(crate) const NP: u32 = 0x10;
/// ESCAPE_HEX.
pub(crate) const HEX: u32 = 0x20;
/// ESCAPE_NA: ASCII characters pass.
const NA: u32 = 0x40;
/// ESCAPE_NAP: printable ASCII characters pass.
const NAP: u32 = 0x80;
/// ESCAPE_APPEND: `only` adds to the classes instead of restricting them.
const APPEND: u32 = 0x100;

/// Escapes as the flags say; `only` is the dictionary, empty for none.
pub(crate) fn escape(bytes: &[u8], flags: u32, only: &[u8]) -> Vec<u8> {
    let append = flags & APPEND != 0;
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        let listed = only.contains(&byte) || (!only.is_empty() && byte == 0);
        let (ascii, printable) = (byte < 0x80, ctype::is_print(byte));
        let exempt = append && listed;
        let passes = !(append || listed || only.is_empty())
            || (!exempt
                && ((flags & NAP != 0 && ascii && printable)
                    || (flags & NP != 0 && printable)
                    || (flags & NA != 0 && ascii)));
        if passes {
            out.push(byte);
            continue;
        }
        let space = match byte {
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            0x0b => Some(b'v'),
            0x0c => Some(b'f'),
            _ => None,
        };
        let special = match byte {
            b'\\' => Some(b'\\'),
            0x07 => Some(b'a'),
            0x1b => Some(b'e'),
            b'"' => Some(b'"'),
            _ => None,
        };
        let letter = space
            .filter(|_| flags & SPACE != 0)
            .or(special.filter(|_| flags & SPECIAL != 0))
            .or((byte == 0 && flags & NULL != 0).then_some(b'0'));
        if let Some(letter) = letter {
            out.extend([b'\\', letter]);
        } else if flags & OCTAL != 0 {
            out.extend(format!("\\{byte:03o}").bytes());
        } else if flags & HEX != 0 {
            out.extend(format!("\\x{byte:02x}").bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

fn string_escape_mem(cx: &mut Cx, c: &Call) -> R {
    let [src, len, dst, room, flags, only] = c.a;
    let bytes = cx.bytes(src, len)?;
    let only = if only == 0 {
        Vec::new()
    } else {
        cx.cstr(only, 4096)?
    };
    let out = escape(&bytes, flags as u32, &only);
    cx.write(dst, &out[..out.len().min(room as usize)])?;
    Ok(out.len() as u64)
}

/// Undoes escapes of the classes in `flags` (UNESCAPE_*: space 1, octal 2, hex 4, special 8); the result has
/// less than `room` bytes.
pub(crate) fn unescape(src: &[u8], room: usize, flags: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    // As the kernel does, the last byte of the room is kept for the NUL.
    let mut room = room;
    while at < src.len() && room > 1 {
        room -= 1;
        let rest = &src[at..];
        if rest[0] == b'\\' && rest.len() > 1 && room > 1 {
            room -= 1;
            let simple = |table: &[(u8, u8)]| {
                table
                    .iter()
                    .find(|(letter, _)| *letter == rest[1])
                    .map(|&(_, byte)| byte)
            };
            let spaces = [
                (b'n', b'\n'),
                (b'r', b'\r'),
                (b't', b'\t'),
                (b'v', 0x0b),
                (b'f', 0x0c),
            ];
            let specials = [(b'"', b'"'), (b'\\', b'\\'), (b'a', 0x07), (b'e', 0x1b)];
            if flags & 1 != 0
                && let Some(byte) = simple(&spaces)
            {
                out.push(byte);
                at += 2;
                continue;
            }
            if flags & 2 != 0
                && let Some((byte, used)) = octal(&rest[1..])
            {
                out.push(byte);
                at += 1 + used;
                continue;
            }
            if flags & 4 != 0
                && let Some((byte, used)) = hexadecimal(&rest[1..])
            {
                out.push(byte);
                at += 1 + used;
                continue;
            }
            if flags & 8 != 0
                && let Some(byte) = simple(&specials)
            {
                out.push(byte);
                at += 2;
                continue;
            }
            out.push(b'\\');
            at += 1;
        }
        out.push(src[at]);
        at += 1;
    }
    out
}

fn octal(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |b: &u8| (b'0'..=b'7').contains(b).then(|| u32::from(b - b'0'));
    let mut value = digit(text.first()?)?;
    let mut used = 1;
    while used < 3
        && value < 32
        && let Some(next) = text.get(used).and_then(digit)
    {
        value = value * 8 + next;
        used += 1;
    }
    Some((value as u8, used))
}

fn hexadecimal(text: &[u8]) -> Option<(u8, usize)> {
    if text.first() != Some(&b'x') {
        return None;
    }
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let mut value = digit(text.get(1)?)?;
    let mut used = 2;
    if let Some(next) = text.get(2).and_then(digit) {
        value = value * 16 + next;
        used += 1;
    }
    Some((value as u8, used))
}

fn string_unescape(cx: &mut Cx, c: &Call) -> R {
    let text = cx.cstr(c.a[0], 1 << 20)?;
    // A size of 0 means that the result cannot be longer than the source.
    let room = match c.a[2] {
        0 => usize::MAX,
        n => n as usize,
    };
    let mut out = unescape(&text, room, c.a[3] as u32);
    out.push(0);
    cx.write(c.a[1], &out)?;
    Ok(out.len() as u64 - 1)
}

/// `size` blocks of `block` bytes in units of 1000 (0) or 1024 (1), to three digits.
pub(crate) fn size_text(size: u64, block: u64, binary: bool) -> String {
    const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
    let divisor: u64 = if binary { 1024 } else { 1000 };
    let units = if binary { BINARY } else { DECIMAL };
    let (mut size, mut block) = if block == 0 { (0, 0) } else { (size, block) };
    let mut exponent = 0;
    let mut fraction = String::new();
    if size != 0 {
        while block >> 32 != 0 {
            block /= divisor;
            exponent += 1;
        }
        while size >> 32 != 0 {
            size /= divisor;
            exponent += 1;
        }
        size *= block;
        let mut remainder = 0;
        while size >= divisor {
            remainder = size % divisor;
            size /= divisor;
            exponent += 1;
        }
        let mut places = 0;
        let mut significant = size;
        while significant * 10 < 1000 && places < 3 {
            significant *= 10;
            places += 1;
        }
        if binary {
            remainder = (remainder * 1000) >> 10;
        }
        remainder += [500, 50, 5, 0][places];
        if remainder >= 1000 {
            remainder -= 1000;
            size += 1;
        }
        if places > 0 {
            fraction = format!(".{remainder:03}");
            fraction.truncate(places + 1);
        }
    }
    let unit = units.get(exponent).copied().unwrap_or("UNK");
    format!("{}{fraction} {unit}", size as u32)
}

fn string_get_size(cx: &mut Cx, c: &Call) -> R {
    let text = size_text(c.a[0], c.a[1], c.a[2] as u32 & 1 != 0);
    crate::lib::put_string(cx, c.a[3], text.as_bytes(), u64::from(c.a[4] as u32))?;
    Ok(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        assert_eq!(size_text(16384, 512, true), "8.00 MiB");
        assert_eq!(size_text(16384, 512, false), "8.39 MB");
        assert_eq!(size_text(500_118_192, 512, true), "238 GiB");
        assert_eq!(size_text(0, 512, true), "0 B");
        assert_eq!(size_text(1, 1, false), "1.00 B");
    }

    #[test]
    fn escapes_go_there_and_back() {
        let text = b"a\n\"\\\0\x07z";
        let out = escape(text, SPACE | SPECIAL | OCTAL | NULL | NP, &[]);
        // NUL and BEL have their own letters before octal is tried.
        assert_eq!(out, b"a\\n\"\\\\0\\az");
        assert_eq!(escape(b"a\xff", HEX | NA, &[]), b"a\\xff");
        assert_eq!(unescape(b"\\n\\x41\\101\\\\", 100, 15), b"\nAA\\");
        assert_eq!(unescape(b"abcdef", 4, 15), b"abc");
    }
}
