//! The kernel's format language (lib/vsprintf.c): flags, widths, precisions, qualifiers and conversions.
//! What `%p` can be is in `pointer`.

use super::pointer;
use crate::Cx;
use crate::abi::{R, VaList};

/// Longest output of one call: what a guest may ask for by widths is bounded by this.
pub const OUTPUT_MAX: usize = 4 << 20;
/// FIELD_WIDTH_MAX and PRECISION_MAX of the kernel.
const WIDTH_MAX: i64 = (1 << 23) - 1;
const PRECISION_MAX: i64 = (1 << 15) - 1;

/// A conversion specification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub left: bool,
    pub plus: bool,
    pub space: bool,
    /// `#`: a prefix for octal and hexadecimal.
    pub special: bool,
    pub zero: bool,
    /// Lower-case digits.
    pub small: bool,
    pub signed: bool,
    pub base: u64,
    /// -1: none.
    pub width: i64,
    /// -1: none.
    pub precision: i64,
}

impl Spec {
    pub(crate) const PLAIN: Spec = Spec {
        left: false,
        plus: false,
        space: false,
        special: false,
        zero: false,
        small: false,
        signed: false,
        base: 10,
        width: -1,
        precision: -1,
    };

    /// `%#0Nx` as the kernel prints fixed-size numbers.
    pub(crate) const fn hex(width: i64, special: bool) -> Spec {
        Spec {
            small: true,
            special,
            zero: true,
            base: 16,
            width,
            ..Spec::PLAIN
        }
    }
}

/// Where the arguments come from.
pub(crate) enum Source<'a> {
    /// A C argument list.
    List(&'a mut VaList),
    /// The binary arguments of bstr_printf: address now, end.
    Binary(u64, u64),
}

/// Bytes an argument has in binary form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Byte,
    Short,
    Int,
    Long,
}

impl Source<'_> {
    fn next(&mut self, cx: &Cx, size: Size) -> R {
        match self {
            Source::List(list) => Ok(list.next(cx)?),
            Source::Binary(at, end) => {
                let bytes = match size {
                    Size::Byte => 1,
                    Size::Short => 2,
                    Size::Int => 4,
                    Size::Long => 8,
                };
                // vbin_printf aligns each value to its size, 64-bit ones to 4.
                let addr = at.next_multiple_of(bytes.min(4));
                if addr + bytes > *end {
                    return Ok(0);
                }
                *at = addr + bytes;
                Ok(match size {
                    Size::Byte => cx.r8(addr)?.into(),
                    Size::Short => cx.r16(addr)?.into(),
                    Size::Int => cx.r32(addr)?.into(),
                    Size::Long => cx.r64(addr)?,
                })
            }
        }
    }
}

/// Formats the string at `fmt`; at most `max` bytes are kept.
pub fn vsnprintf(cx: &mut Cx, fmt: u64, args: &mut VaList, max: usize) -> R<Vec<u8>> {
    let mut out = vformat(cx, fmt, args)?;
    out.truncate(max);
    Ok(out)
}

/// Formats the string at `fmt`, whole.
pub fn vformat(cx: &mut Cx, fmt: u64, args: &mut VaList) -> R<Vec<u8>> {
    let fmt = cx.cstr(fmt, 1 << 16)?;
    run(cx, &fmt, &mut Source::List(args), 0)
}

/// Formats from the binary arguments that vbin_printf left in `words` 32-bit words at `buf`.
pub(crate) fn binary(cx: &mut Cx, fmt: u64, buf: u64, words: u64) -> R<Vec<u8>> {
    let fmt = cx.cstr(fmt, 1 << 16)?;
    run(cx, &fmt, &mut Source::Binary(buf, buf + words * 4), 0)
}

/// A parsed piece of a format.
pub(crate) enum Piece {
    /// Text, copied.
    Text(usize),
    /// A conversion with its letter and qualifier.
    Conversion {
        spec: Spec,
        letter: u8,
        qualifier: Qualifier,
        star_width: bool,
        star_precision: bool,
    },
}

/// Length modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Qualifier {
    None,
    Char,
    Short,
    Long,
}

fn digits(fmt: &[u8], at: &mut usize, max: i64) -> i64 {
    let mut value = 0i64;
    while let Some(byte) = fmt.get(*at).filter(|b| b.is_ascii_digit()) {
        value = (value * 10 + i64::from(byte - b'0')).min(max);
        *at += 1;
    }
    value
}

/// Decodes what is at `*at` (not past the end) and moves behind it.
pub(crate) fn piece(fmt: &[u8], at: &mut usize) -> Piece {
    if fmt[*at] != b'%' {
        let start = *at;
        while *at < fmt.len() && fmt[*at] != b'%' {
            *at += 1;
        }
        return Piece::Text(start);
    }
    *at += 1;
    let mut spec = Spec::PLAIN;
    loop {
        match fmt.get(*at) {
            Some(b'-') => spec.left = true,
            Some(b'+') => spec.plus = true,
            Some(b' ') => spec.space = true,
            Some(b'#') => spec.special = true,
            Some(b'0') => spec.zero = true,
            _ => break,
        }
        *at += 1;
    }
    let (mut star_width, mut star_precision) = (false, false);
    match fmt.get(*at) {
        Some(b'*') => {
            star_width = true;
            *at += 1;
        }
        Some(byte) if byte.is_ascii_digit() => spec.width = digits(fmt, at, WIDTH_MAX),
        _ => {}
    }
    if fmt.get(*at) == Some(&b'.') {
        *at += 1;
        match fmt.get(*at) {
            Some(b'*') => {
                star_precision = true;
                *at += 1;
            }
            Some(byte) if byte.is_ascii_digit() => {
                spec.precision = digits(fmt, at, PRECISION_MAX);
            }
            _ => {}
        }
    }
    let mut qualifier = Qualifier::None;
    match fmt.get(*at) {
        Some(&first @ (b'h' | b'l')) => {
            *at += 1;
            qualifier = if first == b'l' {
                Qualifier::Long
            } else {
                Qualifier::Short
            };
            if fmt.get(*at) == Some(&first) {
                *at += 1;
                if first == b'h' {
                    qualifier = Qualifier::Char;
                }
            }
        }
        Some(b'L' | b'z' | b't') => {
            *at += 1;
            qualifier = Qualifier::Long;
        }
        _ => {}
    }
    let letter = fmt.get(*at).copied().unwrap_or(0);
    *at += 1;
    match letter {
        b'o' => spec.base = 8,
        b'x' => {
            spec.base = 16;
            spec.small = true;
        }
        b'X' => spec.base = 16,
        b'd' | b'i' => spec.signed = true,
        _ => {}
    }
    Piece::Conversion {
        spec,
        letter,
        qualifier,
        star_width,
        star_precision,
    }
}

/// How large an argument of a conversion is.
pub(crate) fn size_of(letter: u8, qualifier: Qualifier) -> Size {
    match (letter, qualifier) {
        (b'c', _) => Size::Byte,
        (b'p' | b's', _) | (_, Qualifier::Long) => Size::Long,
        (_, Qualifier::None) => Size::Int,
        (_, Qualifier::Short) => Size::Short,
        (_, Qualifier::Char) => Size::Byte,
    }
}

/// Bends a star's value into the specification (set_field_width, set_precision).
pub(crate) fn set_width(spec: &mut Spec, value: i32) {
    let value = i64::from(value);
    if value < 0 {
        spec.left = true;
    }
    spec.width = value.abs().min(WIDTH_MAX);
}

pub(crate) fn set_precision(spec: &mut Spec, value: i32) {
    spec.precision = i64::from(value).clamp(0, PRECISION_MAX);
}

/// The whole language; `depth` counts nested `%pV`.
pub(crate) fn run(cx: &mut Cx, fmt: &[u8], args: &mut Source<'_>, depth: u32) -> R<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < fmt.len() && out.len() < OUTPUT_MAX {
        let start = at;
        let (mut spec, letter, qualifier, star_width, star_precision) = match piece(fmt, &mut at) {
            Piece::Text(from) => {
                out.extend_from_slice(&fmt[from..at]);
                continue;
            }
            Piece::Conversion {
                spec,
                letter,
                qualifier,
                star_width,
                star_precision,
            } => (spec, letter, qualifier, star_width, star_precision),
        };
        if star_width {
            set_width(&mut spec, args.next(cx, Size::Int)? as i32);
        }
        if star_precision {
            set_precision(&mut spec, args.next(cx, Size::Int)? as i32);
        }
        match letter {
            b'%' => out.push(b'%'),
            b'c' => {
                let byte = args.next(cx, Size::Byte)? as u8;
                widen(&mut out, &[byte], spec);
            }
            b's' => match args {
                Source::List(_) => {
                    let ptr = args.next(cx, Size::Long)?;
                    pointer::string(cx, &mut out, ptr, spec)?;
                }
                Source::Binary(here, _) => {
                    // Strings were copied, with their NUL.
                    let text = cx.cstr(*here, OUTPUT_MAX)?;
                    *here += text.len() as u64 + 1;
                    precise(&mut out, &text, spec);
                }
            },
            b'p' => {
                let kind = fmt.get(at..).unwrap_or_default();
                if let Source::Binary(here, _) = args
                    && !pointer::plain(kind)
                {
                    // vbin_printf resolved what must not be followed later, to text.
                    let text = cx.cstr(*here, OUTPUT_MAX)?;
                    *here += text.len() as u64 + 1;
                    out.extend_from_slice(&text);
                } else {
                    let ptr = args.next(cx, Size::Long)?;
                    pointer::pointer(cx, &mut out, kind, ptr, spec, depth)?;
                }
                while fmt.get(at).is_some_and(u8::is_ascii_alphanumeric) {
                    at += 1;
                }
            }
            b'd' | b'i' | b'o' | b'x' | b'X' | b'u' => {
                let raw = args.next(cx, size_of(letter, qualifier))?;
                let value = match (qualifier, spec.signed) {
                    (Qualifier::Long, _) => raw,
                    (Qualifier::None, true) => i64::from(raw as i32) as u64,
                    (Qualifier::None, false) => u64::from(raw as u32),
                    (Qualifier::Short, true) => i64::from(raw as i16) as u64,
                    (Qualifier::Short, false) => u64::from(raw as u16),
                    (Qualifier::Char, true) => i64::from(raw as i8) as u64,
                    (Qualifier::Char, false) => u64::from(raw as u8),
                };
                number(&mut out, value, spec);
            }
            _ => {
                // The remaining arguments cannot be told apart: the kernel stops here, and so do we.
                let text = format!(
                    "Please remove unsupported %{} in format string\n",
                    char::from(letter)
                );
                if !crate::trace::told(cx, "format") {
                    crate::traps::warn(cx, &text, "format_decode")?;
                }
                let _ = start;
                break;
            }
        }
    }
    out.truncate(OUTPUT_MAX);
    Ok(out)
}

fn pad(out: &mut Vec<u8>, byte: u8, count: i64) {
    let room = OUTPUT_MAX.saturating_sub(out.len()) as i64;
    out.resize(out.len() + count.clamp(0, room) as usize, byte);
}

/// Adds a number as number() of lib/vsprintf.c does.
pub(crate) fn number(out: &mut Vec<u8>, value: u64, spec: Spec) {
    let (mut value, mut width) = (value, spec.width);
    let mut sign = None;
    if spec.signed {
        if (value as i64) < 0 {
            sign = Some(b'-');
            value = (value as i64).unsigned_abs();
        } else if spec.plus {
            sign = Some(b'+');
        } else if spec.space {
            sign = Some(b' ');
        }
    }
    if sign.is_some() {
        width -= 1;
    }
    let prefixed = spec.special && spec.base != 10;
    let zero = value == 0;
    if prefixed {
        width -= if spec.base == 16 { 2 } else { i64::from(!zero) };
    }
    let mut digits = Vec::with_capacity(24);
    loop {
        let digit = (value % spec.base) as u8;
        digits.push(match (digit, spec.small) {
            (0..=9, _) => b'0' + digit,
            (_, true) => b'a' + digit - 10,
            (_, false) => b'A' + digit - 10,
        });
        value /= spec.base;
        if value == 0 {
            break;
        }
    }
    let precision = spec.precision.max(digits.len() as i64);
    width -= precision;
    let zero_pad = spec.zero && !spec.left;
    if !zero_pad && !spec.left {
        pad(out, b' ', width);
    }
    out.extend(sign);
    if prefixed {
        if spec.base == 16 || !zero {
            out.push(b'0');
        }
        if spec.base == 16 {
            out.push(if spec.small { b'x' } else { b'X' });
        }
    }
    if zero_pad {
        pad(out, b'0', width);
    }
    pad(out, b'0', precision - digits.len() as i64);
    out.extend(digits.iter().rev());
    if spec.left {
        pad(out, b' ', width);
    }
}

/// Adds text, padded to the width.
pub(crate) fn widen(out: &mut Vec<u8>, text: &[u8], spec: Spec) {
    let missing = spec.width - text.len() as i64;
    if !spec.left {
        pad(out, b' ', missing);
    }
    out.extend_from_slice(text);
    if spec.left {
        pad(out, b' ', missing);
    }
}

/// The same, cut to the precision.
pub(crate) fn precise(out: &mut Vec<u8>, text: &[u8], spec: Spec) {
    let len = match spec.precision {
        -1 => text.len(),
        n => text.len().min(n as usize),
    };
    widen(out, &text[..len], spec);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(fmt: &str, value: u64) -> String {
        let mut at = 0;
        let Piece::Conversion { spec, .. } = piece(fmt.as_bytes(), &mut at) else {
            panic!("not a conversion")
        };
        assert_eq!(at, fmt.len());
        let mut out = Vec::new();
        number(&mut out, value, spec);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_printed_as_the_kernel_does() {
        assert_eq!(num("%#-12x", 0x1234_abcd), "0x1234abcd  ");
        assert_eq!(num("%#12x", 0x1234_abcd), "  0x1234abcd");
        assert_eq!(num("%+d", 123), "+123");
        assert_eq!(num("% d", 1234), " 1234");
        assert_eq!(num("%03d", 1), "001");
        assert_eq!(num("%#02x", 0xf0), "0xf0");
        assert_eq!(num("%.2d", 0), "00");
        assert_eq!(
            num("%.0d", 0),
            "0",
            "the kernel prints a zero here, C does not"
        );
        assert_eq!(num("%#o", 8), "010");
        assert_eq!(num("%#o", 0), "0");
        assert_eq!(num("%d", -5i64 as u64), "-5");
        assert_eq!(num("%08.3d", 7), "00000007");
        assert_eq!(num("%lld", i64::MIN as u64), "-9223372036854775808");
    }

    #[test]
    fn huge_widths_stay_bounded() {
        assert_eq!(num("%99999999999999999999d", 1).len(), OUTPUT_MAX + 1);
    }
}
