//! The kernel's format language (lib/vsprintf.c).

use crate::Cx;
use crate::abi::{R, VaList};

/// Formats the string at `fmt`; at most `max` bytes are kept.
pub fn vsnprintf(cx: &mut Cx, fmt: u64, args: &mut VaList, max: usize) -> R<Vec<u8>> {
    let fmt = cx.cstr(fmt, 4096)?;
    let mut out = Vec::new();
    let mut at = 0;
    while at < fmt.len() {
        if fmt[at] != b'%' {
            out.push(fmt[at]);
            at += 1;
            continue;
        }
        at += 1;
        let mut long = 0;
        while let Some(&byte) = fmt.get(at) {
            match byte {
                b'l' | b'z' | b'j' | b't' => long += 1,
                b'-' | b'0'..=b'9' | b'#' | b'+' | b' ' | b'.' | b'h' => {}
                _ => break,
            }
            at += 1;
        }
        let Some(&kind) = fmt.get(at) else { break };
        at += 1;
        match kind {
            b'd' | b'i' => {
                let v = args.next(cx)?;
                let v = if long > 0 {
                    v as i64
                } else {
                    i64::from(v as i32)
                };
                out.extend(v.to_string().bytes());
            }
            b'u' => {
                let v = args.next(cx)?;
                let v = if long > 0 { v } else { u64::from(v as u32) };
                out.extend(v.to_string().bytes());
            }
            b'x' => {
                let v = args.next(cx)?;
                let v = if long > 0 { v } else { u64::from(v as u32) };
                out.extend(format!("{v:x}").bytes());
            }
            b's' => {
                let v = args.next(cx)?;
                out.extend(cx.cstr(v, max)?);
            }
            b'c' => out.push(args.next(cx)? as u8),
            b'p' => {
                let v = args.next(cx)?;
                out.extend(format!("{v:016x}").bytes());
            }
            other => out.push(other),
        }
    }
    out.truncate(max);
    Ok(out)
}
