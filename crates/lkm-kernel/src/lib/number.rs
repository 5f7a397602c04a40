//! Reading numbers from text (lib/kstrtox.c's _parse_integer, lib/vsprintf.c's simple_strto*).

/// A number read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Its value, wrapped when it is too large.
    pub value: u64,
    /// Digits read.
    pub digits: usize,
    /// Whether it was too large for 64 bits.
    pub overflow: bool,
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The base that a prefix says, and the length of the prefix.
pub(crate) fn radix(text: &[u8], base: u32) -> (u32, usize) {
    let hex = text.first() == Some(&b'0') && matches!(text.get(1), Some(b'x' | b'X'));
    let base = match base {
        0 if hex && text.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
        0 if text.first() == Some(&b'0') => 8,
        0 => 10,
        n => n,
    };
    (base, if base == 16 && hex { 2 } else { 0 })
}

/// Reads at most `max` digits.
pub(crate) fn integer(text: &[u8], base: u32, max: usize) -> Parsed {
    let base = u64::from(base.clamp(2, 16));
    let mut out = Parsed {
        value: 0,
        digits: 0,
        overflow: false,
    };
    for &byte in text.iter().take(max) {
        let Some(value) = digit(byte).filter(|&d| d < base) else {
            break;
        };
        let next = u128::from(out.value) * u128::from(base) + u128::from(value);
        out.overflow |= next > u128::from(u64::MAX);
        out.value = next as u64;
        out.digits += 1;
    }
    out
}

/// simple_strtoull of at most `max` characters: value and characters used.
pub(crate) fn simple(text: &[u8], base: u32, max: usize) -> (u64, usize) {
    let (base, prefix) = radix(text, base);
    if prefix >= max {
        return (0, max.min(text.len()));
    }
    let got = integer(&text[prefix..], base, max - prefix);
    (got.value, prefix + got.digits)
}

/// simple_strtoll: the same with a sign.
pub(crate) fn simple_signed(text: &[u8], base: u32, max: usize) -> (i64, usize) {
    if text.first() == Some(&b'-') && max > 0 {
        let (value, used) = simple(&text[1..], base, max - 1);
        return ((value as i64).wrapping_neg(), used + 1);
    }
    let (value, used) = simple(text, base, max);
    (value as i64, used)
}

/// Why a strict conversion failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// -ERANGE.
    Range,
    /// -EINVAL.
    Invalid,
}

/// kstrtoull: the whole text is the number, a sign and one newline allowed.
pub(crate) fn strict(text: &[u8], base: u32) -> Result<u64, Bad> {
    unsigned(text.strip_prefix(b"+").unwrap_or(text), base)
}

fn unsigned(text: &[u8], base: u32) -> Result<u64, Bad> {
    let (base, prefix) = radix(text, base);
    let text = &text[prefix..];
    let got = integer(text, base, usize::MAX);
    if got.overflow {
        return Err(Bad::Range);
    }
    if got.digits == 0 {
        return Err(Bad::Invalid);
    }
    match &text[got.digits..] {
        b"" | b"\n" => Ok(got.value),
        _ => Err(Bad::Invalid),
    }
}

/// kstrtoll.
pub(crate) fn strict_signed(text: &[u8], base: u32) -> Result<i64, Bad> {
    if let Some(text) = text.strip_prefix(b"-") {
        let value = unsigned(text, base)?;
        if value > 1 << 63 {
            return Err(Bad::Range);
        }
        return Ok((value as i64).wrapping_neg());
    }
    i64::try_from(strict(text, base)?).map_err(|_| Bad::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_numbers() {
        assert_eq!(strict(b"0x10\n", 0), Ok(16));
        assert_eq!(strict(b"010", 0), Ok(8));
        assert_eq!(strict(b"+7", 10), Ok(7));
        assert_eq!(strict(b"-7", 10), Err(Bad::Invalid));
        assert_eq!(strict(b"7\n\n", 10), Err(Bad::Invalid));
        assert_eq!(strict(b"18446744073709551616", 10), Err(Bad::Range));
        assert_eq!(strict_signed(b"-9223372036854775808", 10), Ok(i64::MIN));
        assert_eq!(strict_signed(b"9223372036854775808", 10), Err(Bad::Range));
        assert_eq!(strict_signed(b"-+1", 10), Err(Bad::Invalid));
    }

    #[test]
    fn simple_numbers_say_where_they_end() {
        assert_eq!(simple(b"0x1fz", 0, 100), (31, 4));
        assert_eq!(simple(b"0xz", 0, 100), (0, 1));
        assert_eq!(simple(b"0x12", 16, 2), (0, 2));
        assert_eq!(simple_signed(b"-12,", 10, 100), (-12, 3));
    }
}
