//! The text of a kernel log, made searchable: prefixes off, bounded, runs of blanks as one.

/// Most bytes of a log that are read. An oops has a few thousand.
pub const MAX_INPUT: usize = 1 << 20;

/// The log without time stamps, priorities and syslog heads, with every run of blanks as one blank. Lines are not
/// kept: a log pasted into one line, as the web likes to show it, is read as well.
pub fn normalise(input: &str) -> String {
    let mut end = input.len().min(MAX_INPUT);
    while !input.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = String::with_capacity(end.min(1 << 16));
    for line in input[..end].lines() {
        for word in strip_head(line).split_whitespace() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.extend(word.chars().filter(|c| !c.is_control()));
        }
    }
    out
}

/// Takes `<4>`, `[   12.345678]` and `Jun  1 10:00:00 host kernel:` off the front of a line. `[<c0123456>]` stays:
/// it is an address.
fn strip_head(line: &str) -> &str {
    let mut rest = line.trim_start();
    if let Some(at) = rest.find(" kernel: ")
        && at < 64
        && !rest[..at].contains("BUG")
    {
        rest = &rest[at + " kernel: ".len()..];
    }
    loop {
        let before = rest;
        rest = rest.trim_start();
        if let Some(tail) = rest.strip_prefix('<')
            && let Some(close) = tail.find('>')
            && close > 0
            && close <= 3
            && tail[..close].bytes().all(|b| b.is_ascii_digit())
        {
            rest = &tail[close + 1..];
        }
        if let Some(tail) = rest.strip_prefix('[')
            && let Some(close) = tail.find(']')
            && is_stamp(&tail[..close])
        {
            rest = &tail[close + 1..];
        }
        if rest.len() == before.len() {
            return rest;
        }
    }
}

/// `12.345678`, or a task or CPU mark as `T123` or `C0` (CONFIG_PRINTK_CALLER).
fn is_stamp(text: &str) -> bool {
    let text = text.trim();
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((a, b)) => digits(a) && digits(b),
        None => text.strip_prefix(['T', 'C']).is_some_and(digits),
    }
}

/// What follows a mark, if it is there.
pub fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).map(|at| &text[at + mark.len()..])
}

/// The text between two marks.
pub fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let tail = after(text, from)?;
    tail.find(to).map(|end| &tail[..end])
}

/// The first word.
pub fn word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("")
}

/// A hexadecimal number at the start, with or without `0x`.
pub fn hex(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(text.len());
    (1..=16)
        .contains(&end)
        .then(|| u64::from_str_radix(&text[..end], 16).ok())
        .flatten()
}

/// A decimal number at the start.
pub fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (1..=10)
        .contains(&end)
        .then(|| text[..end].parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_lines_go_and_addresses_stay() {
        assert_eq!(strip_head("<4>[   12.345678] Oops: 5"), "Oops: 5");
        assert_eq!(
            strip_head("Jun  1 10:00:00 box kernel: [ 1.5] BUG: x"),
            "BUG: x"
        );
        assert_eq!(strip_head("[  1.5][  T123] a"), "a");
        assert_eq!(strip_head("[<c0123456>] (f) from"), "[<c0123456>] (f) from");
        assert_eq!(normalise("a\n  b\tc\r\n"), "a b c");
    }

    #[test]
    fn numbers_are_read_or_refused() {
        assert_eq!(hex("0x1c/0x7c"), Some(0x1c));
        assert_eq!(hex("ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(hex("fffffffffffffffff"), None);
        assert_eq!(hex("(null)"), None);
        assert_eq!(number("3248 Comm"), Some(3248));
        assert_eq!(number("99999999999999"), None);
    }
}
