//! Arithmetic and checks (lib/math/, lib/crc*.c, lib/checksum.c, lib/list_debug.c, lib/refcount.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::trace;

pub(crate) const ROWS: &[Row] = &[
    behaves("int_sqrt", int_sqrt),
    behaves("gcd", gcd),
    behaves("lcm", lcm),
    behaves("lcm_not_zero", lcm_not_zero),
    behaves("mul_u64_u64_div_u64", mul_div),
    behaves("int_pow", int_pow),
    behaves("rational_best_approximation", rational),
    behaves("crc32_le", crc32_le),
    behaves("crc32_be", crc32_be),
    behaves("__crc32c_le", crc32c_le),
    behaves("crc16", crc16),
    behaves("crc_ccitt", crc_ccitt),
    behaves("crc_itu_t", crc_itu_t),
    behaves("crc7_be", crc7_be),
    behaves("crc8", crc8),
    behaves("crc8_populate_msb", crc8_msb),
    behaves("crc8_populate_lsb", crc8_lsb),
    behaves("csum_partial", csum_partial),
    behaves("ip_compute_csum", ip_compute_csum),
    behaves("__list_add_valid", list_add_valid),
    behaves("__list_add_valid_or_report", list_add_valid),
    behaves("__list_del_entry_valid", list_del_valid),
    behaves("__list_del_entry_valid_or_report", list_del_valid),
];

fn int_sqrt(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0].isqrt())
}

fn gcd_of(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn gcd(_: &mut Cx, c: &Call) -> R {
    Ok(gcd_of(c.a[0], c.a[1]))
}

fn lcm_of(a: u64, b: u64) -> u64 {
    match gcd_of(a, b) {
        0 => 0,
        g => (a / g).wrapping_mul(b),
    }
}

fn lcm(_: &mut Cx, c: &Call) -> R {
    Ok(lcm_of(c.a[0], c.a[1]))
}

fn lcm_not_zero(_: &mut Cx, c: &Call) -> R {
    Ok(match lcm_of(c.a[0], c.a[1]) {
        0 if c.a[1] != 0 => c.a[1],
        0 => c.a[0],
        n => n,
    })
}

fn mul_div(_: &mut Cx, c: &Call) -> R {
    let product = u128::from(c.a[0]) * u128::from(c.a[1]);
    Ok(product
        .checked_div(u128::from(c.a[2]))
        .map_or(0, |quotient| quotient as u64))
}

fn int_pow(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0].wrapping_pow(c.a[1] as u32))
}

/// The best fraction n/d of given/denominator within the limits, by continued fractions.
fn rational(cx: &mut Cx, c: &Call) -> R {
    let [numerator, denominator, max_n, max_d, to_n, to_d] = c.a;
    let (mut n, mut d) = (numerator, denominator);
    let (mut n0, mut d0, mut n1, mut d1) = (0u64, 1u64, 1u64, 0u64);
    while d != 0 {
        let previous = d;
        let a = n / d;
        d = n % d;
        n = previous;
        let (n2, d2) = (
            n0.wrapping_add(a.wrapping_mul(n1)),
            d0.wrapping_add(a.wrapping_mul(d1)),
        );
        if n2 > max_n || d2 > max_d {
            let mut t = max_d.wrapping_sub(d0).checked_div(d1).unwrap_or(u64::MAX);
            if let Some(limit) = max_n.wrapping_sub(n0).checked_div(n1) {
                t = t.min(limit);
            }
            if d1 == 0
                || 2 * t > a
                || (2 * t == a && d0.wrapping_mul(previous) > d1.wrapping_mul(d))
            {
                n1 = n0.wrapping_add(t.wrapping_mul(n1));
                d1 = d0.wrapping_add(t.wrapping_mul(d1));
            }
            break;
        }
        (n0, n1, d0, d1) = (n1, n2, d1, d2);
    }
    cx.w64(to_n, n1)?;
    cx.w64(to_d, d1)?;
    Ok(0)
}

/// A CRC whose lowest bit comes first.
fn reflected(mut crc: u32, bytes: &[u8], polynomial: u32) -> u32 {
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 != 0 { polynomial } else { 0 };
        }
    }
    crc
}

/// A CRC of `width` bits whose highest bit comes first.
fn straight(mut crc: u32, bytes: &[u8], polynomial: u32, width: u32) -> u32 {
    let top = 1u32 << (width - 1);
    for &byte in bytes {
        crc ^= u32::from(byte) << (width - 8);
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc & top != 0 { polynomial } else { 0 };
        }
    }
    if width < 32 {
        crc &= (1 << width) - 1;
    }
    crc
}

fn data(cx: &Cx, c: &Call) -> R<Vec<u8>> {
    Ok(cx.bytes(c.a[1], c.a[2])?)
}

fn crc32_le(cx: &mut Cx, c: &Call) -> R {
    Ok(reflected(c.a[0] as u32, &data(cx, c)?, 0xedb8_8320).into())
}

fn crc32c_le(cx: &mut Cx, c: &Call) -> R {
    Ok(reflected(c.a[0] as u32, &data(cx, c)?, 0x82f6_3b78).into())
}

fn crc32_be(cx: &mut Cx, c: &Call) -> R {
    Ok(straight(c.a[0] as u32, &data(cx, c)?, 0x04c1_1db7, 32).into())
}

fn crc16(cx: &mut Cx, c: &Call) -> R {
    Ok(reflected(u32::from(c.a[0] as u16), &data(cx, c)?, 0xa001).into())
}

fn crc_ccitt(cx: &mut Cx, c: &Call) -> R {
    Ok(reflected(u32::from(c.a[0] as u16), &data(cx, c)?, 0x8408).into())
}

fn crc_itu_t(cx: &mut Cx, c: &Call) -> R {
    Ok(straight(u32::from(c.a[0] as u16), &data(cx, c)?, 0x1021, 16).into())
}

/// CRC-7 in the upper bits of the byte: polynomial 0x09, shifted.
fn crc7_be(cx: &mut Cx, c: &Call) -> R {
    Ok(straight(u32::from(c.a[0] as u8), &data(cx, c)?, 0x12, 8).into())
}

/// crc8(table, data, length, crc).
fn crc8(cx: &mut Cx, c: &Call) -> R {
    let table = cx.bytes(c.a[0], 256)?;
    let mut crc = c.a[3] as u8;
    for byte in cx.bytes(c.a[1], c.a[2])? {
        crc = table[usize::from(crc ^ byte)];
    }
    Ok(crc.into())
}

fn crc8_msb(cx: &mut Cx, c: &Call) -> R {
    for byte in 0..=255u8 {
        let crc = straight(0, &[byte], u32::from(c.a[1] as u8), 8);
        cx.w8(c.a[0] + u64::from(byte), crc as u8)?;
    }
    Ok(0)
}

fn crc8_lsb(cx: &mut Cx, c: &Call) -> R {
    for byte in 0..=255u8 {
        let crc = reflected(0, &[byte], u32::from(c.a[1] as u8));
        cx.w8(c.a[0] + u64::from(byte), crc as u8)?;
    }
    Ok(0)
}

/// The ones' complement sum of 16-bit words, folded to 32 bits as the kernel keeps it.
fn partial(bytes: &[u8], start: u32) -> u32 {
    let mut sum = u64::from(start);
    for chunk in bytes.chunks(2) {
        let word = u16::from_le_bytes([chunk[0], chunk.get(1).copied().unwrap_or(0)]);
        sum += u64::from(word);
    }
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

fn csum_partial(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[0], u64::from(c.a[1] as u32))?;
    Ok(partial(&bytes, c.a[2] as u32).into())
}

fn ip_compute_csum(cx: &mut Cx, c: &Call) -> R {
    let bytes = cx.bytes(c.a[0], u64::from(c.a[1] as u32))?;
    let mut sum = partial(&bytes, 0);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    Ok(u64::from(!(sum as u16)))
}

/// A list is found damaged: the kernel prints what and warns, and the operation is not done.
fn corrupted(cx: &mut Cx, text: &str, key: u64, function: &'static str) -> R {
    // What the links are says what happened: never set, taken out before, put in before, or overwritten.
    let what = if text.contains("NULL") {
        "uninitialised"
    } else if text.contains("LIST_POISON") {
        "list-deleted"
    } else if text.contains("double add") {
        "duplicate"
    } else {
        "list-corruption"
    };
    trace::misuse(cx, what, text, key, function);
    crate::traps::warn(cx, &format!("{text}\n"), function)?;
    Ok(0)
}

fn list_add_valid(cx: &mut Cx, c: &Call) -> R {
    let [new, prev, next, ..] = c.a;
    let name = "__list_add_valid";
    if prev == 0 {
        return corrupted(cx, "list_add corruption. prev is NULL.", new, name);
    }
    if next == 0 {
        return corrupted(cx, "list_add corruption. next is NULL.", new, name);
    }
    let (back, forth) = (cx.r64(next + 8)?, cx.r64(prev)?);
    if back != prev {
        let text = format!(
            "list_add corruption. next->prev should be prev ({prev:016x}), but was {back:016x}. (next={next:016x})."
        );
        return corrupted(cx, &text, new, name);
    }
    if forth != next {
        let text = format!(
            "list_add corruption. prev->next should be next ({next:016x}), but was {forth:016x}. (prev={prev:016x})."
        );
        return corrupted(cx, &text, new, name);
    }
    if new == prev || new == next {
        let text =
            format!("list_add double add: new={new:016x}, prev={prev:016x}, next={next:016x}.");
        return corrupted(cx, &text, new, name);
    }
    Ok(1)
}

fn list_del_valid(cx: &mut Cx, c: &Call) -> R {
    const POISON1: u64 = 0xdead_0000_0000_0100;
    const POISON2: u64 = 0xdead_0000_0000_0122;
    let entry = c.a[0];
    let (next, prev) = (cx.r64(entry)?, cx.r64(entry + 8)?);
    let name = "__list_del_entry_valid";
    let fault = match (next, prev) {
        (0, _) => format!("list_del corruption, {entry:016x}->next is NULL"),
        (_, 0) => format!("list_del corruption, {entry:016x}->prev is NULL"),
        (POISON1, _) => {
            format!("list_del corruption, {entry:016x}->next is LIST_POISON1 ({POISON1:016x})")
        }
        (_, POISON2) => {
            format!("list_del corruption, {entry:016x}->prev is LIST_POISON2 ({POISON2:016x})")
        }
        _ => {
            let (forth, back) = (cx.r64(prev)?, cx.r64(next + 8)?);
            if forth != entry {
                format!(
                    "list_del corruption. prev->next should be {entry:016x}, but was {forth:016x}. (prev={prev:016x})"
                )
            } else if back != entry {
                format!(
                    "list_del corruption. next->prev should be {entry:016x}, but was {back:016x}. (next={next:016x})"
                )
            } else {
                return Ok(1);
            }
        }
    };
    corrupted(cx, &fault, entry, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crcs_of_the_check_string() {
        let check = b"123456789";
        assert_eq!(!reflected(!0, check, 0xedb8_8320), 0xcbf4_3926);
        assert_eq!(!reflected(!0, check, 0x82f6_3b78), 0xe306_9283);
        assert_eq!(reflected(0, check, 0xa001), 0xbb3d);
        assert_eq!(reflected(0, check, 0x8408), 0x2189);
        assert_eq!(straight(0, check, 0x1021, 16), 0x31c3);
        assert_eq!(straight(0, check, 0x12, 8) >> 1, 0x75);
    }
}
