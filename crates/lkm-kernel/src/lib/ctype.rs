//! Character classes (lib/ctype.c): ISO 8859-1, computed from their definition.

const U: u8 = 0x01;
const L: u8 = 0x02;
const D: u8 = 0x04;
const C: u8 = 0x08;
const P: u8 = 0x10;
const S: u8 = 0x20;
const X: u8 = 0x40;
const SP: u8 = 0x80;

/// The classes of a byte, as in `_ctype`.
pub(crate) const fn class(byte: u8) -> u8 {
    match byte {
        b'\t'..=b'\r' => C | S,
        0..=0x1f | 0x7f => C,
        b' ' => S | SP,
        b'0'..=b'9' => D,
        b'A'..=b'F' => U | X,
        b'G'..=b'Z' => U,
        b'a'..=b'f' => L | X,
        b'g'..=b'z' => L,
        0x21..=0x7e => P,
        0x80..=0x9f => 0,
        0xa0 => S | SP,
        0xa1..=0xbf | 0xd7 | 0xf7 => P,
        0xc0..=0xde => U,
        0xdf..=0xff => L,
    }
}

/// isspace.
pub(crate) const fn is_space(byte: u8) -> bool {
    class(byte) & S != 0
}

/// isprint.
pub(crate) const fn is_print(byte: u8) -> bool {
    class(byte) & (P | U | L | D | SP) != 0
}

/// tolower: letters of ISO 8859-1 too.
pub(crate) const fn lower(byte: u8) -> u8 {
    if class(byte) & U != 0 {
        byte + 0x20
    } else {
        byte
    }
}
