//! Superblocks and mounts (fs/super.c, fs/namespace.c, fs/fs_context.c, fs/libfs.c as far as file systems without a
//! disk go): what a module's file system does when a process mounts it, and the references that keep it loaded
//! while it is mounted.

use super::files::{self, Backing, NewFile, S_IFREG};
use super::filesystems;
use super::open::Found;
use crate::abi::{Call, R, errno::*, is_err};
use crate::module::refs;
use crate::table::{Fails, Row, behaves};
use crate::{Cx, mm};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("get_tree_nodev", get_tree_nodev)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("get_tree_single", get_tree_single)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("mount_nodev", mount_nodev)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("mount_single", mount_single)
        .fails(Fails::ErrPtr(ENOMEM))
        .sleeps(),
    behaves("simple_fill_super", simple_fill_super)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("kill_litter_super", kill_anon_super).sleeps(),
    behaves("kill_anon_super", kill_anon_super).sleeps(),
    behaves("generic_shutdown_super", shutdown_call).sleeps(),
    behaves("simple_statfs", zero),
    behaves("generic_delete_inode", one),
    behaves("new_inode", new_inode).fails(Fails::Null).sleeps(),
    behaves("inode_init_owner", inode_init_owner),
    behaves("inc_nlink", inc_nlink),
    behaves("set_nlink", set_nlink),
    behaves("d_make_root", d_make_root)
        .fails(Fails::Null)
        .sleeps(),
    behaves("d_alloc_name", d_alloc_name)
        .fails(Fails::Null)
        .sleeps(),
    behaves("d_add", d_add),
    behaves("d_instantiate", d_add),
    behaves("dput", dput).sleeps(),
];

const S_IFDIR: u32 = 0o040_000;
/// SB_ACTIVE.
const ACTIVE: u64 = 1 << 30;
/// Most files of a directory that simple_fill_super makes, and most entries it looks at.
const MAX_FILES: u64 = 4096;

/// What the kernel knows of a superblock besides its guest memory.
#[derive(Debug, Default)]
struct Super {
    fs: u64,
    /// Mounts, and contexts on the way to one.
    active: u32,
    dentries: Vec<u64>,
}

/// A mounted file system.
#[derive(Debug, Clone)]
struct Mount {
    sb: u64,
    kind: String,
}

/// The state.
#[derive(Default)]
pub struct State {
    supers: BTreeMap<u64, Super>,
    mounts: BTreeMap<String, Mount>,
    /// Entries of a directory: its dentry to those of its files.
    children: BTreeMap<u64, Vec<u64>>,
}

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn one(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

/// alloc_super: it holds its file system's module until it is shut down.
fn alloc_super(cx: &mut Cx, fs: u64, flags: u64, info: u64) -> R {
    let off = cx.off;
    let sb = mm::kalloc(cx, off.super_size)?;
    cx.w64(sb + off.super_type, fs)?;
    cx.w64(sb + off.super_flags, flags)?;
    cx.w64(sb + off.super_fs_info, info)?;
    cx.w64(sb + off.super_blocksize, 4096)?;
    cx.w32(sb + off.super_count, 1)?;
    cx.w32(sb + off.super_active, 1)?;
    let owner = cx.r64(fs + off.fs_type_owner)?;
    let holder = files::holder(cx);
    refs::get(cx, owner, "mount", sb, &holder)?;
    let entry = Super {
        fs,
        active: 1,
        dentries: Vec::new(),
    };
    cx.superblocks.supers.insert(sb, entry);
    Ok(sb)
}

/// deactivate_super: the last one shuts it down by the file system's own kill_sb, and lets its module go.
fn deactivate(cx: &mut Cx, sb: u64) -> R<()> {
    let Some(entry) = cx.superblocks.supers.get_mut(&sb) else {
        return Ok(());
    };
    entry.active = entry.active.saturating_sub(1);
    let (active, fs) = (entry.active, entry.fs);
    cx.w32(sb + cx.off.super_active, active)?;
    if active != 0 {
        return Ok(());
    }
    let kill = cx.r64(fs + cx.off.fs_type_kill_sb)?;
    cx.call_guest(kill, &[sb]);
    let owner = cx.r64(fs + cx.off.fs_type_owner)?;
    refs::put_key(cx, owner, "mount", sb)?;
    if cx.superblocks.supers.remove(&sb).is_some() {
        mm::kfree(cx, sb);
    }
    Ok(())
}

/// generic_shutdown_super: the tree goes, then put_super is told.
fn shutdown(cx: &mut Cx, sb: u64) -> R<()> {
    let off = cx.off;
    if cx.r64(sb + off.super_root)? == 0 {
        return Ok(());
    }
    cx.w64(sb + off.super_root, 0)?;
    let dentries = cx
        .superblocks
        .supers
        .get_mut(&sb)
        .map(|s| std::mem::take(&mut s.dentries))
        .unwrap_or_default();
    for dentry in dentries {
        cx.superblocks.children.remove(&dentry);
        let (inode, name) = (
            cx.r64(dentry + off.dentry_d_inode)?,
            cx.r64(dentry + off.dentry_d_name + 8)?,
        );
        mm::kfree(cx, name);
        mm::kfree(cx, dentry);
        if inode != 0 {
            files::put_inode(cx, inode)?;
        }
    }
    let flags = cx.r64(sb + off.super_flags)?;
    cx.w64(sb + off.super_flags, flags & !ACTIVE)?;
    let ops = cx.r64(sb + off.super_op)?;
    let put = match ops {
        0 => 0,
        ops => cx.r64(ops + off.super_op_put_super)?,
    };
    if put != 0 {
        cx.call_guest(put, &[sb]);
    }
    Ok(())
}

fn shutdown_call(cx: &mut Cx, c: &Call) -> R {
    shutdown(cx, c.a[0])?;
    Ok(0)
}

fn kill_anon_super(cx: &mut Cx, c: &Call) -> R {
    shutdown(cx, c.a[0])?;
    Ok(0)
}

/// vfs_get_super for a context: `single` gives the one there is. 0 or an errno, the root in the context.
fn tree(cx: &mut Cx, fc: u64, fill: u64, single: bool) -> R {
    let off = cx.off;
    let fs = cx.r64(fc + off.fc_fs_type)?;
    let found = cx.superblocks.supers.iter();
    let found = found.filter(|(_, s)| single && s.fs == fs && s.active > 0);
    let sb = match found.map(|(&sb, _)| sb).next() {
        Some(sb) => {
            grab(cx, sb)?;
            sb
        }
        None => {
            let flags = u64::from(cx.r32(fc + off.fc_sb_flags)?);
            let info = cx.r64(fc + off.fc_s_fs_info)?;
            cx.w64(fc + off.fc_s_fs_info, 0)?;
            let sb = alloc_super(cx, fs, flags, info)?;
            let answer = cx.call_guest(fill, &[sb, fc]) as i32;
            if answer != 0 {
                deactivate(cx, sb)?;
                return Ok(i64::from(answer) as u64);
            }
            cx.w64(sb + off.super_flags, flags | ACTIVE)?;
            sb
        }
    };
    let root = cx.r64(sb + off.super_root)?;
    cx.w64(fc + off.fc_root, root)?;
    Ok(0)
}

fn grab(cx: &mut Cx, sb: u64) -> R<()> {
    if let Some(entry) = cx.superblocks.supers.get_mut(&sb) {
        entry.active += 1;
        let active = entry.active;
        cx.w32(sb + cx.off.super_active, active)?;
    }
    Ok(())
}

fn get_tree_nodev(cx: &mut Cx, c: &Call) -> R {
    tree(cx, c.a[0], c.a[1], false)
}

fn get_tree_single(cx: &mut Cx, c: &Call) -> R {
    tree(cx, c.a[0], c.a[1], true)
}

/// mount_nodev and mount_single: the root dentry, or an error pointer.
fn legacy(cx: &mut Cx, c: &Call, single: bool) -> R {
    let [fs, flags, data, fill, ..] = c.a;
    let found = cx.superblocks.supers.iter();
    let found = found.filter(|(_, s)| single && s.fs == fs && s.active > 0);
    if let Some(sb) = found.map(|(&sb, _)| sb).next() {
        grab(cx, sb)?;
        return Ok(cx.r64(sb + cx.off.super_root)?);
    }
    let sb = alloc_super(cx, fs, flags, 0)?;
    let answer = cx.call_guest(fill, &[sb, data, u64::from(flags & 0x8000 != 0)]) as i32;
    if answer != 0 {
        deactivate(cx, sb)?;
        return Ok(i64::from(answer) as u64);
    }
    let flags = cx.r64(sb + cx.off.super_flags)?;
    cx.w64(sb + cx.off.super_flags, flags | ACTIVE)?;
    Ok(cx.r64(sb + cx.off.super_root)?)
}

fn mount_nodev(cx: &mut Cx, c: &Call) -> R {
    legacy(cx, c, false)
}

fn mount_single(cx: &mut Cx, c: &Call) -> R {
    legacy(cx, c, true)
}

fn inode_of(cx: &mut Cx, sb: u64, mode: u32) -> R {
    let inode = files::new_inode(cx, mode, 0)?;
    cx.w64(inode + cx.off.inode_i_sb, sb)?;
    Ok(inode)
}

fn new_inode(cx: &mut Cx, c: &Call) -> R {
    inode_of(cx, c.a[0], 0)
}

fn inode_init_owner(cx: &mut Cx, c: &Call) -> R {
    // (user namespace, inode, directory, mode)
    cx.w16(c.a[1] + cx.off.inode_i_mode, c.a[3] as u16)?;
    Ok(0)
}

fn inc_nlink(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0] + cx.off.inode_i_nlink;
    let links = cx.r32(at)?;
    cx.w32(at, links.wrapping_add(1))?;
    Ok(0)
}

fn set_nlink(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0] + cx.off.inode_i_nlink, c.a[1] as u32)?;
    Ok(0)
}

fn dentry(cx: &mut Cx, sb: u64, parent: u64, name: &[u8]) -> R {
    let off = cx.off;
    let dentry = mm::kalloc(cx, off.dentry_size)?;
    let text = mm::kstrdup(cx, name)?;
    cx.w32(dentry + off.dentry_d_name + 4, name.len() as u32)?;
    cx.w64(dentry + off.dentry_d_name + 8, text)?;
    cx.w64(dentry + off.dentry_d_sb, sb)?;
    if off.dentry_parent != crate::layout::NONE {
        let parent = if parent == 0 { dentry } else { parent };
        cx.w64(dentry + off.dentry_parent, parent)?;
    }
    if let Some(entry) = cx.superblocks.supers.get_mut(&sb) {
        entry.dentries.push(dentry);
    }
    if parent != 0 {
        cx.superblocks
            .children
            .entry(parent)
            .or_default()
            .push(dentry);
    }
    Ok(dentry)
}

fn d_make_root(cx: &mut Cx, c: &Call) -> R {
    let inode = c.a[0];
    if inode == 0 {
        return Ok(0);
    }
    let sb = cx.r64(inode + cx.off.inode_i_sb)?;
    let root = dentry(cx, sb, 0, b"/")?;
    cx.w64(root + cx.off.dentry_d_inode, inode)?;
    Ok(root)
}

fn d_alloc_name(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    let sb = cx.r64(c.a[0] + cx.off.dentry_d_sb)?;
    dentry(cx, sb, c.a[0], name.as_bytes())
}

fn d_add(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0] + cx.off.dentry_d_inode, c.a[1])?;
    Ok(0)
}

/// A dentry without an inode goes with its last user; one that is in the tree stays until the tree goes.
fn dput(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0];
    if at == 0 || cx.r64(at + cx.off.dentry_d_inode)? != 0 {
        return Ok(0);
    }
    let sb = cx.r64(at + cx.off.dentry_d_sb)?;
    let Some(entry) = cx.superblocks.supers.get_mut(&sb) else {
        return Ok(0);
    };
    if let Some(index) = entry.dentries.iter().position(|&d| d == at) {
        entry.dentries.remove(index);
        for list in cx.superblocks.children.values_mut() {
            list.retain(|&d| d != at);
        }
        let name = cx.r64(at + cx.off.dentry_d_name + 8)?;
        mm::kfree(cx, name);
        mm::kfree(cx, at);
    }
    Ok(0)
}

/// `struct tree_descr`: name, operations, mode; an array that an empty name ends.
fn simple_fill_super(cx: &mut Cx, c: &Call) -> R {
    let [sb, magic, descr, ..] = c.a;
    let off = cx.off;
    cx.w64(sb + off.super_blocksize, 4096)?;
    cx.w64(sb + off.super_magic, magic)?;
    let inode = inode_of(cx, sb, S_IFDIR | 0o755)?;
    cx.w64(inode + off.inode_i_ino, 1)?;
    cx.w32(inode + off.inode_i_nlink, 2)?;
    let root = dentry(cx, sb, 0, b"/")?;
    cx.w64(root + off.dentry_d_inode, inode)?;
    for n in 0..MAX_FILES {
        let at = descr + 24 * n;
        let name = cx.r64(at)?;
        if name == 0 {
            continue;
        }
        let name = cx.text(name)?;
        if name.is_empty() {
            break;
        }
        let entry = dentry(cx, sb, root, name.as_bytes())?;
        let mode = S_IFREG | cx.r32(at + 16)?;
        let file = inode_of(cx, sb, mode)?;
        let fops = cx.r64(at + 8)?;
        cx.w64(file + off.inode_i_fop, fops)?;
        cx.w64(file + off.inode_i_ino, n)?;
        cx.w64(entry + off.dentry_d_inode, file)?;
    }
    cx.w64(sb + off.super_root, root)?;
    Ok(0)
}

/// mount(2) of a type by its name: 0 or a negative errno.
pub fn mount(cx: &mut Cx, kind: &str, dir: &str, source: &str) -> R<i64> {
    if cx.superblocks.mounts.contains_key(dir) {
        return Ok(i64::from(-EBUSY));
    }
    let Some(fs) = filesystems::get_or_load(cx, kind, &files::holder(cx))? else {
        return Ok(i64::from(-ENODEV));
    };
    let made = match cx.r64(fs + cx.off.fs_type_init_fs_context)? {
        0 => by_method(cx, fs, source)?,
        init => by_context(cx, fs, init, source)?,
    };
    let answer = match made {
        Err(errno) => errno,
        Ok(root) => {
            let sb = cx.r64(root + cx.off.dentry_d_sb)?;
            let mount = Mount {
                sb,
                kind: kind.to_owned(),
            };
            cx.superblocks.mounts.insert(dir.to_owned(), mount);
            0
        }
    };
    filesystems::put(cx, fs)?;
    Ok(answer)
}

/// legacy_get_tree: the type's mount method.
fn by_method(cx: &mut Cx, fs: u64, source: &str) -> R<Result<u64, i64>> {
    let method = cx.r64(fs + cx.off.fs_type_mount)?;
    if method == 0 {
        return Ok(Err(i64::from(-ENODEV)));
    }
    let name = mm::kstrdup(cx, source.as_bytes())?;
    let root = cx.call_guest(method, &[fs, 0, name, 0]);
    mm::kfree(cx, name);
    Ok(match root {
        root if is_err(root) => Err(root as i64),
        0 => Err(i64::from(-ENOMEM)),
        root => Ok(root),
    })
}

/// fs_context_for_mount, vfs_get_tree, put_fs_context.
fn by_context(cx: &mut Cx, fs: u64, init: u64, source: &str) -> R<Result<u64, i64>> {
    let off = cx.off;
    let fc = mm::kalloc(cx, off.fc_size)?;
    let name = mm::kstrdup(cx, source.as_bytes())?;
    cx.w64(fc + off.fc_fs_type, fs)?;
    cx.w64(fc + off.fc_source, name)?;
    let owner = cx.r64(fs + off.fs_type_owner)?;
    let holder = files::holder(cx);
    refs::get(cx, owner, "filesystem", fc, &holder)?;
    let mut answer = i64::from(cx.call_guest(init, &[fc]) as i32);
    if answer == 0 {
        let ops = cx.r64(fc + off.fc_ops)?;
        let get_tree = cx.r64(ops + off.fc_op_get_tree)?;
        answer = match get_tree {
            0 => i64::from(-EOPNOTSUPP),
            get_tree => i64::from(cx.call_guest(get_tree, &[fc]) as i32),
        };
        let root = cx.r64(fc + off.fc_root)?;
        let free = cx.r64(ops + off.fc_op_free)?;
        if free != 0 {
            cx.call_guest(free, &[fc]);
        }
        if answer == 0 {
            end(cx, fc, name, owner)?;
            if root == 0 {
                let text = "kernel BUG in vfs_get_tree: get_tree() did not set fc->root";
                return Err(crate::abi::Stop::Bug(text.into()));
            }
            return Ok(Ok(root));
        }
    }
    end(cx, fc, name, owner)?;
    Ok(Err(answer))
}

fn end(cx: &mut Cx, fc: u64, name: u64, owner: u64) -> R<()> {
    mm::kfree(cx, name);
    mm::kfree(cx, fc);
    refs::put_key(cx, owner, "filesystem", fc)
}

/// umount(2): 0 or a negative errno.
pub fn umount(cx: &mut Cx, dir: &str) -> R<i64> {
    let Some(mount) = cx.superblocks.mounts.get(dir).cloned() else {
        return Ok(i64::from(-EINVAL));
    };
    if files::any_on(cx, mount.sb)? {
        return Ok(i64::from(-EBUSY));
    }
    cx.superblocks.mounts.remove(dir);
    deactivate(cx, mount.sb)?;
    Ok(0)
}

/// Where a superblock is mounted: type and directories, for reports.
pub fn places(cx: &Cx, sb: u64) -> Option<(String, Vec<String>)> {
    let found = cx.superblocks.mounts.iter().filter(|(_, m)| m.sb == sb);
    let dirs: Vec<(String, String)> = found.map(|(d, m)| (m.kind.clone(), d.clone())).collect();
    let kind = dirs.first()?.0.clone();
    Some((kind, dirs.into_iter().map(|(_, dir)| dir).collect()))
}

/// Opens a file in the root of what is mounted.
pub(super) fn open_path(cx: &mut Cx, path: &str, flags: u32) -> R<Found> {
    let Some((dir, name)) = path.rsplit_once('/') else {
        return Ok(None);
    };
    let Some(sb) = cx.superblocks.mounts.get(dir).map(|m| m.sb) else {
        return Ok(None);
    };
    let off = cx.off;
    let root = cx.r64(sb + off.super_root)?;
    let entries = cx.superblocks.children.get(&root).cloned();
    for entry in entries.unwrap_or_default() {
        let inode = cx.r64(entry + off.dentry_d_inode)?;
        let text = cx.r64(entry + off.dentry_d_name + 8)?;
        if inode == 0 || cx.text(text)? != name {
            continue;
        }
        return Ok(Some(open_inode(cx, path, inode, flags)?));
    }
    Ok(Some(Err(i64::from(-ENOENT))))
}

/// do_dentry_open.
fn open_inode(cx: &mut Cx, path: &str, inode: u64, flags: u32) -> R<Result<u64, i64>> {
    let off = cx.off;
    let fops = cx.r64(inode + off.inode_i_fop)?;
    let new = NewFile {
        what: path,
        mode: u32::from(cx.r16(inode + off.inode_i_mode)?),
        rdev: 0,
        f_op: fops,
        flags,
        backing: Backing::Guest,
        data: 0,
        inode,
    };
    let file = files::new_file(cx, &new)?;
    if fops == 0 || !files::take_fops(cx, file, fops)? {
        files::abandon(cx, file)?;
        return Ok(Err(i64::from(-ENODEV)));
    }
    let method = cx.r64(fops + off.fops_open)?;
    if method != 0 {
        let answer = i64::from(cx.call_guest(method, &[inode, file]) as i32);
        if answer != 0 {
            files::abandon(cx, file)?;
            return Ok(Err(answer));
        }
    }
    Ok(Ok(file))
}
