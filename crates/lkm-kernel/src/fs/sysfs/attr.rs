//! The attributes of sysfs as files: opening, and reading and writing through the methods of the object's type or of the
//! attribute itself.

use super::{Kind, PAGE, find};
use crate::abi::{R, errno::*};
use crate::fs::files::{self, Backing, KernelOps, NewFile, S_IFREG};
use crate::fs::open::Found;
use crate::mm::{self, uaccess};
use crate::{Cx, printk};

static ATTR: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: None,
};

/// `kobj_sysfs_ops`: show and store of struct kobj_attribute.
pub fn kobj_sysfs_ops(cx: &mut Cx) -> R<u64> {
    if cx.sysfs.ops == 0 {
        cx.sysfs.ops = ops_of(cx, "__lkm_kobj_attr_show", "__lkm_kobj_attr_store")?;
    }
    Ok(cx.sysfs.ops)
}

/// A struct sysfs_ops of two kernel functions.
pub fn ops_of(cx: &mut Cx, show: &'static str, store: &'static str) -> R<u64> {
    let at = crate::data::alloc(cx, 16, 8)?;
    let (show, store) = (
        crate::symbols::address(cx, show),
        crate::symbols::address(cx, store),
    );
    cx.w64(at, show)?;
    cx.w64(at + 8, store)?;
    Ok(at)
}

/// Opens an attribute by its path.
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some(below) = path.strip_prefix("/sys/") else {
        return Ok(None);
    };
    let Some(node) = find(cx, below) else {
        return Ok(None);
    };
    let attr = match cx.sysfs.nodes[node].kind {
        Kind::File(_, attr) | Kind::Bin(_, attr) | Kind::Own(_, attr, _) => attr,
        _ => return Ok(Some(Err(i64::from(-EISDIR)))),
    };
    let mode = u32::from(cx.r16(attr + 8)?);
    let new = NewFile {
        what: path,
        mode: S_IFREG | mode,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&ATTR),
        data: node as u64,
        inode: 0,
    };
    let file = files::new_file(cx, &new)?;
    Ok(Some(Ok(file)))
}

/// How an attribute is read or written.
struct Method {
    /// What the method is given first.
    object: u64,
    attr: u64,
    /// Its address; 0 when there is none.
    address: u64,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// (object, attribute, page)
    Text,
    /// (object, page)
    Bare,
    /// (file, object, attribute, page, position, count)
    Binary,
}

/// The method of the attribute behind a file.
fn method(cx: &Cx, file: u64, store: bool) -> R<Result<Method, i64>> {
    let node = files::info(cx, file).map_or(0, |o| o.data as usize);
    let Some(node) = cx.sysfs.nodes.get(node).filter(|n| n.live) else {
        return Ok(Err(i64::from(-ENODEV)));
    };
    let word = if store { 8 } else { 0 };
    let (object, attr, address, form) = match node.kind {
        Kind::File(kobj, attr) => {
            let ktype = cx.r64(kobj + cx.off.kobject_ktype)?;
            let ops = match ktype {
                0 => 0,
                ktype => cx.r64(ktype + cx.off.ktype_sysfs_ops)?,
            };
            let address = match ops {
                0 => 0,
                ops => cx.r64(ops + word)?,
            };
            (kobj, attr, address, Form::Text)
        }
        // Behind the struct attribute, of 16 bytes.
        Kind::Own(object, attr, passed) => {
            let form = if passed { Form::Text } else { Form::Bare };
            (object, attr, cx.r64(attr + 16 + word)?, form)
        }
        // struct bin_attribute ends with read, write, mmap: 6.1 has them at 40, 48, 56.
        Kind::Bin(kobj, attr) => (kobj, attr, cx.r64(attr + 40 + word)?, Form::Binary),
        _ => return Ok(Err(i64::from(-EISDIR))),
    };
    Ok(Ok(Method {
        object,
        attr,
        address,
        form,
    }))
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let m = match method(cx, file, false)? {
        Ok(found) => found,
        Err(errno) => return Ok(errno),
    };
    if m.address == 0 {
        return Ok(i64::from(-EIO));
    }
    let page = mm::kalloc(cx, PAGE)?;
    let at = file + cx.off.file_f_pos;
    let pos = cx.r64(at)?;
    let answer = if m.form == Form::Binary {
        let count = len.min(PAGE);
        let got = cx.call_guest(m.address, &[file, m.object, m.attr, page, pos, count]) as i64;
        if got > 0 {
            let left = uaccess::to_user(cx, buf, page, (got as u64).min(count))?;
            cx.w64(at, pos + got as u64 - left)?;
        }
        got
    } else {
        let mut got = match m.form {
            Form::Bare => cx.call_guest(m.address, &[m.object, page]),
            _ => cx.call_guest(m.address, &[m.object, m.attr, page]),
        } as i64;
        if got >= PAGE as i64 {
            let name = crate::module::kallsyms::describe(cx, m.address);
            printk::log(
                cx,
                4,
                &format!("fill_read_buffer: {name} returned bad count\n"),
            );
            got = PAGE as i64 - 1;
        }
        if got < 0 {
            got
        } else {
            let text = cx.bytes(page, got as u64)?;
            crate::fs::open::read_bytes(cx, file, &text, buf, len)?
        }
    };
    mm::kfree(cx, page);
    Ok(answer)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let m = match method(cx, file, true)? {
        Ok(found) => found,
        Err(errno) => return Ok(errno),
    };
    if m.address == 0 {
        return Ok(i64::from(-EIO));
    }
    let count = len.min(PAGE - 1);
    let Some(bytes) = uaccess::user_bytes(cx, buf, count)? else {
        return Ok(i64::from(-EFAULT));
    };
    let page = mm::kalloc(cx, PAGE)?;
    cx.write(page, &bytes)?;
    let answer = match m.form {
        Form::Binary => {
            let pos = cx.r64(file + cx.off.file_f_pos)?;
            cx.call_guest(m.address, &[file, m.object, m.attr, page, pos, count])
        }
        Form::Bare => cx.call_guest(m.address, &[m.object, page, count]),
        Form::Text => cx.call_guest(m.address, &[m.object, m.attr, page, count]),
    } as i64;
    mm::kfree(cx, page);
    Ok(answer)
}

/// `kobj_sysfs_ops` for modules.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name == "kobj_sysfs_ops" {
        return Ok(Some(kobj_sysfs_ops(cx)?));
    }
    Ok(None)
}
