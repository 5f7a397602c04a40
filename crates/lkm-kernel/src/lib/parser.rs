//! Mount option tokens (lib/parser.c): a table of patterns with %s, %d, %u, %x, %o, %c and %%.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::lib::number::{self, Bad};
use crate::table::{Fails, Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("match_token", match_token),
    behaves("match_int", match_int),
    behaves("match_uint", match_uint),
    behaves("match_u64", match_u64),
    behaves("match_octal", match_octal),
    behaves("match_hex", match_hex),
    behaves("match_strlcpy", match_strlcpy),
    behaves("match_strdup", match_strdup)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("match_wildcard", match_wildcard),
    behaves("glob_match", glob_match),
];

/// MAX_OPT_ARGS.
const MAX_ARGS: usize = 3;

/// Matches one pattern; the arguments are ranges of `text`.
fn one(text: &[u8], pattern: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut args = Vec::new();
    let (mut at, mut p) = (0, 0);
    loop {
        let percent = pattern[p..].iter().position(|&b| b == b'%');
        let Some(percent) = percent else {
            return (text[at..] == pattern[p..]).then_some(args);
        };
        let literal = &pattern[p..p + percent];
        if !text[at..].starts_with(literal) {
            return None;
        }
        at += literal.len();
        p += percent + 1;
        let mut width: Option<usize> = None;
        while let Some(digit) = pattern.get(p).filter(|b| b.is_ascii_digit()) {
            width = Some((width.unwrap_or(0) * 10 + usize::from(digit - b'0')).min(1 << 16));
            p += 1;
        }
        let kind = *pattern.get(p)?;
        p += 1;
        if kind == b'%' {
            if text.get(at) != Some(&b'%') {
                return None;
            }
            at += 1;
            continue;
        }
        if args.len() >= MAX_ARGS {
            return None;
        }
        let rest = &text[at..];
        let used = match kind {
            b's' => {
                if rest.is_empty() {
                    return None;
                }
                rest.len().min(width.unwrap_or(usize::MAX))
            }
            b'd' => number::simple_signed(rest, 0, usize::MAX).1,
            b'u' => number::simple(rest, 0, usize::MAX).1,
            b'o' => number::simple(rest, 8, usize::MAX).1,
            b'x' => number::simple(rest, 16, usize::MAX).1,
            _ => return None,
        };
        if used == 0 {
            return None;
        }
        args.push((at, at + used));
        at += used;
    }
}

/// match_token(s, table, args): the token of the first pattern that matches; the last entry has none.
fn match_token(cx: &mut Cx, c: &Call) -> R {
    let [s, table, args, ..] = c.a;
    let text = crate::lib::text(cx, s)?;
    for index in 0..4096 {
        let entry = table + index * 16;
        let token = cx.r32(entry)?;
        let pattern = cx.r64(entry + 8)?;
        if pattern == 0 {
            return Ok(token.into());
        }
        if let Some(found) = one(&text, &crate::lib::text(cx, pattern)?) {
            for (n, (from, to)) in found.into_iter().enumerate() {
                cx.w64(args + n as u64 * 16, s + from as u64)?;
                cx.w64(args + n as u64 * 16 + 8, s + to as u64)?;
            }
            return Ok(token.into());
        }
    }
    Ok(neg(errno::EINVAL))
}

/// The text of a substring_t.
fn argument(cx: &Cx, at: u64) -> R<Vec<u8>> {
    let (from, to) = (cx.r64(at)?, cx.r64(at + 8)?);
    Ok(cx.bytes(from, to.wrapping_sub(from))?)
}

fn failed(bad: Bad) -> u64 {
    neg(match bad {
        Bad::Range => errno::ERANGE,
        Bad::Invalid => errno::EINVAL,
    })
}

fn int_in(cx: &Cx, c: &Call, base: u32) -> R {
    let text = argument(cx, c.a[0])?;
    let (base, prefix) = number::radix(&text, base);
    let (value, used) = number::simple_signed(&text[prefix..], base, usize::MAX);
    if used + prefix != text.len() || used == 0 {
        return Ok(neg(errno::EINVAL));
    }
    match i32::try_from(value) {
        Ok(value) => {
            cx.w32(c.a[1], value as u32)?;
            Ok(0)
        }
        Err(_) => Ok(neg(errno::ERANGE)),
    }
}

fn match_int(cx: &mut Cx, c: &Call) -> R {
    int_in(cx, c, 0)
}

fn match_octal(cx: &mut Cx, c: &Call) -> R {
    int_in(cx, c, 8)
}

fn match_hex(cx: &mut Cx, c: &Call) -> R {
    int_in(cx, c, 16)
}

fn match_uint(cx: &mut Cx, c: &Call) -> R {
    match number::strict(&argument(cx, c.a[0])?, 10) {
        Ok(value) => match u32::try_from(value) {
            Ok(value) => {
                cx.w32(c.a[1], value)?;
                Ok(0)
            }
            Err(_) => Ok(neg(errno::ERANGE)),
        },
        Err(bad) => Ok(failed(bad)),
    }
}

fn match_u64(cx: &mut Cx, c: &Call) -> R {
    match number::strict(&argument(cx, c.a[0])?, 0) {
        Ok(value) => {
            cx.w64(c.a[1], value)?;
            Ok(0)
        }
        Err(bad) => Ok(failed(bad)),
    }
}

fn match_strlcpy(cx: &mut Cx, c: &Call) -> R {
    let text = argument(cx, c.a[1])?;
    crate::lib::put_string(cx, c.a[0], &text, c.a[2])?;
    Ok(text.len() as u64)
}

fn match_strdup(cx: &mut Cx, c: &Call) -> R {
    let text = argument(cx, c.a[0])?;
    crate::lib::string::duplicate(cx, &text, 0xcc0)
}

/// Shell patterns: `*` and `?`, and classes when `classes`. Backtracks to the last star only.
pub(crate) fn glob(pattern: &[u8], text: &[u8], classes: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let matched = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            (_, None) => false,
            (Some(b'?'), Some(_)) => {
                p += 1;
                true
            }
            (Some(b'['), Some(&byte)) if classes && class(&pattern[p..], byte).is_some() => {
                let (hit, used) = class(&pattern[p..], byte).unwrap_or((false, 1));
                if hit {
                    p += used;
                }
                hit
            }
            (Some(b'\\'), Some(&byte)) if classes && pattern.get(p + 1) == Some(&byte) => {
                p += 2;
                true
            }
            (Some(&want), Some(&byte)) if want == byte => {
                p += 1;
                true
            }
            _ => false,
        };
        if matched {
            t += 1;
            continue;
        }
        match star {
            Some((after, from)) if from < text.len() => {
                star = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
            _ => return false,
        }
    }
}

/// Whether a character class at the start of `pattern` holds `byte`, and its length; None when it has no end.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let mut at = 1;
    let inverted = matches!(pattern.get(1), Some(b'!' | b'^'));
    at += usize::from(inverted);
    let (mut hit, first) = (false, at);
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((hit != inverted, at + 1));
        }
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|&b| b != b']') {
            high = pattern[at + 1];
            at += 2;
        }
        hit |= (low..=high).contains(&byte);
    }
}

fn match_wildcard(cx: &mut Cx, c: &Call) -> R {
    let (pattern, text) = (crate::lib::text(cx, c.a[0])?, crate::lib::text(cx, c.a[1])?);
    Ok(u64::from(glob(&pattern, &text, false)))
}

fn glob_match(cx: &mut Cx, c: &Call) -> R {
    let (pattern, text) = (crate::lib::text(cx, c.a[0])?, crate::lib::text(cx, c.a[1])?);
    Ok(u64::from(glob(&pattern, &text, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_patterns() {
        assert_eq!(one(b"uid=12", b"uid=%u"), Some(vec![(4, 6)]));
        assert_eq!(one(b"uid=", b"uid=%u"), None);
        assert_eq!(one(b"ro", b"ro"), Some(vec![]));
        assert_eq!(one(b"mode=755,", b"mode=%o"), None);
        assert!(glob(b"*.ko", b"loop.ko", true));
        assert!(glob(b"a[b-d]?", b"acx", true));
        assert!(!glob(b"a[!b-d]", b"ac", true));
        assert!(glob(b"a*b*c", b"a12b34bc", false));
        assert!(!glob(b"abc", b"ab", false));
    }
}
