//! The list of file system types (fs/filesystems.c): it runs through the modules' own structures, so that a type
//! left behind is met by the next who walks it.

use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::module::refs;
use crate::table::{Fails, Key, Row, When, behaves};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("register_filesystem", register_filesystem)
        .fails(Fails::Errno(EBUSY))
        .sleeps(),
    behaves("unregister_filesystem", unregister_filesystem)
        .releases("filesystem", Key::Arg(0))
        .sleeps(),
    behaves("get_fs_type", get_fs_type)
        .acquires("filesystem-ref", Key::Ret, When::Pointer)
        .named(0)
        .sleeps(),
    behaves("put_filesystem", put_filesystem).releases("filesystem-ref", Key::Arg(0)),
];

/// The list's head: a guest word; 0 until it is made.
#[derive(Default)]
pub struct State {
    head: u64,
    own: BTreeMap<String, u64>,
    /// The one message about a request that brought nothing was printed.
    still_none: bool,
}

/// FS_HAS_SUBTYPE.
const HAS_SUBTYPE: u32 = 4;

fn head(cx: &mut Cx) -> R<u64> {
    if cx.filesystems.head == 0 {
        cx.filesystems.head = crate::data::alloc(cx, 8, 8)?;
    }
    Ok(cx.filesystems.head)
}

/// find_filesystem: the word that points to the type, or the last one.
fn find(cx: &mut Cx, name: &str) -> R<u64> {
    let mut at = head(cx)?;
    for _ in 0..4096 {
        let fs = cx.r64(at)?;
        if fs == 0 {
            break;
        }
        let label = cx.r64(fs + cx.off.fs_type_name)?;
        if cx.text(label)? == name {
            break;
        }
        at = fs + cx.off.fs_type_next;
    }
    Ok(at)
}

/// Types that the stock kernel has built in, which no module may register again.
const BUILT_IN: &[&str] = &[
    "sysfs",
    "tmpfs",
    "bdev",
    "proc",
    "cgroup",
    "cgroup2",
    "cpuset",
    "devtmpfs",
    "debugfs",
    "tracefs",
    "securityfs",
    "sockfs",
    "bpf",
    "pipefs",
    "ramfs",
    "hugetlbfs",
    "devpts",
    "mqueue",
    "pstore",
];

fn register_filesystem(cx: &mut Cx, c: &Call) -> R {
    let fs = c.a[0];
    let label = cx.r64(fs + cx.off.fs_type_name)?;
    let name = cx.text(label)?;
    if name.contains('.') {
        return Err(crate::abi::Stop::Bug(
            "kernel BUG in register_filesystem".into(),
        ));
    }
    if cx.r64(fs + cx.off.fs_type_next)? != 0 || BUILT_IN.contains(&name.as_str()) {
        return Ok(neg(EBUSY));
    }
    let at = find(cx, &name)?;
    if cx.r64(at)? != 0 {
        return Ok(neg(EBUSY));
    }
    cx.w64(at, fs)?;
    crate::trace::acquired(cx, "filesystem", fs, &name);
    let owner = cx.r64(fs + cx.off.fs_type_owner)?;
    let what = format!("file system {name}");
    crate::module::owner::check(cx, &what, fs, &[], &[owner], "register_filesystem")?;
    Ok(0)
}

fn unregister_filesystem(cx: &mut Cx, c: &Call) -> R {
    let mut at = head(cx)?;
    for _ in 0..4096 {
        let fs = cx.r64(at)?;
        if fs == 0 {
            break;
        }
        let next = fs + cx.off.fs_type_next;
        if fs == c.a[0] {
            let after = cx.r64(next)?;
            cx.w64(at, after)?;
            cx.w64(next, 0)?;
            return Ok(0);
        }
        at = next;
    }
    Ok(neg(EINVAL))
}

/// A type of the kernel's own: no module holds it, and nothing here mounts it.
fn own(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if !BUILT_IN.contains(&name) {
        return Ok(None);
    }
    if let Some(&fs) = cx.filesystems.own.get(name) {
        return Ok(Some(fs));
    }
    let size = cx.off.fs_type_size;
    let fs = crate::data::alloc(cx, size, 8)?;
    let label = crate::mm::kstrdup(cx, name.as_bytes())?;
    cx.w64(fs + cx.off.fs_type_name, label)?;
    cx.filesystems.own.insert(name.to_owned(), fs);
    Ok(Some(fs))
}

/// The type of a name, with a reference on its module; None when there is none or it is going.
pub fn get(cx: &mut Cx, name: &str, holder: &str) -> R<Option<u64>> {
    let at = find(cx, name)?;
    let fs = cx.r64(at)?;
    if fs == 0 {
        return own(cx, name);
    }
    let owner = cx.r64(fs + cx.off.fs_type_owner)?;
    Ok(refs::try_get(cx, owner, "filesystem", fs, holder)?.then_some(fs))
}

/// put_filesystem.
pub fn put(cx: &mut Cx, fs: u64) -> R<()> {
    let owner = cx.r64(fs + cx.off.fs_type_owner)?;
    refs::put_key(cx, owner, "filesystem", fs)
}

/// get_fs_type: a type that is missing is asked for once, and looked for again only when modprobe says that it is
/// there. What follows a dot is a subtype, which few types have.
pub fn get_or_load(cx: &mut Cx, name: &str, holder: &str) -> R<Option<u64>> {
    let (kind, subtype) = match name.split_once('.') {
        Some((kind, _)) => (kind, true),
        None => (name, false),
    };
    let mut found = get(cx, kind, holder)?;
    if found.is_none() && crate::module::kmod::request(cx, &format!("fs-{kind}"), true)? == 0 {
        found = get(cx, kind, holder)?;
        if found.is_none() && !cx.filesystems.still_none {
            cx.filesystems.still_none = true;
            let text = format!("request_module fs-{kind} succeeded, but still no fs?\n");
            crate::printk::log(cx, 4, &text);
        }
    }
    if let Some(fs) = found
        && subtype
        && cx.r32(fs + cx.off.fs_type_flags)? & HAS_SUBTYPE == 0
    {
        put(cx, fs)?;
        return Ok(None);
    }
    Ok(found)
}

fn get_fs_type(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[0])?;
    Ok(get_or_load(cx, &name, "get_fs_type")?.unwrap_or(0))
}

fn put_filesystem(cx: &mut Cx, c: &Call) -> R {
    put(cx, c.a[0])?;
    Ok(0)
}
