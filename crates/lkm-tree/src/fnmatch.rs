//! `fnmatch(3)` without flags, in the C locale: what alias patterns mean.

/// Whether `name` matches the shell `pattern`.
///
/// Runs in time proportional to the product of the lengths, whatever the
/// pattern: only the last `*` is ever tried again.
#[inline]
pub fn fnmatch(pattern: &[u8], name: &[u8]) -> bool {
    // Of the many patterns a name is held against, most differ at once.
    match (pattern.first(), name.first()) {
        (Some(b'*' | b'?' | b'[' | b'\\'), _) | (None, _) | (_, None) => matches(pattern, name),
        (Some(p), Some(n)) => p == n && matches(pattern, name),
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            None if n == name.len() => return true,
            None => None,
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(_) if n == name.len() => return false,
            Some(b'?') => Some(p + 1),
            Some(b'[') => match bracket(&pattern[p..], name[n]) {
                Bracket::Matched(len) => Some(p + len),
                Bracket::Refused => None,
                // Not closed: an ordinary character.
                Bracket::Literal => (name[n] == b'[').then_some(p + 1),
            },
            Some(b'\\') => match pattern.get(p + 1) {
                Some(&c) => (c == name[n]).then_some(p + 2),
                // glibc: a trailing backslash matches nothing.
                None => None,
            },
            Some(&c) => (c == name[n]).then_some(p + 1),
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((after, at))) => {
                if at == name.len() {
                    return false;
                }
                star = Some((after, at + 1));
                p = after;
                n = at + 1;
            }
            (None, None) => return false,
        }
    }
}

enum Bracket {
    /// Matched, with the length of the expression.
    Matched(usize),
    Refused,
    Literal,
}

fn bracket(p: &[u8], c: u8) -> Bracket {
    let mut i = 1;
    let negate = matches!(p.get(i), Some(b'!' | b'^'));
    if negate {
        i += 1;
    }
    let mut matched = false;
    let mut first = true;
    loop {
        let lo = match p.get(i) {
            None => return Bracket::Literal,
            Some(b']') if !first => {
                i += 1;
                break;
            }
            Some(b'[') if p.get(i + 1) == Some(&b':') => {
                if let Some(end) = p[i + 2..].windows(2).position(|w| w == b":]") {
                    match class(&p[i + 2..i + 2 + end], c) {
                        Some(hit) => matched |= hit,
                        None => return Bracket::Refused,
                    }
                    i += end + 4;
                    first = false;
                    continue;
                }
                i += 1;
                b'['
            }
            Some(b'\\') => match p.get(i + 1) {
                None => return Bracket::Literal,
                Some(&e) => {
                    i += 2;
                    e
                }
            },
            Some(&e) => {
                i += 1;
                e
            }
        };
        first = false;
        if p.get(i) == Some(&b'-') && !matches!(p.get(i + 1), None | Some(b']')) {
            i += 1;
            let hi = if p[i] == b'\\' && i + 1 < p.len() {
                i += 1;
                p[i]
            } else {
                p[i]
            };
            i += 1;
            matched |= lo <= c && c <= hi;
        } else {
            matched |= lo == c;
        }
    }
    if matched != negate {
        Bracket::Matched(i)
    } else {
        Bracket::Refused
    }
}

fn class(name: &[u8], c: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => c.is_ascii_alphanumeric(),
        b"alpha" => c.is_ascii_alphabetic(),
        b"blank" => c == b' ' || c == b'\t',
        b"cntrl" => c.is_ascii_control(),
        b"digit" => c.is_ascii_digit(),
        b"graph" => c.is_ascii_graphic(),
        b"lower" => c.is_ascii_lowercase(),
        b"print" => c.is_ascii_graphic() || c == b' ',
        b"punct" => c.is_ascii_punctuation(),
        b"space" => crate::text::is_space(c),
        b"upper" => c.is_ascii_uppercase(),
        b"xdigit" => c.is_ascii_hexdigit(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::fnmatch;

    #[test]
    fn device_patterns() {
        let p = b"pci:v00001002d*sv*sd*bc03sc*i*";
        assert!(fnmatch(p, b"pci:v00001002d00001234sv00sd00bc03sc00i00"));
        assert!(!fnmatch(p, b"pci:v00001003d00001234sv00sd00bc03sc00i00"));
        assert!(fnmatch(b"usb:v0[0-9a-c]?*", b"usb:v0bz"));
        assert!(!fnmatch(b"usb:v0[0-9a-c]?*", b"usb:v0dz"));
    }

    #[test]
    fn brackets() {
        assert!(fnmatch(b"[!a]", b"b"));
        assert!(!fnmatch(b"[!a]", b"a"));
        assert!(fnmatch(b"[]a]", b"]"));
        assert!(fnmatch(b"[[:digit:]x]", b"7"));
        assert!(fnmatch(b"a[", b"a["));
        assert!(fnmatch(b"\\*", b"*"));
        assert!(!fnmatch(b"\\*", b"x"));
        assert!(!fnmatch(b"a", b""));
        assert!(fnmatch(b"***", b""));
    }

    #[test]
    fn many_stars_stay_quick() {
        let p = [b"a*".repeat(200), b"b".to_vec()].concat();
        assert!(!fnmatch(&p, &b"a".repeat(4000)));
    }
}
