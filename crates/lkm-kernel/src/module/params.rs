//! Module parameters (kernel/params.c).

use super::taint;
use crate::abi::{R, errno::*};
use crate::{Cx, printk};
use lkm_object::check::LoadInfo;

/// A parameter of a loaded module.
#[derive(Debug, Clone, Default)]
pub struct Param {
    /// Name.
    pub name: String,
    /// Mode of its file; 0: none.
    pub perm: u16,
    /// KERNEL_PARAM_FL_ bits.
    pub flags: u8,
    /// Guest address of its `struct kernel_param`.
    pub addr: u64,
    /// Guest address of its operations.
    pub ops: u64,
    /// Its argument: the variable or a description of it.
    pub arg: u64,
}

/// Reads `__param` from the relocated images: (section, offset) gives (address, word).
pub(super) fn read(
    info: &LoadInfo<'_>,
    word: impl Fn(usize, u64) -> Option<(u64, u64)>,
    _: &[u64],
) -> Vec<Param> {
    let index = info.find_sec("__param");
    if index == 0 {
        return Vec::new();
    }
    let Ok(file) = lkm_object::module::ModuleFile::parse(info.elf.data) else {
        return Vec::new();
    };
    file.params
        .iter()
        .filter_map(|p| {
            let (addr, _) = word(index, p.offset)?;
            let (_, ops) = word(index, p.offset + 16)?;
            let (_, arg) = word(index, p.offset + 32)?;
            Some(Param {
                name: p.name.to_owned(),
                perm: p.perm,
                flags: p.flags,
                addr,
                ops,
                arg,
            })
        })
        .collect()
}

/// next_arg: splits the next token off; quotes may wrap a value or a whole token.
fn next_arg(text: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, usize) {
    let mut at = 0;
    let quoted = text.first() == Some(&b'"');
    let mut in_quote = quoted;
    let start = usize::from(quoted);
    let mut equals = None;
    at += start;
    while at < text.len() {
        if text[at].is_ascii_whitespace() && !in_quote {
            break;
        }
        if equals.is_none() && text[at] == b'=' {
            equals = Some(at);
        }
        if text[at] == b'"' {
            in_quote = !in_quote;
        }
        at += 1;
    }
    let mut end = at;
    let (name, value) = match equals {
        None => (text[start..end].to_vec(), None),
        Some(eq) => {
            let mut from = eq + 1;
            if text.get(from) == Some(&b'"') {
                from += 1;
                if end > from && text[end - 1] == b'"' {
                    end -= 1;
                }
            }
            (text[start..eq].to_vec(), Some(text[from..end].to_vec()))
        }
    };
    let (mut name, mut value) = (name, value);
    if quoted {
        match &mut value {
            Some(v) if v.last() == Some(&b'"') => {
                v.pop();
            }
            None if name.last() == Some(&b'"') => {
                name.pop();
            }
            _ => {}
        }
    }
    let mut rest = at;
    while rest < text.len() && text[rest].is_ascii_whitespace() {
        rest += 1;
    }
    (name, value, rest)
}

fn same_name(a: &[u8], b: &str) -> bool {
    let dash = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.iter().zip(b.bytes()).all(|(&x, y)| dash(x) == dash(y))
}

/// parse_args for a module: good parameters are set, the last error is returned (negative).
pub(super) fn parse_args(cx: &mut Cx, index: usize, args: &str) -> R<i32> {
    let module = cx.modules.list[index].name.clone();
    let mut rest = args.as_bytes();
    while rest.first().is_some_and(u8::is_ascii_whitespace) {
        rest = &rest[1..];
    }
    let mut last = 0;
    while !rest.is_empty() {
        let (name, value, used) = next_arg(rest);
        rest = &rest[used..];
        if name == b"--" && value.is_none() {
            let text = String::from_utf8_lossy(rest).into_owned();
            if !text.is_empty() {
                printk::log(
                    cx,
                    4,
                    &format!("{module}: parameters '{text}' after `--' ignored\n"),
                );
            }
            break;
        }
        let shown = String::from_utf8_lossy(&name).into_owned();
        cx.modules.last_param = 0;
        let result = one(cx, index, &name, value.as_deref())?;
        // An array's commas have become ends of strings by now, and the message shows what is left.
        let text = match cx.modules.last_param {
            0 => String::from_utf8_lossy(value.as_deref().unwrap_or(b"")).into_owned(),
            at => cx.text(at)?,
        };
        match result {
            Some(0) => {}
            Some(errno) => {
                let what = if errno == -ENOSPC {
                    "too large"
                } else {
                    "invalid"
                };
                printk::log(
                    cx,
                    3,
                    &format!("{module}: `{text}' {what} for parameter `{shown}'\n"),
                );
                last = errno;
            }
            None if cx.profile.unknown_param_fails => {
                printk::log(cx, 3, &format!("{module}: Unknown parameter `{shown}'\n"));
                last = -ENOENT;
            }
            None => printk::log(
                cx,
                4,
                &format!("{module}: unknown parameter '{shown}' ignored\n"),
            ),
        }
    }
    Ok(last)
}

/// Sets one parameter; None when there is none of that name.
fn one(cx: &mut Cx, index: usize, name: &[u8], value: Option<&[u8]>) -> R<Option<i32>> {
    let Some(param) = cx.modules.list[index]
        .params
        .iter()
        .find(|p| same_name(name, &p.name))
        .cloned()
    else {
        let consumed = same_name(name, "async_probe") || same_name(name, "dyndbg");
        return Ok((consumed && !cx.profile.unknown_param_fails).then_some(0));
    };
    Ok(Some(set(cx, index, &param, value)?))
}

/// Runs the parameter's set operation.
pub fn set(cx: &mut Cx, index: usize, param: &Param, value: Option<&[u8]>) -> R<i32> {
    const NOARG: u32 = 1;
    if value.is_none() && cx.r32(param.ops)? & NOARG == 0 {
        return Ok(-EINVAL);
    }
    if param.flags & 1 != 0 {
        let name = &cx.modules.list[index].name;
        let text = format!(
            "Setting dangerous option {} - tainting kernel\n",
            param.name
        );
        let _ = name;
        printk::log(cx, 4, &text);
        super::taint_kernel(cx, taint::USER);
    }
    let text = match value {
        None => 0,
        Some(value) => {
            let mut bytes = value.to_vec();
            bytes.push(0);
            let at = crate::data::alloc(cx, bytes.len() as u64, 8)?;
            cx.write(at, &bytes)?;
            at
        }
    };
    cx.modules.last_param = text;
    let set = cx.r64(param.ops + 8)?;
    if set == 0 {
        return Ok(-EINVAL);
    }
    Ok(cx.call_guest(set, &[text, param.addr]) as i32)
}

/// Frees what charp parameters allocated (destroy_params).
pub(super) fn destroy(cx: &mut Cx, index: usize) -> R<()> {
    let params: Vec<(u64, u64)> = cx.modules.list[index]
        .params
        .iter()
        .map(|p| (p.ops, p.addr))
        .collect();
    for (ops, addr) in params {
        let free = cx.r64(ops + 24).unwrap_or(0);
        if free != 0 {
            let arg = cx.r64(addr + 32)?;
            cx.call_guest(free, &[arg]);
        }
    }
    Ok(())
}
