//! What `%p` can be: the letters behind it choose how the thing pointed to is printed (pointer() of lib/vsprintf.c).

use super::format::{self, Source, Spec, number, precise, widen};
use super::{address, flags, stamp};
use crate::Cx;
use crate::abi::{R, VaList, is_err};
use crate::module::kallsyms;

/// Deepest nesting of `%pV`.
const DEPTH_MAX: u32 = 8;
/// The key that `%p` hashes with; any fixed one does.
const PTR_KEY: (u64, u64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);

/// Whether `%p` with these letters prints the pointer's own value, so that vbin_printf may keep it as it is.
pub(super) fn plain(kind: &[u8]) -> bool {
    matches!(kind.first(), Some(b'S' | b's' | b'B' | b'x' | b'K' | b'e'))
        || !kind.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// What is printed instead of following a pointer that cannot be good (check_pointer).
pub(super) fn refused(out: &mut Vec<u8>, ptr: u64, spec: Spec) -> bool {
    let text = match ptr {
        0 => "(null)",
        _ if ptr < 4096 || is_err(ptr) => "(efault)",
        _ => return false,
    };
    error(out, text, spec);
    true
}

/// A text in place of a value; never cut shorter than a pointer is wide.
pub(super) fn error(out: &mut Vec<u8>, text: &str, mut spec: Spec) {
    if spec.precision == -1 {
        spec.precision = 16;
    }
    precise(out, text.as_bytes(), spec);
}

/// `%s`.
pub(super) fn string(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec) -> R<()> {
    if refused(out, ptr, spec) {
        return Ok(());
    }
    let max = match spec.precision {
        -1 => format::OUTPUT_MAX,
        n => n as usize,
    };
    let text = cx.cstr(ptr, max)?;
    widen(out, &text, spec);
    Ok(())
}

/// The pointer as a number (pointer_string).
pub(super) fn value(out: &mut Vec<u8>, ptr: u64, mut spec: Spec) {
    spec.base = 16;
    spec.small = true;
    if spec.width == -1 {
        spec.width = 16;
        spec.zero = true;
    }
    number(out, ptr, spec);
}

/// Plain `%p`: hashed, but for NULL and error pointers.
fn hashed(out: &mut Vec<u8>, ptr: u64, spec: Spec) {
    if ptr == 0 || is_err(ptr) {
        return value(out, ptr, spec);
    }
    let hash = crate::lib::siphash::siphash(&ptr.to_le_bytes(), PTR_KEY);
    value(out, hash & 0xffff_ffff, spec);
}

/// Adds what `%p` followed by `kind` prints of `ptr`.
pub(super) fn pointer(
    cx: &mut Cx,
    out: &mut Vec<u8>,
    kind: &[u8],
    ptr: u64,
    spec: Spec,
    depth: u32,
) -> R<()> {
    let second = kind.get(1).copied().unwrap_or(0);
    match kind.first().copied().unwrap_or(0) {
        b'S' => precise(out, kallsyms::describe(cx, ptr).as_bytes(), spec),
        b's' => precise(out, kallsyms::describe_short(cx, ptr).as_bytes(), spec),
        b'B' => precise(out, kallsyms::describe(cx, ptr).as_bytes(), spec),
        b'R' | b'r' => stamp::resource(cx, out, ptr, spec, kind[0] == b'R')?,
        b'h' => hex(cx, out, ptr, spec, second)?,
        b'b' => stamp::bitmap(cx, out, ptr, spec, second == b'l')?,
        b'M' | b'm' => address::mac(cx, out, ptr, spec, kind)?,
        b'I' | b'i' => address::ip(cx, out, ptr, spec, kind)?,
        b'U' => address::uuid(cx, out, ptr, spec, second)?,
        b'E' => escaped(cx, out, ptr, spec, &kind[1..])?,
        b'V' => nested(cx, out, ptr, spec, depth)?,
        b'N' => {
            if second == b'F' {
                if !refused(out, ptr, spec) {
                    number(out, cx.r64(ptr)?, Spec::hex(18, true));
                }
            } else {
                error(out, "(%pN?)", spec);
            }
        }
        b'4' => stamp::fourcc(cx, out, ptr, spec, kind)?,
        b'a' => {
            if !refused(out, ptr, spec) {
                number(out, cx.r64(ptr)?, Spec::hex(18, true));
            }
        }
        b'd' => dentry(cx, out, ptr, spec, second)?,
        b'D' => {
            if !refused(out, ptr, spec) {
                let at = cx.off.file_dentry;
                let dentry_at = if at == crate::layout::NONE {
                    0
                } else {
                    cx.r64(ptr + at)?
                };
                dentry(cx, out, dentry_at, spec, second)?;
            }
        }
        b't' => stamp::time(cx, out, ptr, spec, kind)?,
        b'g' => bdev(cx, out, ptr, spec)?,
        b'G' => flags::print(cx, out, ptr, spec, second)?,
        b'C' => match second {
            b'n' | 0 => {
                if !refused(out, ptr, spec) {
                    hashed(out, ptr, spec);
                }
            }
            _ => error(out, "(%pC?)", spec),
        },
        // Device trees are not configured on x86-64 distribution kernels.
        b'O' if second == b'F' => error(out, "(%pOF?)", spec),
        b'O' => error(out, "(%pO?)", spec),
        b'f' => fwnode(cx, out, ptr, spec, &kind[1..])?,
        b'A' => error(out, "(%pA?)", spec),
        b'x' => value(out, ptr, spec),
        b'e' if is_err(ptr) => {
            let errno = ptr.wrapping_neg() as u32;
            match lkm_trace::errno::name(errno) {
                Some(name) => precise(out, format!("-{name}").as_bytes(), spec),
                None => {
                    let decimal = Spec {
                        signed: true,
                        base: 10,
                        ..spec
                    };
                    number(out, ptr, decimal);
                }
            }
        }
        b'u' | b'k' if second == b's' => string(cx, out, ptr, spec)?,
        b'u' | b'k' => error(out, "(einval)", spec),
        // kptr_restrict is 0: %pK is %p.
        _ => hashed(out, ptr, spec),
    }
    Ok(())
}

/// `%*ph`: bytes.
fn hex(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, letter: u8) -> R<()> {
    if spec.width == 0 || refused(out, ptr, spec) {
        return Ok(());
    }
    let separator = match letter {
        b'C' => Some(b':'),
        b'D' => Some(b'-'),
        b'N' => None,
        _ => Some(b' '),
    };
    let bytes = cx.bytes(ptr, spec.width.clamp(1, 64) as u64)?;
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.extend(separator);
        }
        out.extend(format!("{byte:02x}").bytes());
    }
    Ok(())
}

/// `%*pE`: bytes with escapes.
fn escaped(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, letters: &[u8]) -> R<()> {
    use crate::lib::escape as e;
    if spec.width == 0 || refused(out, ptr, spec) {
        return Ok(());
    }
    let mut how = 0;
    for letter in letters {
        how |= match letter {
            b'a' => e::SPACE | e::SPECIAL | e::OCTAL | e::NULL,
            b'c' => e::SPECIAL,
            b'h' => e::HEX,
            b'n' => e::NULL,
            b'o' => e::OCTAL,
            b'p' => e::NP,
            b's' => e::SPACE,
            _ => break,
        };
    }
    if how == 0 {
        how = e::SPACE | e::SPECIAL | e::OCTAL | e::NULL | e::NP;
    }
    let bytes = cx.bytes(ptr, spec.width.max(1) as u64)?;
    out.extend(e::escape(&bytes, how, &[]));
    Ok(())
}

/// `%pV`: a format and its arguments, in a struct va_format.
fn nested(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, depth: u32) -> R<()> {
    if refused(out, ptr, spec) {
        return Ok(());
    }
    if depth >= DEPTH_MAX {
        error(out, "(%pV?)", spec);
        return Ok(());
    }
    let (fmt, list) = (cx.r64(ptr)?, cx.r64(ptr + 8)?);
    let fmt = cx.cstr(fmt, 1 << 16)?;
    let mut args = VaList::at(cx, list)?;
    let text = format::run(cx, &fmt, &mut Source::List(&mut args), depth + 1)?;
    out.extend(text);
    Ok(())
}

/// `%pd`: the last components of a name.
fn dentry(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, letter: u8) -> R<()> {
    let (parent_at, name_at) = (cx.off.dentry_parent, cx.off.dentry_name);
    if refused(out, ptr, spec) {
        return Ok(());
    }
    if parent_at == crate::layout::NONE || name_at == crate::layout::NONE {
        error(out, "(%pd?)", spec);
        return Ok(());
    }
    let depth = match letter {
        b'2'..=b'4' => letter - b'0',
        _ => 1,
    };
    let mut names = Vec::new();
    let mut at = ptr;
    for index in 0..depth {
        if refused(out, at, spec) {
            return Ok(());
        }
        let parent = cx.r64(at + parent_at)?;
        if parent == at && index > 0 {
            names.push(Vec::new());
            break;
        }
        let name = cx.r64(at + name_at)?;
        names.push(cx.cstr(name, 4096)?);
        if parent == at {
            break;
        }
        at = parent;
    }
    names.reverse();
    precise(out, &names.join(&b'/'), spec);
    Ok(())
}

/// `%pg`: a disk's name, and the partition's number.
fn bdev(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec) -> R<()> {
    let (disk_at, name_at, part_at) = (
        cx.off.bdev_disk,
        cx.off.gendisk_disk_name,
        cx.off.bdev_partno,
    );
    if refused(out, ptr, spec) {
        return Ok(());
    }
    if [disk_at, name_at, part_at].contains(&crate::layout::NONE) {
        error(out, "(%pg?)", spec);
        return Ok(());
    }
    let disk = cx.r64(ptr + disk_at)?;
    let mut name = cx.cstr(disk + name_at, 32)?;
    let part = cx.r8(ptr + part_at)?;
    if part != 0 {
        if name.last().is_some_and(u8::is_ascii_digit) {
            name.push(b'p');
        }
        name.extend(part.to_string().bytes());
    }
    precise(out, &name, spec);
    Ok(())
}

/// `%pfw`: the name of a firmware node, full or its last part (P).
fn fwnode(cx: &mut Cx, out: &mut Vec<u8>, ptr: u64, spec: Spec, kind: &[u8]) -> R<()> {
    if kind.first() != Some(&b'w') {
        error(out, "(%pf?)", spec);
        return Ok(());
    }
    if refused(out, ptr, spec) {
        return Ok(());
    }
    let Some(names) = crate::swnode::names(cx, ptr)? else {
        error(out, "(%pfw?)", spec);
        return Ok(());
    };
    let text = match kind.get(1) {
        Some(b'P') => names.last().cloned().unwrap_or_default(),
        _ => names.join(&b'/'),
    };
    widen(out, &text, spec);
    Ok(())
}
