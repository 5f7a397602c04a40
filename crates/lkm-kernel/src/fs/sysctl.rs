//! sysctl tables (fs/proc/proc_sysctl.c, kernel/sysctl.c): files below /proc/sys that read and write the variables
//! of modules through the handler each entry names.

use super::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use super::open::Found;
use crate::abi::{Call, R, errno::*, neg};
use crate::mm::{self, uaccess};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, printk};
use std::collections::BTreeMap;

const KIND: &str = "sysctl";

pub(crate) const ROWS: &[Row] = &[
    table("register_sysctl", register_sysctl),
    table("register_sysctl_sz", register_sysctl_sz),
    table("__register_sysctl_table", register_in_set),
    table("register_net_sysctl", register_in_set),
    table("register_net_sysctl_sz", register_net_sz),
    table("register_sysctl_table", register_nested),
    behaves("unregister_sysctl_table", unregister)
        .releases(KIND, Key::Arg(0))
        .sleeps(),
    behaves("unregister_net_sysctl_table", unregister)
        .releases(KIND, Key::Arg(0))
        .sleeps(),
    behaves("proc_dointvec", do_int),
    behaves("proc_dointvec_minmax", do_int_range),
    behaves("proc_douintvec", do_uint),
    behaves("proc_douintvec_minmax", do_uint_range),
    behaves("proc_dou8vec_minmax", do_u8_range),
    behaves("proc_dobool", do_bool),
    behaves("proc_doulongvec_minmax", do_ulong_range),
    behaves("proc_dostring", do_string),
];

const fn table(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires(KIND, Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps()
}

/// Most entries of a table, and levels of nested ones.
const MAX: u64 = 512;
const DEPTH: u32 = 8;

/// The state of this file.
#[derive(Default)]
pub struct State {
    /// Path below /proc/sys to (entry's address, header).
    entries: BTreeMap<String, (u64, u64)>,
}

/// The files of all tables.
pub(crate) fn paths(cx: &Cx) -> impl Iterator<Item = String> {
    cx.sysctl
        .entries
        .keys()
        .map(|path| format!("/proc/sys/{path}"))
}

static OPS: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: None,
};

/// The entries of a table with their paths; nested tables are followed where they exist.
fn collect(
    cx: &Cx,
    path: &str,
    at: u64,
    count: u64,
    depth: u32,
    out: &mut Vec<(String, u64)>,
) -> R<()> {
    let off = cx.off;
    for index in 0..count.min(MAX) {
        let entry = at + index * off.ctl_size;
        let name = cx.r64(entry + off.ctl_procname)?;
        if name == 0 {
            break;
        }
        let name = cx.text(name)?;
        let full = if path.is_empty() {
            name
        } else {
            format!("{}/{name}", path.trim_matches('/'))
        };
        let child = if off.ctl_child == crate::layout::NONE {
            0
        } else {
            cx.r64(entry + off.ctl_child)?
        };
        if child != 0 && depth < DEPTH {
            collect(cx, &full, child, MAX, depth + 1, out)?;
        } else {
            out.push((full, entry));
        }
    }
    Ok(())
}

fn register(cx: &mut Cx, path: &str, at: u64, count: u64) -> R {
    let mut found = Vec::new();
    collect(cx, path, at, count, 0, &mut found)?;
    for (path, entry) in &found {
        let handler = cx.r64(entry + cx.off.ctl_handler)?;
        let mode = cx.r16(entry + cx.off.ctl_mode)?;
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let name = path.rsplit('/').next().unwrap_or("");
        let wrong = if handler == 0 {
            Some("No proc_handler".to_owned())
        } else if mode & 0o666 != mode {
            Some(format!("bogus .mode 0{mode:o}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            printk::log(
                cx,
                3,
                &format!("sysctl table check failed: {dir}/{name} {wrong}\n"),
            );
            crate::drivers::kobject::dump_stack(cx)?;
            return Ok(0);
        }
        if cx.sysctl.entries.contains_key(path) {
            printk::log(cx, 3, &format!("sysctl duplicate entry: /{dir}//{name}\n"));
            crate::drivers::kobject::dump_stack(cx)?;
            return Ok(0);
        }
    }
    let header = mm::kalloc(cx, 128)?;
    for (path, entry) in found {
        cx.sysctl.entries.insert(path, (entry, header));
    }
    Ok(header)
}

fn register_sysctl(cx: &mut Cx, c: &Call) -> R {
    let path = cx.text(c.a[0])?;
    register(cx, &path, c.a[1], MAX)
}

fn register_sysctl_sz(cx: &mut Cx, c: &Call) -> R {
    let path = cx.text(c.a[0])?;
    register(cx, &path, c.a[1], c.a[2])
}

/// (set or namespace, path, table).
fn register_in_set(cx: &mut Cx, c: &Call) -> R {
    let path = cx.text(c.a[1])?;
    register(cx, &path, c.a[2], MAX)
}

fn register_net_sz(cx: &mut Cx, c: &Call) -> R {
    let path = cx.text(c.a[1])?;
    register(cx, &path, c.a[2], c.a[3])
}

fn register_nested(cx: &mut Cx, c: &Call) -> R {
    register(cx, "", c.a[0], MAX)
}

fn unregister(cx: &mut Cx, c: &Call) -> R {
    let header = c.a[0];
    if header == 0 {
        return Ok(0);
    }
    let before = cx.sysctl.entries.len();
    cx.sysctl.entries.retain(|_, &mut (_, h)| h != header);
    if before == cx.sysctl.entries.len() {
        // Given back before: its memory is read.
        cx.r64(header)?;
    } else {
        mm::kfree(cx, header);
    }
    Ok(0)
}

/// Opens a path below /proc/sys.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(below) = path.strip_prefix("/proc/sys/") else {
        return Ok(None);
    };
    let Some(&(entry, _)) = cx.sysctl.entries.get(below) else {
        return Ok(None);
    };
    let mode = u32::from(cx.r16(entry + cx.off.ctl_mode)?);
    let new = NewFile {
        what: path,
        mode: S_IFREG | mode,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&OPS),
        data: entry,
        inode: 0,
    };
    Ok(Some(Ok(files::new_file(cx, &new)?)))
}

fn call(cx: &mut Cx, file: u64, buf: u64, len: u64, write: bool) -> R<i64> {
    let (entry, path) =
        files::info(cx, file).map_or((0, String::new()), |o| (o.data, o.what.clone()));
    let live = path
        .strip_prefix("/proc/sys/")
        .is_some_and(|p| cx.sysctl.entries.contains_key(p));
    if !live {
        return Ok(i64::from(-ENOENT));
    }
    let len = len.min(1 << 16);
    let handler = cx.r64(entry + cx.off.ctl_handler)?;
    let kernel = mm::kalloc(cx, len + 1)?;
    let lenp = mm::kalloc(cx, 8)?;
    cx.w64(lenp, len)?;
    if write && uaccess::from_user(cx, kernel, buf, len)? != 0 {
        mm::kfree(cx, kernel);
        mm::kfree(cx, lenp);
        return Ok(i64::from(-EFAULT));
    }
    let pos = file + cx.off.file_f_pos;
    let answer = cx.call_guest(handler, &[entry, u64::from(write), kernel, lenp, pos]) as i32;
    let done = cx.r64(lenp)?.min(len);
    if answer == 0 && !write && uaccess::to_user(cx, buf, kernel, done)? != 0 {
        return Ok(i64::from(-EFAULT));
    }
    mm::kfree(cx, kernel);
    mm::kfree(cx, lenp);
    Ok(if answer != 0 {
        i64::from(answer)
    } else {
        done as i64
    })
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    call(cx, file, buf, len, false)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    call(cx, file, buf, len, true)
}

/// What an element of a vector is: bytes, signed.
#[derive(Clone, Copy)]
struct Element {
    size: u64,
    signed: bool,
    /// The bounds extra1 and extra2 point to are of this type, and count.
    bounded: bool,
}

fn get(cx: &Cx, at: u64, e: Element) -> R<i128> {
    Ok(match (e.size, e.signed) {
        (1, _) => i128::from(cx.r8(at)?),
        (4, true) => i128::from(cx.r32(at)? as i32),
        (4, false) => i128::from(cx.r32(at)?),
        _ => i128::from(cx.r64(at)?),
    })
}

fn put(cx: &Cx, at: u64, e: Element, v: i128) -> R<()> {
    let _: () = match e.size {
        1 => cx.w8(at, v as u8)?,
        4 => cx.w32(at, v as u32)?,
        _ => cx.w64(at, v as u64)?,
    };
    Ok(())
}

fn limits(cx: &Cx, entry: u64, e: Element) -> R<(i128, i128)> {
    let (mut low, mut high) = match (e.size, e.signed) {
        (1, _) => (0, 255),
        (4, true) => (i128::from(i32::MIN), i128::from(i32::MAX)),
        (4, false) => (0, i128::from(u32::MAX)),
        _ => (0, i128::from(u64::MAX)),
    };
    if e.bounded {
        // The bounds of a u8 vector are unsigned ints.
        let bound = Element {
            size: e.size.max(4),
            ..e
        };
        let (first, second) = (
            cx.r64(entry + cx.off.ctl_extra1)?,
            cx.r64(entry + cx.off.ctl_extra2)?,
        );
        if first != 0 {
            low = get(cx, first, bound)?;
        }
        if second != 0 {
            high = get(cx, second, bound)?;
        }
    }
    Ok((low, high))
}

/// do_proc_dointvec and its kin: (table, write, buffer, lenp, ppos).
fn vector(cx: &mut Cx, c: &Call, e: Element) -> R {
    let [entry, write, buf, lenp, ppos, ..] = c.a;
    let data = cx.r64(entry + cx.off.ctl_data)?;
    let count = u64::from(cx.r32(entry + cx.off.ctl_maxlen)?) / e.size;
    let len = cx.r64(lenp)?;
    let write = write as u32 != 0;
    if data == 0 || count == 0 || len == 0 || cx.r64(ppos)? != 0 && !write {
        cx.w64(lenp, 0)?;
        return Ok(0);
    }
    if !write {
        let mut text = String::new();
        for index in 0..count.min(MAX) {
            if index > 0 {
                text.push('\t');
            }
            text.push_str(&get(cx, data + index * e.size, e)?.to_string());
        }
        text.push('\n');
        let done = (text.len() as u64).min(len);
        cx.write(buf, &text.as_bytes()[..done as usize])?;
        cx.w64(lenp, done)?;
        cx.w64(ppos, done)?;
        return Ok(0);
    }
    let text = String::from_utf8_lossy(&cx.bytes(buf, len.min(4096))?).into_owned();
    let (low, high) = limits(cx, entry, e)?;
    let mut any = false;
    for (index, word) in text
        .split(|c: char| c.is_whitespace() || c == '\0')
        .filter(|w| !w.is_empty())
        .take(count.min(MAX) as usize)
        .enumerate()
    {
        let (minus, digits) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let parsed = if let Some(hex) = digits.strip_prefix("0x") {
            i128::from_str_radix(hex, 16)
        } else if digits.len() > 1 && digits.starts_with('0') {
            i128::from_str_radix(digits, 8)
        } else {
            digits.parse()
        };
        let value = match parsed {
            Ok(v) if minus && e.signed => -v,
            Ok(v) if !minus => v,
            _ => return Ok(neg(EINVAL)),
        };
        if value < low || value > high {
            return Ok(neg(if e.size == 4 && e.bounded && !e.signed {
                ERANGE
            } else {
                EINVAL
            }));
        }
        put(cx, data + index as u64 * e.size, e, value)?;
        any = true;
    }
    if !any {
        return Ok(neg(EINVAL));
    }
    let pos = cx.r64(ppos)?;
    cx.w64(ppos, pos + len)?;
    Ok(0)
}

const INT: Element = Element {
    size: 4,
    signed: true,
    bounded: false,
};

fn do_int(cx: &mut Cx, c: &Call) -> R {
    vector(cx, c, INT)
}

fn do_int_range(cx: &mut Cx, c: &Call) -> R {
    vector(
        cx,
        c,
        Element {
            bounded: true,
            ..INT
        },
    )
}

fn do_uint(cx: &mut Cx, c: &Call) -> R {
    vector(
        cx,
        c,
        Element {
            signed: false,
            ..INT
        },
    )
}

fn do_uint_range(cx: &mut Cx, c: &Call) -> R {
    let e = Element {
        size: 4,
        signed: false,
        bounded: true,
    };
    vector(cx, c, e)
}

fn do_u8_range(cx: &mut Cx, c: &Call) -> R {
    let e = Element {
        size: 1,
        signed: false,
        bounded: true,
    };
    vector(cx, c, e)
}

fn do_bool(cx: &mut Cx, c: &Call) -> R {
    let e = Element {
        size: 1,
        signed: false,
        bounded: false,
    };
    vector(cx, c, e)
}

fn do_ulong_range(cx: &mut Cx, c: &Call) -> R {
    let e = Element {
        size: 8,
        signed: false,
        bounded: true,
    };
    vector(cx, c, e)
}

fn do_string(cx: &mut Cx, c: &Call) -> R {
    let [entry, write, buf, lenp, ppos, ..] = c.a;
    let data = cx.r64(entry + cx.off.ctl_data)?;
    let max = u64::from(cx.r32(entry + cx.off.ctl_maxlen)?);
    let len = cx.r64(lenp)?;
    let write = write as u32 != 0;
    if data == 0 || max == 0 || len == 0 || cx.r64(ppos)? != 0 && !write {
        cx.w64(lenp, 0)?;
        return Ok(0);
    }
    if write {
        let bytes = cx.bytes(buf, len.min(max - 1))?;
        let end = bytes
            .iter()
            .position(|&b| b == 0 || b == b'\n')
            .unwrap_or(bytes.len());
        cx.write(data, &bytes[..end])?;
        cx.w8(data + end as u64, 0)?;
        let pos = cx.r64(ppos)?;
        cx.w64(ppos, pos + len)?;
        return Ok(0);
    }
    let mut text = cx.cstr(data, max as usize)?;
    text.truncate(max as usize);
    text.push(b'\n');
    let done = (text.len() as u64).min(len);
    cx.write(buf, &text[..done as usize])?;
    cx.w64(lenp, done)?;
    cx.w64(ppos, done)?;
    Ok(0)
}

/// `sysctl_vals`: the constants that bounds point to.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name != "sysctl_vals" {
        return Ok(None);
    }
    const VALUES: [i32; 12] = [0, 1, 2, 3, 4, 100, 200, 1000, 3000, i32::MAX, 65535, -1];
    let at = crate::data::alloc(cx, 48, 8)?;
    for (index, value) in VALUES.iter().enumerate() {
        cx.w32(at + index as u64 * 4, *value as u32)?;
    }
    Ok(Some(at))
}
