//! Files of /sys/module that processes have open (fs/kernfs/file.c): each read asks the module anew from the beginning,
//! and gets ENODEV when the module has gone. They keep no module.

use super::Module;
use super::sysfs::{self, Node};
use crate::Cx;
use crate::abi::{R, errno::*};
use crate::fs::files::{self, Backing, KernelOps};
use crate::fs::open::{self, Found};

static OPS: KernelOps = KernelOps {
    read: Some(read),
    write: Some(write),
    ioctl: None,
    release: Some(open::text_release),
};

/// What an attribute's mode lets everyone do: to read, to write.
fn allowed(cx: &mut Cx, path: &str, index: usize, attribute: &str) -> R<Result<(bool, bool), i32>> {
    if let Some(name) = attribute.strip_prefix("parameters/") {
        let all = &cx.modules.list[index].params;
        let param = all.iter().find(|p| p.name == name && p.perm != 0);
        return Ok(match param {
            Some(p) => Ok((p.perm & 0o444 != 0, p.perm & 0o222 != 0)),
            None => Err(ENOENT),
        });
    }
    Ok(match sysfs::read(cx, path, true)? {
        Some(Ok(Node::Text(_))) => Ok((true, false)),
        Some(Ok(Node::Directory(_))) => Err(EISDIR),
        Some(Err(errno)) => Err(errno),
        None => Err(ENOENT),
    })
}

/// Opens a file below /sys/module (kernfs_fop_open: EACCES for what the mode lets nobody do).
pub(crate) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some((name, attribute)) = path
        .strip_prefix("/sys/module/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return Ok(None);
    };
    let Some(index) = sysfs::find(cx, name) else {
        return Ok(None);
    };
    let (readable, writable) = match allowed(cx, path, index, attribute)? {
        Ok(allowed) => allowed,
        Err(errno) => return Ok(Some(Err(i64::from(-errno)))),
    };
    let (reads, writes) = (flags & 3 != 1, flags & 3 != 0);
    if reads && !readable || writes && !writable {
        return Ok(Some(Err(i64::from(-EACCES))));
    }
    let new = files::NewFile {
        what: path,
        mode: files::S_IFREG | 0o444,
        rdev: 0,
        f_op: 0,
        flags,
        backing: Backing::Kernel(&OPS),
        data: cx.modules.list[index].addr,
        inode: 0,
    };
    Ok(Some(Ok(files::new_file(cx, &new)?)))
}

/// The path of an open file, while the module that it was opened of is there (kernfs_get_active).
fn active(cx: &Cx, file: u64) -> Option<String> {
    let open = files::info(cx, file)?;
    let here = |m: &Module| m.in_sysfs && m.addr == open.data;
    let there = cx.modules.list.iter().any(here);
    there.then(|| open.what.clone())
}

fn read(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let Some(path) = active(cx, file) else {
        return Ok(i64::from(-ENODEV));
    };
    if cx.r64(file + cx.off.file_f_pos)? == 0 {
        match sysfs::read(cx, &path, true)? {
            Some(Ok(Node::Text(text))) => open::keep_text(cx, file, text.into_bytes()),
            Some(Err(errno)) => return Ok(i64::from(-errno)),
            _ => return Ok(i64::from(-ENODEV)),
        }
    }
    open::text_read(cx, file, buf, len)
}

fn write(cx: &mut Cx, file: u64, buf: u64, len: u64) -> R<i64> {
    let Some(path) = active(cx, file) else {
        return Ok(i64::from(-ENODEV));
    };
    let len = len.min(lkm_machine::map::PAGE);
    let Some(text) = crate::mm::uaccess::user_bytes(cx, buf, len)? else {
        return Ok(i64::from(-EFAULT));
    };
    Ok(match sysfs::write(cx, &path, &text)? {
        Some(0) => len as i64,
        Some(errno) => i64::from(-errno),
        None => i64::from(-EINVAL),
    })
}
