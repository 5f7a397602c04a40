//! Universally unique names (lib/uuid.c).

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("uuid_is_valid", is_valid),
    behaves("uuid_parse", uuid_parse),
    behaves("guid_parse", guid_parse),
    behaves("uuid_gen", uuid_gen),
    behaves("guid_gen", guid_gen),
    behaves("generate_random_uuid", uuid_gen),
    behaves("generate_random_guid", guid_gen),
];

/// The bytes of xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in the order they are written in.
pub(crate) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text = text.get(..36)?;
    let mut digits = Vec::with_capacity(32);
    for (at, &byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
        } else {
            digits.push(char::from(byte).to_digit(16)? as u8);
        }
    }
    Some(std::array::from_fn(|i| {
        digits[2 * i] << 4 | digits[2 * i + 1]
    }))
}

/// Between the order of a uuid_t and that of a guid_t.
fn swapped(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

fn is_valid(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(parse(&cx.cstr(c.a[0], 36)?).is_some()))
}

fn uuid_parse(cx: &mut Cx, c: &Call) -> R {
    match parse(&cx.cstr(c.a[0], 36)?) {
        Some(bytes) => cx.write(c.a[1], &bytes).map(|()| 0).map_err(Into::into),
        None => Ok(neg(errno::EINVAL)),
    }
}

fn guid_parse(cx: &mut Cx, c: &Call) -> R {
    match parse(&cx.cstr(c.a[0], 36)?) {
        Some(bytes) => cx
            .write(c.a[1], &swapped(bytes))
            .map(|()| 0)
            .map_err(Into::into),
        None => Ok(neg(errno::EINVAL)),
    }
}

fn random(cx: &mut Cx) -> [u8; 16] {
    let mut bytes = [0; 16];
    super::random::fill(cx, &mut bytes);
    // Version 4, the variant of RFC 4122.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn uuid_gen(cx: &mut Cx, c: &Call) -> R {
    let bytes = random(cx);
    cx.write(c.a[0], &bytes)?;
    Ok(0)
}

fn guid_gen(cx: &mut Cx, c: &Call) -> R {
    let bytes = swapped(random(cx));
    cx.write(c.a[0], &bytes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_or_refused() {
        let bytes = parse(b"c33f4995-3701-450e-9fbf-206a2e98e576").unwrap();
        assert_eq!(bytes[..4], [0xc3, 0x3f, 0x49, 0x95]);
        assert_eq!(swapped(bytes)[..4], [0x95, 0x49, 0x3f, 0xc3]);
        assert_eq!(parse(b"c33f4995-3701-450e-9fbf206a2e98e576 "), None);
        assert_eq!(parse(b"64b4371c-77c1-48f9-8221-29f054XX023b"), None);
        assert_eq!(parse(b"c33f4995"), None);
    }
}
