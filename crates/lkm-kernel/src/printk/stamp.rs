//! `%pt`, `%p4cc`, `%pr`, `%pb`: times, pixel formats, resources and bitmaps.

use super::format::{Spec, number, precise, widen};
use super::pointer;
use crate::Cx;
use crate::abi::R;

fn zero_padded(width: i64) -> Spec {
    Spec {
        zero: true,
        signed: true,
        width,
        ..Spec::PLAIN
    }
}

/// Broken-down time: second, minute, hour, day, month from 0, year from 1900.
pub(crate) type Moment = [i32; 6];

/// `%ptR`, `%ptT` with their d, t, r and s.
pub(super) fn time(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: &[u8]) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let moment: Moment = match kind.get(1) {
        Some(b'R') => {
            let mut moment = [0; 6];
            for (i, field) in moment.iter_mut().enumerate() {
                *field = cx.r32(ptr + 4 * i as u64)? as i32;
            }
            moment
        }
        Some(b'T') => from_seconds(cx.r64(ptr)? as i64),
        _ => {
            pointer::error(out, "(%pt?)", spec);
            return Ok(());
        }
    };
    let (mut date, mut clock, mut at) = (true, true, 2);
    match kind.get(2) {
        Some(b'd') => {
            clock = false;
            at += 1;
        }
        Some(b't') => {
            date = false;
            at += 1;
        }
        _ => {}
    }
    let (mut raw, mut separator) = (false, b'T');
    while let Some(letter @ (b'r' | b's')) = kind.get(at) {
        if *letter == b'r' {
            raw = true;
        } else {
            separator = b' ';
        }
        at += 1;
    }
    let [sec, min, hour, day, month, year] = moment;
    let put = |out: &mut Vec<u8>, value: i32, width| {
        number(out, i64::from(value) as u64, zero_padded(width));
    };
    if date {
        put(out, year.wrapping_add(if raw { 0 } else { 1900 }), 4);
        out.push(b'-');
        put(out, month.wrapping_add(i32::from(!raw)), 2);
        out.push(b'-');
        put(out, day, 2);
    }
    if date && clock {
        out.push(separator);
    }
    if clock {
        put(out, hour, 2);
        out.push(b':');
        put(out, min, 2);
        out.push(b':');
        put(out, sec, 2);
    }
    Ok(())
}

/// time64_to_tm: seconds since 1970 in the proleptic Gregorian calendar.
pub(crate) fn from_seconds(total: i64) -> Moment {
    let days = total.div_euclid(86_400);
    let rest = total.rem_euclid(86_400);
    // Days since 0000-03-01, so that the leap day ends a year.
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march + 2) / 5 + 1;
    let month = (march + 2) % 12;
    let year = year_of_era + era * 400 + i128::from(month < 2);
    [
        (rest % 60) as i32,
        (rest / 60 % 60) as i32,
        (rest / 3600) as i32,
        day as i32,
        month as i32,
        (year - 1900) as i32,
    ]
}

/// `%p4cc`.
pub(super) fn fourcc(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: &[u8]) -> R<()> {
    if kind.get(1..3) != Some(b"cc") {
        pointer::error(out, "(%p4?)", spec);
        return Ok(());
    }
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let code = cx.r32(ptr)?;
    let letters: String = (code & 0x7fff_ffff)
        .to_le_bytes()
        .iter()
        .map(|&b| {
            if (0x20..0x7f).contains(&b) {
                char::from(b)
            } else {
                '.'
            }
        })
        .collect();
    let order = if code >> 31 != 0 { "big" } else { "little" };
    let text = format!("{letters} {order}-endian (0x{code:08x})");
    precise(out, text.as_bytes(), spec);
    Ok(())
}

/// `%pr` and `%pR`: a struct resource.
pub(super) fn resource(
    cx: &mut Cx,
    out: &mut Vec<u8>,
    ptr: u64,
    spec: Spec,
    decode: bool,
) -> R<()> {
    const IO: u64 = 0x100;
    const MEM: u64 = 0x200;
    const IRQ: u64 = 0x400;
    const DMA: u64 = 0x800;
    const BUS: u64 = 0x1000;
    const PREFETCH: u64 = 0x2000;
    const MEM_64: u64 = 0x10_0000;
    const WINDOW: u64 = 0x20_0000;
    const DISABLED: u64 = 0x1000_0000;
    const UNSET: u64 = 0x2000_0000;
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let (start_at, end_at, flags_at) = (
        cx.off.resource_start,
        cx.off.resource_end,
        cx.off.resource_flags,
    );
    let (start, end, flags) = (
        cx.r64(ptr + start_at)?,
        cx.r64(ptr + end_at)?,
        cx.r64(ptr + flags_at)?,
    );
    let decimal = Spec {
        signed: true,
        ..Spec::PLAIN
    };
    let (name, how, known): (&[u8], Spec, bool) = match flags {
        f if f & IO != 0 => (b"io  ", Spec::hex(6, true), true),
        f if f & MEM != 0 => (b"mem ", Spec::hex(10, true), true),
        f if f & IRQ != 0 => (b"irq ", decimal, true),
        f if f & DMA != 0 => (b"dma ", decimal, true),
        f if f & BUS != 0 => (b"bus ", Spec::hex(2, false), true),
        _ => (b"??? ", Spec::hex(10, true), false),
    };
    let decode = decode && known;
    let mut text = vec![b'['];
    text.extend(name);
    if decode && flags & UNSET != 0 {
        text.extend(b"size ");
        number(&mut text, end.wrapping_sub(start).wrapping_add(1), how);
    } else {
        number(&mut text, start, how);
        if start != end {
            text.push(b'-');
            number(&mut text, end, how);
        }
    }
    if decode {
        for (bit, word) in [
            (MEM_64, " 64bit"),
            (PREFETCH, " pref"),
            (WINDOW, " window"),
            (DISABLED, " disabled"),
        ] {
            if flags & bit != 0 {
                text.extend(word.bytes());
            }
        }
    } else {
        text.extend(b" flags ");
        number(&mut text, flags, Spec::hex(-1, true));
    }
    text.push(b']');
    precise(out, &text, spec);
    Ok(())
}

/// `%*pb` and `%*pbl`: a bitmap of as many bits as the width says.
pub(super) fn bitmap(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, list: bool) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let bits = spec.width.max(0) as u64;
    let bytes = cx.bytes(ptr, bits.div_ceil(64) * 8)?;
    let text = if list {
        crate::lib::bitmap::list(&bytes, bits)
    } else {
        crate::lib::bitmap::mask(&bytes, bits)
    };
    let plain = Spec { width: -1, ..spec };
    widen(out, text.as_bytes(), plain);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        assert_eq!(from_seconds(1_546_615_943), [23, 32, 15, 4, 0, 119]);
        assert_eq!(from_seconds(0), [0, 0, 0, 1, 0, 70]);
        assert_eq!(from_seconds(-1), [59, 59, 23, 31, 11, 69]);
        assert_eq!(
            from_seconds(951_782_400),
            [0, 0, 0, 29, 1, 100],
            "a leap day"
        );
    }
}
