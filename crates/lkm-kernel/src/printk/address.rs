//! `%pM`, `%pI`, `%pU`: hardware addresses, internet addresses, and universally unique names.

use super::format::{Spec, number, precise};
use super::pointer;
use crate::Cx;
use crate::abi::R;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `%pM`, `%pMF`, `%pMR`, `%pm`, `%pmR`.
pub(super) fn mac(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: &[u8]) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let mut bytes = [0u8; 6];
    cx.read(ptr, &mut bytes)?;
    let (mut separator, mut reversed) = (":", false);
    match kind.get(1) {
        Some(b'F') => separator = "-",
        Some(b'R') => reversed = true,
        _ => {}
    }
    if kind[0] == b'm' {
        separator = "";
    }
    if reversed {
        bytes.reverse();
    }
    let parts: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    precise(out, parts.join(separator).as_bytes(), spec);
    Ok(())
}

/// An IPv4 address; `order` h and l print the lowest byte of the host's word last.
fn ip4(bytes: &[u8], padded: bool, order: u8) -> String {
    let mut bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if matches!(order, b'h' | b'l') {
        bytes.reverse();
    }
    let parts: Vec<String> = bytes
        .iter()
        .map(|b| {
            if padded {
                format!("{b:03}")
            } else {
                b.to_string()
            }
        })
        .collect();
    parts.join(".")
}

fn words(bytes: &[u8; 16]) -> [u16; 8] {
    std::array::from_fn(|i| u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]))
}

fn ip6(bytes: &[u8; 16], colons: bool) -> String {
    let parts: Vec<String> = words(bytes).iter().map(|w| format!("{w:04x}")).collect();
    parts.join(if colons { ":" } else { "" })
}

/// The short form of an IPv6 address: the first of the longest runs of zero words is left out.
fn ip6_compressed(bytes: &[u8; 16]) -> String {
    let words = words(bytes);
    let mapped = words[..5] == [0; 5] && words[5] == 0xffff;
    let isatap = (words[4] | 0x0200) == 0x0200 && words[5] == 0x5efe;
    let range = if mapped || isatap { 6 } else { 8 };
    let run = |from: usize| words[from..range].iter().take_while(|&&w| w == 0).count();
    let mut best = (0, 1);
    for from in 0..range {
        if run(from) > best.1 {
            best = (from, run(from));
        }
    }
    let (skip, len) = best;
    let mut text = String::new();
    let mut colon = false;
    let mut at = 0;
    while at < range {
        if len > 1 && at == skip {
            if colon || at == 0 {
                text.push(':');
            }
            text.push(':');
            colon = false;
            at += len;
            continue;
        }
        if colon {
            text.push(':');
        }
        text.push_str(&format!("{:x}", words[at]));
        colon = true;
        at += 1;
    }
    if range == 6 {
        if colon {
            text.push(':');
        }
        text.push_str(&ip4(&bytes[12..], false, 0));
    }
    text
}

/// `%pI4`, `%pI6`, `%pI6c`, `%pIS…` and their lower-case forms.
pub(super) fn ip(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: &[u8]) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let readable = kind[0] == b'I';
    let letter = |n: usize| kind.get(n).copied().unwrap_or(0);
    let text = match letter(1) {
        b'4' => {
            let mut bytes = [0u8; 4];
            cx.read(ptr, &mut bytes)?;
            ip4(&bytes, !readable, letter(2))
        }
        b'6' => {
            let mut bytes = [0u8; 16];
            cx.read(ptr, &mut bytes)?;
            if readable && letter(2) == b'c' {
                ip6_compressed(&bytes)
            } else {
                ip6(&bytes, readable)
            }
        }
        b'S' => match cx.r16(ptr)? {
            AF_INET => socket4(cx, ptr, kind, spec)?,
            AF_INET6 => socket6(cx, ptr, kind, spec)?,
            _ => {
                pointer::error(out, "(einval)", spec);
                return Ok(());
            }
        },
        _ => {
            pointer::error(out, if readable { "(%pI?)" } else { "(%pi?)" }, spec);
            return Ok(());
        }
    };
    precise(out, text.as_bytes(), spec);
    Ok(())
}

fn options(kind: &[u8]) -> &[u8] {
    let tail = kind.get(2..).unwrap_or_default();
    let len = tail
        .iter()
        .position(|b| !b.is_ascii_alphabetic())
        .unwrap_or(tail.len());
    &tail[..len]
}

fn plain(value: u64, spec: Spec) -> String {
    let mut out = Vec::new();
    number(&mut out, value, spec);
    String::from_utf8(out).unwrap_or_default()
}

/// A struct sockaddr_in: port at 2, address at 4.
fn socket4(cx: &Cx, ptr: u64, kind: &[u8], spec: Spec) -> R<String> {
    let mut raw = [0u8; 8];
    cx.read(ptr, &mut raw)?;
    let options = options(kind);
    let order = options
        .iter()
        .rev()
        .find(|b| b"hlnb".contains(b))
        .copied()
        .unwrap_or(0);
    let mut text = ip4(&raw[4..8], kind[0] == b'i', order);
    if options.contains(&b'p') {
        text.push(':');
        text.push_str(&plain(u16::from_be_bytes([raw[2], raw[3]]).into(), spec));
    }
    Ok(text)
}

/// A struct sockaddr_in6: port at 2, flow at 4, address at 8, scope at 24.
fn socket6(cx: &Cx, ptr: u64, kind: &[u8], spec: Spec) -> R<String> {
    let mut raw = [0u8; 28];
    cx.read(ptr, &mut raw)?;
    let options = options(kind);
    let has = |letter: u8| options.contains(&letter);
    let bytes: [u8; 16] = std::array::from_fn(|i| raw[8 + i]);
    let address = if kind[0] == b'I' && has(b'c') {
        ip6_compressed(&bytes)
    } else {
        ip6(&bytes, kind[0] == b'I')
    };
    let mut text = if has(b'p') || has(b's') || has(b'f') {
        format!("[{address}]")
    } else {
        address
    };
    if has(b'p') {
        text.push(':');
        text.push_str(&plain(u16::from_be_bytes([raw[2], raw[3]]).into(), spec));
    }
    if has(b'f') {
        let flow = u32::from_be_bytes([raw[4], raw[5], raw[6], raw[7]]) & 0x0fff_ffff;
        text.push('/');
        text.push_str(&plain(flow.into(), spec));
    }
    if has(b's') {
        let scope = u32::from_le_bytes([raw[24], raw[25], raw[26], raw[27]]);
        text.push('%');
        text.push_str(&plain(scope.into(), spec));
    }
    Ok(text)
}

/// `%pUb`, `%pUB`, `%pUl`, `%pUL`.
pub(super) fn uuid(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, letter: u8) -> R<()> {
    if pointer::refused(out, ptr, spec) {
        return Ok(());
    }
    let mut bytes = [0u8; 16];
    cx.read(ptr, &mut bytes)?;
    if matches!(letter, b'l' | b'L') {
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
    }
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    if matches!(letter, b'L' | b'B') {
        text.make_ascii_uppercase();
    }
    precise(out, text.as_bytes(), spec);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_compressed_as_the_kernel_does() {
        let short = |words: [u16; 8]| {
            let mut bytes = [0u8; 16];
            for (i, w) in words.iter().enumerate() {
                bytes[2 * i..2 * i + 2].copy_from_slice(&w.to_be_bytes());
            }
            ip6_compressed(&bytes)
        };
        assert_eq!(short([0, 0, 0, 0, 0, 0, 0, 1]), "::1");
        assert_eq!(short([1, 0, 0, 0, 0, 0, 0x70, 8]), "1::70:8");
        assert_eq!(
            short([0x2001, 0xdb8, 0, 1, 1, 1, 1, 1]),
            "2001:db8:0:1:1:1:1:1"
        );
        assert_eq!(
            short([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]),
            "::ffff:127.0.0.1"
        );
        assert_eq!(short([0; 8]), "::");
        assert_eq!(short([0xfe80, 0, 0, 0, 0, 0, 0, 0]), "fe80::");
    }
}
