//! kstrto*, simple_strto*, memparse and get_options (lib/kstrtox.c, lib/cmdline.c).

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::lib::number::{self, Bad};
use crate::lib::text;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("kstrtoull", unsigned::<8>),
    behaves("_kstrtoul", unsigned::<8>),
    behaves("kstrtouint", unsigned::<4>),
    behaves("kstrtou16", unsigned::<2>),
    behaves("kstrtou8", unsigned::<1>),
    behaves("kstrtoll", signed::<8>),
    behaves("_kstrtol", signed::<8>),
    behaves("kstrtoint", signed::<4>),
    behaves("kstrtos16", signed::<2>),
    behaves("kstrtos8", signed::<1>),
    behaves("kstrtobool", kstrtobool),
    behaves("kstrtoull_from_user", unsigned_user::<8>),
    behaves("kstrtoul_from_user", unsigned_user::<8>),
    behaves("kstrtouint_from_user", unsigned_user::<4>),
    behaves("kstrtou16_from_user", unsigned_user::<2>),
    behaves("kstrtou8_from_user", unsigned_user::<1>),
    behaves("kstrtoll_from_user", signed_user::<8>),
    behaves("kstrtol_from_user", signed_user::<8>),
    behaves("kstrtoint_from_user", signed_user::<4>),
    behaves("kstrtos16_from_user", signed_user::<2>),
    behaves("kstrtos8_from_user", signed_user::<1>),
    behaves("kstrtobool_from_user", bool_user),
    behaves("simple_strtoull", simple_unsigned),
    behaves("simple_strtoul", simple_unsigned),
    behaves("simple_strtoll", simple_signed),
    behaves("simple_strtol", simple_signed),
    behaves("memparse", memparse),
    behaves("get_option", get_option),
    behaves("get_options", get_options),
];

fn errno_of(bad: Bad) -> u64 {
    neg(match bad {
        Bad::Range => errno::ERANGE,
        Bad::Invalid => errno::EINVAL,
    })
}

fn store(cx: &Cx, at: u64, value: u64, size: u64) -> R<()> {
    Ok(cx.write(at, &value.to_le_bytes()[..size as usize])?)
}

fn put_unsigned<const SIZE: u64>(cx: &Cx, text: &[u8], base: u32, to: u64) -> R {
    let limit = u64::MAX >> (64 - 8 * SIZE);
    match number::strict(text, base) {
        Ok(value) if value <= limit => {
            store(cx, to, value, SIZE)?;
            Ok(0)
        }
        Ok(_) => Ok(neg(errno::ERANGE)),
        Err(bad) => Ok(errno_of(bad)),
    }
}

fn put_signed<const SIZE: u64>(cx: &Cx, text: &[u8], base: u32, to: u64) -> R {
    let limit = i64::MAX >> (64 - 8 * SIZE);
    match number::strict_signed(text, base) {
        Ok(value) if (-limit - 1..=limit).contains(&value) => {
            store(cx, to, value as u64, SIZE)?;
            Ok(0)
        }
        Ok(_) => Ok(neg(errno::ERANGE)),
        Err(bad) => Ok(errno_of(bad)),
    }
}

fn unsigned<const SIZE: u64>(cx: &mut Cx, c: &Call) -> R {
    put_unsigned::<SIZE>(cx, &text(cx, c.a[0])?, c.a[1] as u32, c.a[2])
}

fn signed<const SIZE: u64>(cx: &mut Cx, c: &Call) -> R {
    put_signed::<SIZE>(cx, &text(cx, c.a[0])?, c.a[1] as u32, c.a[2])
}

/// The user's text: as much as a number in any base can need.
fn user_text(cx: &Cx, from: u64, count: u64) -> Option<Vec<u8>> {
    // A sign, 64 binary digits, a newline.
    let len = count.min(66);
    if !lkm_machine::map::USER.holds(from) {
        return None;
    }
    let mut bytes = cx.bytes(from, len).ok()?;
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    Some(bytes)
}

fn unsigned_user<const SIZE: u64>(cx: &mut Cx, c: &Call) -> R {
    match user_text(cx, c.a[0], c.a[1]) {
        Some(text) => put_unsigned::<SIZE>(cx, &text, c.a[2] as u32, c.a[3]),
        None => Ok(neg(errno::EFAULT)),
    }
}

fn signed_user<const SIZE: u64>(cx: &mut Cx, c: &Call) -> R {
    match user_text(cx, c.a[0], c.a[1]) {
        Some(text) => put_signed::<SIZE>(cx, &text, c.a[2] as u32, c.a[3]),
        None => Ok(neg(errno::EFAULT)),
    }
}

/// What a text says of yes and no.
pub(crate) fn truth(text: &[u8]) -> Option<bool> {
    match text {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] => Some(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] => Some(false),
        [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

fn put_bool(cx: &Cx, text: &[u8], to: u64) -> R {
    match truth(text) {
        Some(value) => {
            cx.w8(to, u8::from(value))?;
            Ok(0)
        }
        None => Ok(neg(errno::EINVAL)),
    }
}

fn kstrtobool(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 {
        return Ok(neg(errno::EINVAL));
    }
    let text = cx.cstr(c.a[0], 2)?;
    put_bool(cx, &text, c.a[1])
}

fn bool_user(cx: &mut Cx, c: &Call) -> R {
    match user_text(cx, c.a[0], c.a[1].min(3)) {
        Some(text) => put_bool(cx, &text, c.a[2]),
        None => Ok(neg(errno::EFAULT)),
    }
}

fn end(cx: &Cx, to: u64, at: u64) -> R<()> {
    if to != 0 {
        cx.w64(to, at)?;
    }
    Ok(())
}

fn simple_unsigned(cx: &mut Cx, c: &Call) -> R {
    let (value, used) = number::simple(&text(cx, c.a[0])?, c.a[2] as u32, usize::MAX);
    end(cx, c.a[1], c.a[0] + used as u64)?;
    Ok(value)
}

fn simple_signed(cx: &mut Cx, c: &Call) -> R {
    let (value, used) = number::simple_signed(&text(cx, c.a[0])?, c.a[2] as u32, usize::MAX);
    end(cx, c.a[1], c.a[0] + used as u64)?;
    Ok(value as u64)
}

fn memparse(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let (value, mut used) = number::simple(&text, 0, usize::MAX);
    let shift = match text.get(used).map(u8::to_ascii_uppercase) {
        Some(b'E') => 60,
        Some(b'P') => 50,
        Some(b'T') => 40,
        Some(b'G') => 30,
        Some(b'M') => 20,
        Some(b'K') => 10,
        _ => 0,
    };
    used += usize::from(shift != 0);
    end(cx, c.a[1], c.a[0] + used as u64)?;
    Ok(value << shift)
}

/// One number of a list and what follows it: 0 none, 1 alone, 2 a comma, 3 a dash.
fn option(text: &[u8], at: &mut usize) -> (u32, i32) {
    let rest = text.get(*at..).unwrap_or_default();
    if rest.is_empty() {
        return (0, 0);
    }
    let (value, used) = if rest[0] == b'-' {
        let (value, used) = number::simple(&rest[1..], 0, usize::MAX);
        ((value as u32).wrapping_neg(), used + usize::from(used > 0))
    } else {
        let (value, used) = number::simple(rest, 0, usize::MAX);
        (value as u32, used)
    };
    if used == 0 {
        return (value, 0);
    }
    *at += used;
    let kind = match text.get(*at) {
        Some(b',') => {
            *at += 1;
            2
        }
        Some(b'-') => 3,
        _ => 1,
    };
    (value, kind)
}

fn get_option(cx: &mut Cx, c: &Call) -> R {
    let start = cx.r64(c.a[0])?;
    if start == 0 {
        return Ok(0);
    }
    let text = text(cx, start)?;
    let mut at = 0;
    let (value, kind) = option(&text, &mut at);
    if c.a[1] != 0 && !text.is_empty() {
        cx.w32(c.a[1], value)?;
    }
    cx.w64(c.a[0], start + at as u64)?;
    Ok(kind as u64)
}

fn get_options(cx: &mut Cx, c: &Call) -> R {
    let text = text(cx, c.a[0])?;
    let (count, to) = (c.int(1), c.a[2]);
    let counting = count == 0;
    let (mut at, mut index) = (0usize, 1i64);
    while counting || index < i64::from(count) {
        let slot = to + 4 * if counting { 0 } else { index as u64 };
        let (value, kind) = option(&text, &mut at);
        if kind == 0 {
            break;
        }
        cx.w32(slot, value)?;
        if kind == 3 {
            // A range: its numbers are listed one by one.
            at += 1;
            let (last, _) = number::simple(text.get(at..).unwrap_or_default(), 0, usize::MAX);
            let room = if counting {
                0
            } else {
                i64::from(count) - index
            };
            let span = i64::from(last as i32) - i64::from(value as i32);
            if span < 0 {
                break;
            }
            for step in 1..=span {
                if !counting && step < room {
                    cx.w32(slot + 4 * step as u64, value.wrapping_add(step as u32))?;
                }
            }
            if !counting && span >= room {
                index += room;
                break;
            }
            // The range's last number is read again as the next option.
            index += span;
            continue;
        }
        index += 1;
        if kind == 1 {
            break;
        }
    }
    cx.w32(to, (index - 1) as u32)?;
    Ok(c.a[0] + at as u64)
}
