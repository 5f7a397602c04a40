//! The standard parameter types (kernel/params.c): `param_ops_int` and its kin as guest structures whose
//! members are kernel functions.

use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Row, behaves};
use crate::{Cx, printk};

/// An integer type: its name in `param_ops_NAME`, bytes, signedness, and how it is shown.
struct Integer {
    name: &'static str,
    bytes: u64,
    signed: bool,
    hex: bool,
}

const INTEGERS: &[Integer] = &[
    Integer {
        name: "byte",
        bytes: 1,
        signed: false,
        hex: false,
    },
    Integer {
        name: "short",
        bytes: 2,
        signed: true,
        hex: false,
    },
    Integer {
        name: "ushort",
        bytes: 2,
        signed: false,
        hex: false,
    },
    Integer {
        name: "int",
        bytes: 4,
        signed: true,
        hex: false,
    },
    Integer {
        name: "uint",
        bytes: 4,
        signed: false,
        hex: false,
    },
    Integer {
        name: "long",
        bytes: 8,
        signed: true,
        hex: false,
    },
    Integer {
        name: "ulong",
        bytes: 8,
        signed: false,
        hex: false,
    },
    Integer {
        name: "ullong",
        bytes: 8,
        signed: false,
        hex: false,
    },
    Integer {
        name: "hexint",
        bytes: 4,
        signed: false,
        hex: true,
    },
];

macro_rules! integer_rows {
    ($($index:literal $set:literal $get:literal $fset:ident $fget:ident;)*) => {
        $(fn $fset(cx: &mut Cx, c: &Call) -> R { set_integer(cx, c, &INTEGERS[$index]) }
          fn $fget(cx: &mut Cx, c: &Call) -> R { get_integer(cx, c, &INTEGERS[$index]) })*
        pub(crate) const ROWS: &[Row] = &[
            $(behaves($set, $fset), behaves($get, $fget),)*
            behaves("param_set_bool", set_bool),
            behaves("param_get_bool", get_bool),
            behaves("param_set_bool_enable_only", set_bool_enable_only),
            behaves("param_set_invbool", set_invbool),
            behaves("param_get_invbool", get_invbool),
            behaves("param_set_bint", set_bint),
            behaves("param_set_charp", set_charp),
            behaves("param_get_charp", get_charp),
            behaves("param_free_charp", free_charp),
            behaves("param_set_copystring", set_copystring),
            behaves("param_get_string", get_string),
            behaves("param_array_set", array_set),
            behaves("param_array_get", array_get),
            behaves("param_array_free", array_free),
            behaves("param_set_uint_minmax", set_uint_minmax),
            behaves("kernel_param_lock", lock).sleeps(),
            behaves("kernel_param_unlock", lock),
        ];
    };
}

integer_rows! {
    0 "param_set_byte" "param_get_byte" set_byte get_byte;
    1 "param_set_short" "param_get_short" set_short get_short;
    2 "param_set_ushort" "param_get_ushort" set_ushort get_ushort;
    3 "param_set_int" "param_get_int" set_int get_int;
    4 "param_set_uint" "param_get_uint" set_uint get_uint;
    5 "param_set_long" "param_get_long" set_long get_long;
    6 "param_set_ulong" "param_get_ulong" set_ulong get_ulong;
    7 "param_set_ullong" "param_get_ullong" set_ullong get_ullong;
    8 "param_set_hexint" "param_get_hexint" set_hexint get_hexint;
}

/// Offset of `arg` in struct kernel_param: name, mod, ops, perm+level+flags, arg.
const ARG: u64 = 32;

fn arg(cx: &Cx, c: &Call) -> R {
    Ok(cx.r64(c.a[1] + ARG)?)
}

/// kstrtoull with base 0, as parameters use it: the whole string, an optional newline at its end.
fn parse(text: &[u8], signed: bool, bytes: u64) -> Result<u64, i32> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let (negative, rest) = match text {
        [b'-', rest @ ..] if signed => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, digits) = match rest {
        [b'0', b'x' | b'X', tail @ ..] if tail.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, tail)
        }
        [b'0', ..] => (8, rest),
        _ => (10, rest),
    };
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let mut value = 0u64;
    let mut overflow = false;
    for &digit in digits {
        let digit = (digit as char).to_digit(base).ok_or(EINVAL)?;
        match value
            .checked_mul(u64::from(base))
            .and_then(|v| v.checked_add(u64::from(digit)))
        {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if overflow {
        return Err(ERANGE);
    }
    let bits = bytes * 8;
    if signed {
        let limit = 1u64 << (bits - 1);
        if value > limit || value == limit && !negative {
            return Err(ERANGE);
        }
        return Ok(if negative {
            value.wrapping_neg()
        } else {
            value
        });
    }
    if bits < 64 && value >> bits != 0 {
        return Err(ERANGE);
    }
    Ok(value)
}

fn write_sized(cx: &Cx, at: u64, bytes: u64, value: u64) -> R<()> {
    match bytes {
        1 => cx.w8(at, value as u8)?,
        2 => cx.w16(at, value as u16)?,
        4 => cx.w32(at, value as u32)?,
        _ => cx.w64(at, value)?,
    }
    Ok(())
}

fn set_integer(cx: &mut Cx, c: &Call, kind: &Integer) -> R {
    let text = cx.cstr(c.a[0], 1024)?;
    match parse(&text, kind.signed, kind.bytes) {
        Ok(value) => {
            let at = arg(cx, c)?;
            write_sized(cx, at, kind.bytes, value)?;
            Ok(0)
        }
        Err(errno) => Ok(neg(errno)),
    }
}

/// Writes text and its NUL to a sysfs page; its length.
fn show(cx: &Cx, buffer: u64, text: &str) -> R {
    cx.write(buffer, text.as_bytes())?;
    cx.w8(buffer + text.len() as u64, 0)?;
    Ok(text.len() as u64)
}

fn get_integer(cx: &mut Cx, c: &Call, kind: &Integer) -> R {
    let at = arg(cx, c)?;
    let raw = match kind.bytes {
        1 => u64::from(cx.r8(at)?),
        2 => u64::from(cx.r16(at)?),
        4 => u64::from(cx.r32(at)?),
        _ => cx.r64(at)?,
    };
    let text = if kind.hex {
        format!("{:#08x}\n", raw)
    } else if kind.signed {
        let shift = 64 - kind.bytes * 8;
        format!("{}\n", ((raw << shift) as i64) >> shift)
    } else {
        format!("{raw}\n")
    };
    show(cx, c.a[0], &text)
}

/// kstrtobool.
fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] => Some(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] => Some(false),
        [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

fn bool_of(cx: &Cx, c: &Call) -> R<Option<bool>> {
    if c.a[0] == 0 {
        return Ok(Some(true));
    }
    Ok(parse_bool(&cx.cstr(c.a[0], 1024)?))
}

fn set_bool(cx: &mut Cx, c: &Call) -> R {
    let Some(value) = bool_of(cx, c)? else {
        return Ok(neg(EINVAL));
    };
    let at = arg(cx, c)?;
    cx.w8(at, u8::from(value))?;
    Ok(0)
}

fn set_bool_enable_only(cx: &mut Cx, c: &Call) -> R {
    let Some(value) = bool_of(cx, c)? else {
        return Ok(neg(EINVAL));
    };
    let at = arg(cx, c)?;
    if cx.r8(at)? != 0 && !value {
        return Ok(neg(EROFS));
    }
    cx.w8(at, u8::from(value))?;
    Ok(0)
}

fn get_bool(cx: &mut Cx, c: &Call) -> R {
    let at = arg(cx, c)?;
    let text = if cx.r8(at)? != 0 { "Y\n" } else { "N\n" };
    show(cx, c.a[0], text)
}

fn set_invbool(cx: &mut Cx, c: &Call) -> R {
    let Some(value) = bool_of(cx, c)? else {
        return Ok(neg(EINVAL));
    };
    let at = arg(cx, c)?;
    cx.w8(at, u8::from(!value))?;
    Ok(0)
}

fn get_invbool(cx: &mut Cx, c: &Call) -> R {
    let at = arg(cx, c)?;
    let text = if cx.r8(at)? != 0 { "N\n" } else { "Y\n" };
    show(cx, c.a[0], text)
}

fn set_bint(cx: &mut Cx, c: &Call) -> R {
    let Some(value) = bool_of(cx, c)? else {
        return Ok(neg(EINVAL));
    };
    let at = arg(cx, c)?;
    cx.w32(at, u32::from(value))?;
    Ok(0)
}

fn param_name(cx: &Cx, c: &Call) -> R<String> {
    Ok(cx.text(cx.r64(c.a[1])?)?)
}

fn set_charp(cx: &mut Cx, c: &Call) -> R {
    let text = cx.cstr(c.a[0], 4096)?;
    if text.len() > 1024 {
        let name = param_name(cx, c)?;
        printk::log(cx, 3, &format!("{name}: string parameter too long\n"));
        return Ok(neg(ENOSPC));
    }
    let at = arg(cx, c)?;
    free_old(cx, at)?;
    let copy = crate::mm::slab::alloc(cx, text.len() as u64 + 1, 0)?;
    if copy == 0 {
        return Ok(neg(ENOMEM));
    }
    cx.write(copy, &text)?;
    cx.w8(copy + text.len() as u64, 0)?;
    cx.modules.charps.insert(copy);
    cx.w64(at, copy)?;
    Ok(0)
}

/// Frees a string that a previous set allocated; a static default stays.
fn free_old(cx: &mut Cx, at: u64) -> R<()> {
    let old = cx.r64(at)?;
    if cx.modules.charps.remove(&old) {
        crate::mm::slab::free(cx, old, "kfree")?;
    }
    Ok(())
}

fn get_charp(cx: &mut Cx, c: &Call) -> R {
    let text = cx.r64(arg(cx, c)?)?;
    let text = if text == 0 {
        "(null)".to_owned()
    } else {
        cx.text(text)?
    };
    show(cx, c.a[0], &format!("{text}\n"))
}

fn free_charp(cx: &mut Cx, c: &Call) -> R {
    free_old(cx, c.a[0])?;
    Ok(0)
}

/// struct kparam_string: unsigned int maxlen; char *string.
fn set_copystring(cx: &mut Cx, c: &Call) -> R {
    let at = arg(cx, c)?;
    let max = cx.r32(at)?;
    let text = cx.cstr(c.a[0], 4096)?;
    if text.len() + 1 > max as usize {
        let name = param_name(cx, c)?;
        printk::log(
            cx,
            3,
            &format!(
                "{name}: string doesn't fit in {} chars.\n",
                max.saturating_sub(1)
            ),
        );
        return Ok(neg(ENOSPC));
    }
    let to = cx.r64(at + 8)?;
    cx.write(to, &text)?;
    cx.w8(to + text.len() as u64, 0)?;
    Ok(0)
}

fn get_string(cx: &mut Cx, c: &Call) -> R {
    let text = cx.r64(arg(cx, c)? + 8)?;
    let text = cx.text(text)?;
    show(cx, c.a[0], &format!("{text}\n"))
}

/// struct kparam_array: unsigned max, elemsize; unsigned *num; ops; void *elem.
struct Array {
    max: u32,
    size: u32,
    num: u64,
    ops: u64,
    elem: u64,
}

fn array(cx: &Cx, at: u64) -> R<Array> {
    Ok(Array {
        max: cx.r32(at)?,
        size: cx.r32(at + 4)?,
        num: cx.r64(at + 8)?,
        ops: cx.r64(at + 16)?,
        elem: cx.r64(at + 24)?,
    })
}

/// A copy of a struct kernel_param whose argument is one element.
fn element(cx: &mut Cx, param: u64, elem: u64) -> R {
    let copy = crate::data::alloc(cx, 40, 8)?;
    cx.copy(copy, param, 40)?;
    cx.w64(copy + ARG, elem)?;
    Ok(copy)
}

fn array_set(cx: &mut Cx, c: &Call) -> R {
    let a = array(cx, arg(cx, c)?)?;
    let name = param_name(cx, c)?;
    let text = cx.cstr(c.a[0], 4096)?;
    let mut count = 0;
    let mut at = c.a[0];
    for part in text.split(|&b| b == b',') {
        // The comma after the element becomes its end, for good.
        at += part.len() as u64;
        cx.w8(at, 0)?;
        at += 1;
        if count >= a.max {
            printk::log(
                cx,
                3,
                &format!("{name}: can only take {} arguments\n", a.max),
            );
            return Ok(neg(EINVAL));
        }
        let copy = crate::data::alloc(cx, part.len() as u64 + 1, 8)?;
        cx.write(copy, part)?;
        cx.w8(copy + part.len() as u64, 0)?;
        let param = element(cx, c.a[1], a.elem + u64::from(count) * u64::from(a.size))?;
        let set = cx.r64(a.ops + 8)?;
        let result = cx.call_guest(set, &[copy, param]) as i32;
        if result != 0 {
            return Ok(result as i64 as u64);
        }
        count += 1;
    }
    if a.num != 0 {
        cx.w32(a.num, count)?;
    }
    Ok(0)
}

fn array_get(cx: &mut Cx, c: &Call) -> R {
    let a = array(cx, arg(cx, c)?)?;
    let count = if a.num == 0 { a.max } else { cx.r32(a.num)? };
    let mut off = 0;
    for index in 0..count.min(a.max) {
        if off > 0 {
            // The newline of the element before becomes the comma.
            cx.w8(c.a[0] + off - 1, b',')?;
        }
        let param = element(cx, c.a[1], a.elem + u64::from(index) * u64::from(a.size))?;
        let get = cx.r64(a.ops + 16)?;
        let result = cx.call_guest(get, &[c.a[0] + off, param]) as i32;
        if result < 0 {
            return Ok(result as i64 as u64);
        }
        off += result as u64;
        if off > 4000 {
            break;
        }
    }
    cx.w8(c.a[0] + off, 0)?;
    Ok(off)
}

fn array_free(cx: &mut Cx, c: &Call) -> R {
    let a = array(cx, c.a[0])?;
    let free = cx.r64(a.ops + 24)?;
    if free != 0 {
        let count = if a.num == 0 { a.max } else { cx.r32(a.num)? };
        for index in 0..count.min(a.max) {
            cx.call_guest(free, &[a.elem + u64::from(index) * u64::from(a.size)]);
        }
    }
    Ok(0)
}

fn set_uint_minmax(cx: &mut Cx, c: &Call) -> R {
    let text = cx.cstr(c.a[0], 1024)?;
    let value = match parse(&text, false, 4) {
        Ok(value) => value,
        Err(errno) => return Ok(neg(errno)),
    };
    if value < u64::from(c.a[2] as u32) || value > u64::from(c.a[3] as u32) {
        return Ok(neg(EINVAL));
    }
    let at = arg(cx, c)?;
    cx.w32(at, value as u32)?;
    Ok(0)
}

fn lock(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// `param_ops_NAME` and `param_array_ops`: flags, set, get, free.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    const NOARG: u32 = 1;
    let (flags, set, get, free) = match name.strip_prefix("param_ops_") {
        Some("bool") => (NOARG, "param_set_bool", "param_get_bool", ""),
        Some("bool_enable_only") => (NOARG, "param_set_bool_enable_only", "param_get_bool", ""),
        Some("invbool") => (0, "param_set_invbool", "param_get_invbool", ""),
        Some("bint") => (NOARG, "param_set_bint", "param_get_int", ""),
        Some("charp") => (0, "param_set_charp", "param_get_charp", "param_free_charp"),
        Some("string") => (0, "param_set_copystring", "param_get_string", ""),
        Some(kind) => {
            let Some(integer) = INTEGERS.iter().find(|i| i.name == kind) else {
                return Ok(None);
            };
            let find = |prefix: &str| {
                ROWS.iter()
                    .map(|r| r.name)
                    .find(|n| n.strip_prefix(prefix) == Some(integer.name))
                    .unwrap_or("")
            };
            (0, find("param_set_"), find("param_get_"), "")
        }
        None if name == "param_array_ops" => {
            (0, "param_array_set", "param_array_get", "param_array_free")
        }
        None => return Ok(None),
    };
    let at = crate::data::alloc(cx, 32, 8)?;
    cx.w32(at, flags)?;
    for (offset, function) in [(8, set), (16, get), (24, free)] {
        if !function.is_empty() {
            let value = crate::symbols::address(cx, function);
            cx.w64(at + offset, value)?;
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_parsed_as_kstrto_does() {
        assert_eq!(parse(b"10", true, 4), Ok(10));
        assert_eq!(parse(b"0x1f\n", true, 4), Ok(31));
        assert_eq!(parse(b"010", false, 1), Ok(8));
        assert_eq!(parse(b"-1", true, 4), Ok(u64::MAX));
        assert_eq!(parse(b"-1", false, 4), Err(EINVAL));
        assert_eq!(parse(b"256", false, 1), Err(ERANGE));
        assert_eq!(parse(b"2147483648", true, 4), Err(ERANGE));
        assert_eq!(
            parse(b"-2147483648", true, 4),
            Ok(i64::from(i32::MIN) as u64)
        );
        assert_eq!(parse(b"18446744073709551616", false, 8), Err(ERANGE));
        assert_eq!(parse(b"", true, 4), Err(EINVAL));
        assert_eq!(parse(b"1x", true, 4), Err(EINVAL));
    }
}
