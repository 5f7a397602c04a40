//! Arguments in binary form, to be printed later (vbin_printf of lib/vsprintf.c).

use super::format::{self, Piece, Size};
use super::pointer;
use crate::Cx;
use crate::abi::{R, VaList};

/// The arguments of a format: numbers aligned to their size (at most 4), strings and resolved pointers as
/// text with a NUL.
pub(super) fn pack(cx: &mut Cx, fmt: u64, args: &mut VaList) -> R<Vec<u8>> {
    let fmt = cx.cstr(fmt, 1 << 16)?;
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < fmt.len() && out.len() < format::OUTPUT_MAX {
        let Piece::Conversion {
            mut spec,
            letter,
            qualifier,
            star_width,
            star_precision,
        } = format::piece(&fmt, &mut at)
        else {
            continue;
        };
        if star_width {
            let width = args.next(cx)?;
            put(&mut out, width, Size::Int);
            format::set_width(&mut spec, width as i32);
        }
        if star_precision {
            let precision = args.next(cx)?;
            put(&mut out, precision, Size::Int);
            format::set_precision(&mut spec, precision as i32);
        }
        match letter {
            b'%' => {}
            b's' => {
                let ptr = args.next(cx)?;
                let plain = format::Spec::PLAIN;
                let mut text = Vec::new();
                pointer::string(cx, &mut text, ptr, plain)?;
                out.extend(text);
                out.push(0);
            }
            b'p' => {
                let kind = fmt.get(at..).unwrap_or_default();
                let ptr = args.next(cx)?;
                if pointer::plain(kind) {
                    put(&mut out, ptr, Size::Long);
                } else {
                    let mut text = Vec::new();
                    pointer::pointer(cx, &mut text, kind, ptr, spec, 0)?;
                    out.extend(text);
                    out.push(0);
                }
                while fmt.get(at).is_some_and(u8::is_ascii_alphanumeric) {
                    at += 1;
                }
            }
            b'c' | b'd' | b'i' | b'o' | b'x' | b'X' | b'u' => {
                let value = args.next(cx)?;
                put(&mut out, value, format::size_of(letter, qualifier));
            }
            _ => {
                break;
            }
        }
    }
    Ok(out)
}

fn put(out: &mut Vec<u8>, value: u64, size: Size) {
    let bytes = match size {
        Size::Byte => 1,
        Size::Short => 2,
        Size::Int => 4,
        Size::Long => 8,
    };
    out.resize(out.len().next_multiple_of(bytes.min(4)), 0);
    out.extend(&value.to_le_bytes()[..bytes]);
}
