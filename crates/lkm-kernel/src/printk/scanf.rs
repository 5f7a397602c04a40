//! The scanning language (vsscanf of lib/vsprintf.c).

use crate::lib::{ctype, number};

/// Scans `text`; the number of conversions and, for each argument in order, the bytes to store there.
pub(super) fn scan(text: &[u8], fmt: &[u8]) -> (u32, Vec<Vec<u8>>) {
    let mut stores = Vec::new();
    let mut count = 0;
    let (mut t, mut f) = (0, 0);
    let space = |b: &u8| ctype::is_space(*b);
    let skip = |bytes: &[u8], mut at: usize| {
        while bytes.get(at).is_some_and(space) {
            at += 1;
        }
        at
    };
    while f < fmt.len() {
        if space(&fmt[f]) {
            f = skip(fmt, f + 1);
            t = skip(text, t);
        }
        let Some(&byte) = fmt.get(f) else { break };
        if byte != b'%' {
            f += 1;
            if text.get(t) != Some(&byte) {
                break;
            }
            t += 1;
            continue;
        }
        f += 1;
        if fmt.get(f) == Some(&b'*') {
            if t >= text.len() {
                break;
            }
            while fmt.get(f).is_some_and(|b| !space(b) && *b != b'%') {
                if fmt[f] == b'[' {
                    return (count, stores);
                }
                f += 1;
            }
            while text.get(t).is_some_and(|b| !space(b)) {
                t += 1;
            }
            continue;
        }
        let mut width: Option<usize> = None;
        while let Some(digit) = fmt.get(f).filter(|b| b.is_ascii_digit()) {
            width = Some((width.unwrap_or(0) * 10 + usize::from(digit - b'0')).min(1 << 24));
            f += 1;
        }
        if width == Some(0) {
            break;
        }
        let mut size = 4;
        if let Some(&first @ (b'h' | b'l' | b'L' | b'z')) = fmt.get(f) {
            f += 1;
            size = if first == b'h' { 2 } else { 8 };
            if matches!(first, b'h' | b'l') && fmt.get(f) == Some(&first) {
                f += 1;
                size = if first == b'h' { 1 } else { 8 };
            }
        }
        let Some(&kind) = fmt.get(f) else { break };
        if kind == b'n' {
            stores.push((t as u32).to_le_bytes().to_vec());
            f += 1;
            continue;
        }
        if t >= text.len() {
            break;
        }
        f += 1;
        let (base, signed) = match kind {
            b'c' => {
                let end = text.len().min(t + width.unwrap_or(1));
                stores.push(text[t..end].to_vec());
                t = end;
                count += 1;
                continue;
            }
            b's' => {
                t = skip(text, t);
                let len = text[t..]
                    .iter()
                    .take(width.unwrap_or(usize::from(i16::MAX as u16)))
                    .take_while(|b| !space(b))
                    .count();
                let mut word = text[t..t + len].to_vec();
                word.push(0);
                stores.push(word);
                t += len;
                count += 1;
                continue;
            }
            b'[' => {
                let Some((set, used)) = width.and(class(&fmt[f..])) else {
                    return (count, stores);
                };
                let len = text[t..]
                    .iter()
                    .take(width.unwrap_or(0))
                    .take_while(|b| set[usize::from(**b)])
                    .count();
                if len == 0 {
                    return (count, stores);
                }
                let mut word = text[t..t + len].to_vec();
                word.push(0);
                stores.push(word);
                t += len;
                f += used;
                count += 1;
                continue;
            }
            b'%' => {
                if text[t] != b'%' {
                    return (count, stores);
                }
                t += 1;
                continue;
            }
            b'o' => (8, false),
            b'x' | b'X' => (16, false),
            b'i' => (0, true),
            b'd' => (10, true),
            b'u' => (10, false),
            _ => return (count, stores),
        };
        t = skip(text, t);
        let mut first = text.get(t).copied();
        if signed && first == Some(b'-') {
            if width == Some(1) {
                break;
            }
            first = text.get(t + 1).copied();
        }
        let good = first.is_some_and(|b| match base {
            16 => b.is_ascii_hexdigit(),
            8 => (b'0'..=b'7').contains(&b),
            _ => b.is_ascii_digit(),
        });
        if !good {
            break;
        }
        let max = width.unwrap_or(i32::MAX as usize);
        let (value, used) = if signed {
            let (value, used) = number::simple_signed(&text[t..], base, max);
            (value as u64, used)
        } else {
            number::simple(&text[t..], base, max)
        };
        stores.push(value.to_le_bytes()[..size].to_vec());
        count += 1;
        t += used;
    }
    (count, stores)
}

/// A character set behind `[`: what it holds, and the length with its `]`. Ranges are not known.
fn class(fmt: &[u8]) -> Option<([bool; 256], usize)> {
    let inverted = fmt.first() == Some(&b'^');
    let start = usize::from(inverted);
    let len = fmt[start..].iter().position(|&b| b == b']')?;
    if len == 0 {
        return None;
    }
    let mut set = [inverted; 256];
    for &byte in &fmt[start..start + len] {
        set[usize::from(byte)] = !inverted;
    }
    // A NUL ends the text in any case.
    set[0] = false;
    Some((set, start + len + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(text: &str, fmt: &str) -> (u32, Vec<i32>) {
        let (count, stores) = scan(text.as_bytes(), fmt.as_bytes());
        let value = |b: &Vec<u8>| i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        (count, stores.iter().map(value).collect())
    }

    #[test]
    fn numbers_words_and_sets() {
        assert_eq!(ints("12 -7 0x1f", "%d %d %i"), (3, vec![12, -7, 31]));
        assert_eq!(ints("123456", "%3d%3d"), (2, vec![123, 456]));
        assert_eq!(ints("a", "%d"), (0, vec![]));
        assert_eq!(ints("7,", "%d,%d"), (1, vec![7]));
        assert_eq!(ints("- 5", "%d"), (0, vec![]));
        let (count, stores) = scan(b"abc:def", b"%3[^:]:%s");
        assert_eq!(
            (count, stores),
            (2, vec![b"abc\0".to_vec(), b"def\0".to_vec()])
        );
        assert_eq!(scan(b"10", b"%n%x%n").1.len(), 3);
    }
}
