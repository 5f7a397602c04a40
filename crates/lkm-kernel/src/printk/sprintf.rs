//! The exported printf and scanf family (lib/vsprintf.c, lib/kasprintf.c).

use super::{format, scanf, store};
use crate::Cx;
use crate::abi::{Call, R, VaList};
use crate::lib::put_string;
use crate::table::{Fails, Key, Row, When, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("snprintf", snprintf),
    behaves("vsnprintf", vsnprintf),
    behaves("scnprintf", scnprintf),
    behaves("vscnprintf", vscnprintf),
    behaves("sprintf", sprintf),
    behaves("vsprintf", vsprintf),
    makes("kasprintf", kasprintf),
    makes("kvasprintf", kvasprintf),
    makes("kvasprintf_const", kvasprintf),
    behaves("sscanf", sscanf),
    behaves("vsscanf", vsscanf),
    behaves("bstr_printf", bstr_printf),
    behaves("vbin_printf", vbin_printf),
    behaves("bprintf", bprintf),
];

const fn makes(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires("slab", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(0)
}

/// What the kernel calls a size that cannot be one.
fn too_large(cx: &mut Cx, size: u64) -> R<bool> {
    if size <= i32::MAX as u64 {
        return Ok(false);
    }
    crate::traps::warn(cx, "", "vsnprintf")?;
    Ok(true)
}

fn into(cx: &mut Cx, buf: u64, size: u64, fmt: u64, args: &mut VaList) -> R {
    if too_large(cx, size)? {
        return Ok(0);
    }
    let text = format::vformat(cx, fmt, args)?;
    put_string(cx, buf, &text, size)?;
    Ok(text.len() as u64)
}

/// The number of bytes that really are in the buffer.
fn clipped(len: u64, size: u64) -> u64 {
    len.min(size.saturating_sub(1))
}

fn snprintf(cx: &mut Cx, c: &Call) -> R {
    into(cx, c.a[0], c.a[1], c.a[2], &mut c.va(3))
}

fn vsnprintf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[3])?;
    let len = into(cx, c.a[0], c.a[1], c.a[2], &mut args)?;
    args.store(cx, c.a[3])?;
    Ok(len)
}

fn scnprintf(cx: &mut Cx, c: &Call) -> R {
    Ok(clipped(snprintf(cx, c)?, c.a[1]))
}

fn vscnprintf(cx: &mut Cx, c: &Call) -> R {
    Ok(clipped(vsnprintf(cx, c)?, c.a[1]))
}

fn sprintf(cx: &mut Cx, c: &Call) -> R {
    into(cx, c.a[0], i32::MAX as u64, c.a[1], &mut c.va(2))
}

fn vsprintf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[2])?;
    let len = into(cx, c.a[0], i32::MAX as u64, c.a[1], &mut args)?;
    args.store(cx, c.a[2])?;
    Ok(len)
}

fn kasprintf(cx: &mut Cx, c: &Call) -> R {
    let text = format::vformat(cx, c.a[1], &mut c.va(2))?;
    crate::lib::string::duplicate(cx, &text, c.a[0])
}

fn kvasprintf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[2])?;
    let text = format::vformat(cx, c.a[1], &mut args)?;
    crate::lib::string::duplicate(cx, &text, c.a[0])
}

fn scan(cx: &mut Cx, text: u64, fmt: u64, args: &mut VaList) -> R {
    let (text, fmt) = (crate::lib::text(cx, text)?, crate::lib::text(cx, fmt)?);
    let (count, stores) = scanf::scan(&text, &fmt);
    for stored in stores {
        let to = args.next(cx)?;
        cx.write(to, &stored)?;
    }
    Ok(u64::from(count))
}

fn sscanf(cx: &mut Cx, c: &Call) -> R {
    scan(cx, c.a[0], c.a[1], &mut c.va(2))
}

fn vsscanf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[2])?;
    let count = scan(cx, c.a[0], c.a[1], &mut args)?;
    args.store(cx, c.a[2])?;
    Ok(count)
}

fn bstr_printf(cx: &mut Cx, c: &Call) -> R {
    if too_large(cx, c.a[1])? {
        return Ok(0);
    }
    // The binary form has no length of its own: a page of words bounds it.
    let text = format::binary(cx, c.a[2], c.a[3], 1 << 20)?;
    put_string(cx, c.a[0], &text, c.a[1])?;
    Ok(text.len() as u64)
}

fn pack(cx: &mut Cx, buf: u64, words: u64, fmt: u64, args: &mut VaList) -> R {
    let packed = store::pack(cx, fmt, args)?;
    let len = packed.len().min((words * 4) as usize);
    cx.write(buf, &packed[..len])?;
    Ok((packed.len() as u64).div_ceil(4))
}

fn vbin_printf(cx: &mut Cx, c: &Call) -> R {
    let mut args = VaList::at(cx, c.a[3])?;
    let used = pack(cx, c.a[0], c.a[1].min(1 << 20), c.a[2], &mut args)?;
    args.store(cx, c.a[3])?;
    Ok(used)
}

fn bprintf(cx: &mut Cx, c: &Call) -> R {
    pack(cx, c.a[0], c.a[1].min(1 << 20), c.a[2], &mut c.va(3))
}
