//! Open files and file tables of tasks (fs/file_table.c, fs/file.c, fs/open.c): struct file and struct inode
//! are guest memory, because drivers read them inline; tables, which calls alone reach, are here.
//!
//! A file pins modules by the references its open took: fops_get of `f_op->owner`, and cdev_get of a
//! character device's owner. They go with the last reference on the file, wherever it is: duplicated,
//! copied by a fork, or held by kernel code with fget. For a process the release runs at the end of the
//! system call, for a kernel thread in a worker.

use crate::abi::{R, errno::*};
use crate::hash::Map;
use crate::module::refs;
use crate::sched::{self, Tid};
use crate::{Cx, mm, trace};
use lkm_trace::{Event, Site, TaskKind};
use std::collections::{BTreeMap, VecDeque};

/// FMODE_READ.
pub const FMODE_READ: u32 = 1;
/// FMODE_WRITE.
pub const FMODE_WRITE: u32 = 2;
/// FMODE_LSEEK.
pub const FMODE_LSEEK: u32 = 4;
/// FMODE_OPENED.
pub const FMODE_OPENED: u32 = 0x80000;
/// S_IFCHR.
pub const S_IFCHR: u32 = 0o020_000;
/// S_IFREG.
pub const S_IFREG: u32 = 0o100_000;

/// Operations of a file that the kernel itself serves. Each gets the file's address.
#[derive(Debug, Clone, Copy)]
pub struct KernelOps {
    /// read(2) into user memory.
    pub read: Option<fn(&mut Cx, u64, u64, u64) -> R<i64>>,
    /// write(2) from user memory.
    pub write: Option<fn(&mut Cx, u64, u64, u64) -> R<i64>>,
    /// ioctl(2): command and argument.
    pub ioctl: Option<fn(&mut Cx, u64, u64, u64) -> R<i64>>,
    /// The last reference went.
    pub release: Option<fn(&mut Cx, u64) -> R<()>>,
}

/// Who serves a file's operations.
#[derive(Debug, Clone, Copy)]
pub enum Backing {
    /// The file_operations that `f_op` points to.
    Guest,
    /// The kernel.
    Kernel(&'static KernelOps),
}

/// What the kernel knows of an open file besides its guest memory.
#[derive(Debug, Clone)]
pub struct Open {
    /// Path or other name, for lsof and reports.
    pub what: String,
    /// Who serves it.
    pub backing: Backing,
    /// A number of the backing's own (a node, a major).
    pub data: u64,
    /// Structure memory that goes with the file: a reference on its inode, and its dentry.
    inode: u64,
    dentry: u64,
    /// Address of the f_op its open ended with: whose owner its last put gives back.
    counted: bool,
}

/// A table of descriptors; several tasks may share one.
#[derive(Debug, Default)]
struct Table {
    users: u32,
    fds: BTreeMap<u32, u64>,
}

/// The state of this file.
#[derive(Default)]
pub struct State {
    tables: Vec<Table>,
    by_task: Map<Tid, usize>,
    open: Map<u64, Open>,
    /// Files whose last reference went inside a system call that still runs.
    pending: Map<Tid, VecDeque<u64>>,
    /// The same, put by others than processes: a worker's.
    delayed: VecDeque<u64>,
    worker: bool,
    next_ino: u64,
}

/// How a new file is to be.
pub struct NewFile<'a> {
    /// Path or other name.
    pub what: &'a str,
    /// Type and mode bits of its inode.
    pub mode: u32,
    /// Device number of the inode.
    pub rdev: u32,
    /// Address of its file_operations, or 0.
    pub f_op: u64,
    /// O_ flags of the open.
    pub flags: u32,
    /// Who serves it.
    pub backing: Backing,
    /// The backing's own number.
    pub data: u64,
    /// An inode that outlives the file, or 0 for one of its own.
    pub inode: u64,
}

/// An inode in guest memory.
pub fn new_inode(cx: &mut Cx, mode: u32, rdev: u32) -> R<u64> {
    let size = cx.off.inode_size;
    let inode = mm::kalloc(cx, size)?;
    cx.files.next_ino += 1;
    let (off, ino) = (cx.off, cx.files.next_ino + 1000);
    cx.w16(inode + off.inode_i_mode, mode as u16)?;
    cx.w32(inode + off.inode_i_rdev, rdev)?;
    cx.w64(inode + off.inode_i_ino, ino)?;
    cx.w32(inode + off.inode_i_nlink, 1)?;
    cx.w32(inode + off.inode_i_count, 1)?;
    crate::util::list_init(cx, inode + off.inode_i_devices)?;
    cx.w64(inode + off.inode_i_mapping, inode + off.inode_i_data)?;
    Ok(inode)
}

/// A file with one reference. Its open method has not run and it is in no table.
pub fn new_file(cx: &mut Cx, new: &NewFile<'_>) -> R<u64> {
    let off = cx.off;
    let inode = match new.inode {
        0 => new_inode(cx, new.mode, new.rdev)?,
        inode => {
            let at = inode + off.inode_i_count;
            let count = cx.r32(at)?;
            cx.w32(at, count.wrapping_add(1))?;
            inode
        }
    };
    let dentry = mm::kalloc(cx, off.dentry_size)?;
    cx.w64(dentry + off.dentry_d_inode, inode)?;
    // struct qstr: hash 0, length 4, name 8. The name follows in d_iname's place: a copy of its own.
    let last = new.what.rsplit('/').next().unwrap_or("");
    let name = mm::kstrdup(cx, last.as_bytes())?;
    cx.w32(dentry + off.dentry_d_name + 4, last.len() as u32)?;
    cx.w64(dentry + off.dentry_d_name + 8, name)?;
    let file = mm::kalloc(cx, off.file_size)?;
    cx.w64(file + off.file_f_inode, inode)?;
    cx.w64(file + off.file_f_mapping, inode + off.inode_i_data)?;
    cx.w64(file + off.file_f_path + 8, dentry)?;
    cx.w64(file + off.file_f_op, new.f_op)?;
    cx.w64(file + off.file_f_count, 1)?;
    sched::identity::sign(cx, file)?;
    cx.w32(file + off.file_f_flags, new.flags)?;
    let mode = match new.flags & 3 {
        0 => FMODE_READ,
        1 => FMODE_WRITE,
        _ => FMODE_READ | FMODE_WRITE,
    };
    cx.w32(
        file + off.file_f_mode,
        mode | FMODE_LSEEK | FMODE_OPENED | (0x60000 & (mode << 17)),
    )?;
    let open = Open {
        what: new.what.to_owned(),
        backing: new.backing,
        data: new.data,
        inode,
        dentry,
        counted: false,
    };
    cx.files.open.insert(file, open);
    Ok(file)
}

/// What is known of an open file.
pub fn info(cx: &Cx, file: u64) -> Option<&Open> {
    cx.files.open.get(&file)
}

/// fops_get for an open: takes the reference that the file's end gives back. False when the owner is going.
pub fn take_fops(cx: &mut Cx, file: u64, f_op: u64) -> R<bool> {
    let owner = cx.r64(f_op + cx.off.fops_owner)?;
    let holder = holder(cx);
    if !refs::try_get(cx, owner, "open file", file, &holder)? {
        return Ok(false);
    }
    cx.w64(file + cx.off.file_f_op, f_op)?;
    if let Some(open) = cx.files.open.get_mut(&file) {
        open.counted = true;
    }
    Ok(true)
}

/// `comm/pid` of the running task.
pub fn holder(cx: &Cx) -> String {
    sched::current(cx).map_or_else(String::new, |tid| {
        let task = &cx.sched.tasks[tid as usize];
        format!("{}/{}", task.comm, task.pid)
    })
}

/// Forgets a file whose open failed; its references have been given back.
pub fn abandon(cx: &mut Cx, file: u64) -> R<()> {
    if let Some(open) = cx.files.open.get(&file)
        && open.counted
    {
        let f_op = cx.r64(file + cx.off.file_f_op)?;
        let owner = cx.r64(f_op + cx.off.fops_owner)?;
        refs::put_key(cx, owner, "open file", file)?;
    }
    free(cx, file)
}

fn free(cx: &mut Cx, file: u64) -> R<()> {
    let Some(open) = cx.files.open.remove(&file) else {
        return Ok(());
    };
    let name = cx.r64(open.dentry + cx.off.dentry_d_name + 8)?;
    mm::kfree(cx, name);
    mm::kfree(cx, open.dentry);
    mm::kfree(cx, file);
    put_inode(cx, open.inode)
}

/// iput: the last reference forgets the inode's cdev (cd_forget) and frees it.
pub(crate) fn put_inode(cx: &mut Cx, inode: u64) -> R<()> {
    let at = inode + cx.off.inode_i_count;
    let count = cx.r32(at)?;
    cx.w32(at, count.wrapping_sub(1))?;
    if count != 1 {
        return Ok(());
    }
    let mode = u32::from(cx.r16(inode + cx.off.inode_i_mode)?);
    if mode & 0o170_000 == S_IFCHR && cx.r64(inode + cx.off.inode_i_cdev)? != 0 {
        crate::util::list_del_init(cx, inode + cx.off.inode_i_devices)?;
    }
    mm::kfree(cx, inode);
    Ok(())
}

/// Whether a file of a superblock is open.
pub(super) fn any_on(cx: &Cx, sb: u64) -> R<bool> {
    for open in cx.files.open.values() {
        if cx.r64(open.inode + cx.off.inode_i_sb)? == sb {
            return Ok(true);
        }
    }
    Ok(false)
}

/// get_file.
pub fn get(cx: &mut Cx, file: u64) -> R<()> {
    let at = file + cx.off.file_f_count;
    let count = cx.r64(at)?;
    Ok(cx.w64(at, count.wrapping_add(1))?)
}

/// fput: the last one releases the file, later.
pub fn put(cx: &mut Cx, file: u64) -> R<()> {
    let at = file + cx.off.file_f_count;
    let count = cx.r64(at)?;
    cx.w64(at, count.wrapping_sub(1))?;
    if count != 1 {
        return Ok(());
    }
    let user = sched::current(cx).filter(|&tid| {
        cx.sched.tasks[tid as usize].kind == TaskKind::User && !cx.sched.tasks[tid as usize].dead
    });
    match user {
        Some(tid) => cx.files.pending.entry(tid).or_default().push_back(file),
        None => {
            cx.files.delayed.push_back(file);
            start_worker(cx)?;
        }
    }
    Ok(())
}

/// delayed_fput: a worker releases what kernel threads and interrupts put.
fn start_worker(cx: &mut Cx) -> R<()> {
    if cx.files.worker {
        return Ok(());
    }
    let body: sched::Body = Box::new(|cx: &mut Cx| {
        cx.files.worker = false;
        while let Some(file) = cx.files.delayed.pop_front() {
            release(cx, file)?;
        }
        Ok(0)
    });
    let made = sched::new_task(
        cx,
        "kworker/0:1",
        TaskKind::Worker,
        0,
        Site::default(),
        body,
    )?;
    if let Some(tid) = made {
        cx.files.worker = true;
        sched::wake(cx, tid)?;
    }
    Ok(())
}

/// The running process goes back to user mode: what it put last is released (task_work_run).
pub fn end_of_call(cx: &mut Cx) -> R<()> {
    let Some(tid) = sched::current(cx) else {
        return Ok(());
    };
    while let Some(file) = cx.files.pending.get_mut(&tid).and_then(VecDeque::pop_front) {
        release(cx, file)?;
    }
    crate::locking::back_to_user(cx, tid);
    Ok(())
}

/// __fput.
fn release(cx: &mut Cx, file: u64) -> R<()> {
    let Some(open) = cx.files.open.get(&file).cloned() else {
        return Ok(());
    };
    let off = cx.off;
    match open.backing {
        Backing::Kernel(ops) => {
            if let Some(release) = ops.release {
                release(cx, file)?;
            }
        }
        Backing::Guest => {
            let f_op = cx.r64(file + off.file_f_op)?;
            let inode = cx.r64(file + off.file_f_inode)?;
            if f_op != 0 {
                let release = cx.r64(f_op + off.fops_release)?;
                if release != 0 {
                    cx.call_guest(release, &[inode, file]);
                }
            }
            let cdev = cx.r64(inode + off.inode_i_cdev)?;
            if u32::from(cx.r16(inode + off.inode_i_mode)?) & 0o170_000 == S_IFCHR && cdev != 0 {
                super::chrdev::put(cx, cdev, file)?;
            }
        }
    }
    if open.counted {
        let f_op = cx.r64(file + off.file_f_op)?;
        let owner = cx.r64(f_op + off.fops_owner)?;
        refs::put_key(cx, owner, "open file", file)?;
    }
    free(cx, file)
}

/// filp_close: flush, then the reference goes. What flush answered.
pub fn close_file(cx: &mut Cx, file: u64) -> R<i64> {
    let mut answer = 0;
    if let Some(Open {
        backing: Backing::Guest,
        ..
    }) = cx.files.open.get(&file)
    {
        let f_op = cx.r64(file + cx.off.file_f_op)?;
        let flush = if f_op == 0 {
            0
        } else {
            cx.r64(f_op + cx.off.fops_flush)?
        };
        if flush != 0 {
            answer = i64::from(cx.call_guest(flush, &[file, 0]) as i32);
        }
    }
    put(cx, file)?;
    Ok(answer)
}

fn table_of(cx: &mut Cx, tid: Tid) -> usize {
    if let Some(&index) = cx.files.by_task.get(&tid) {
        return index;
    }
    let index = cx.files.tables.len();
    cx.files.tables.push(Table {
        users: 1,
        fds: BTreeMap::new(),
    });
    cx.files.by_task.insert(tid, index);
    index
}

/// The module that an open file pins, by name.
pub fn pinned(cx: &Cx, file: u64) -> Option<String> {
    let open = cx.files.open.get(&file)?;
    let owner = if open.counted {
        let f_op = cx.r64(file + cx.off.file_f_op).ok()?;
        cx.r64(f_op + cx.off.fops_owner).ok()?
    } else {
        crate::net::pinned(cx, file)
    };
    let module = crate::module::by_struct(cx, owner)?;
    Some(cx.modules.list[module].name.clone())
}

fn tell(cx: &mut Cx, tid: Tid, fd: u32, file: u64, how: &str) {
    let module = pinned(cx, file).unwrap_or_default();
    let what = info(cx, file).map_or_else(String::new, |o| o.what.clone());
    let site = trace::site(cx);
    let event = Event::File {
        file,
        fd,
        tid,
        what,
        module,
        how: how.into(),
        site,
    };
    trace::emit(cx, event);
}

/// Puts a file into a task's table at the lowest free descriptor from 3 on (0 to 2 are its terminal).
pub fn install(cx: &mut Cx, tid: Tid, file: u64) -> u32 {
    let index = table_of(cx, tid);
    let fds = &mut cx.files.tables[index].fds;
    let mut fd = 3;
    while fds.contains_key(&fd) {
        fd += 1;
    }
    fds.insert(fd, file);
    tell(cx, tid, fd, file, "opened");
    fd
}

/// A descriptor without a file yet (get_unused_fd_flags).
pub(crate) fn reserve(cx: &mut Cx, tid: Tid) -> u32 {
    let index = table_of(cx, tid);
    let fds = &mut cx.files.tables[index].fds;
    let mut fd = 3;
    while fds.contains_key(&fd) {
        fd += 1;
    }
    fds.insert(fd, 0);
    fd
}

/// fd_install, or put_unused_fd with file 0.
pub(crate) fn set_fd(cx: &mut Cx, tid: Tid, fd: u32, file: u64) {
    let index = table_of(cx, tid);
    if file == 0 {
        cx.files.tables[index].fds.remove(&fd);
    } else {
        cx.files.tables[index].fds.insert(fd, file);
        tell(cx, tid, fd, file, "opened");
    }
}

/// Most descriptors of a process (RLIMIT_NOFILE, the usual soft limit).
const MAX_FDS: usize = 1024;

/// Whether a task may not have another descriptor; three are its terminal.
pub fn is_full(cx: &Cx, tid: Tid) -> bool {
    let table = cx.files.by_task.get(&tid);
    table.is_some_and(|&index| cx.files.tables[index].fds.len() + 3 >= MAX_FDS)
}

/// The file of a descriptor.
pub fn lookup(cx: &Cx, tid: Tid, fd: u32) -> Option<u64> {
    let index = *cx.files.by_task.get(&tid)?;
    cx.files.tables[index]
        .fds
        .get(&fd)
        .copied()
        .filter(|&file| file != 0)
}

/// close(2) by the running task, without the end of the system call. 0 or a negative errno.
pub fn close(cx: &mut Cx, tid: Tid, fd: u32) -> R<i64> {
    let Some(file) = lookup(cx, tid, fd) else {
        return Ok(i64::from(-EBADF));
    };
    tell(cx, tid, fd, file, "closed");
    let index = table_of(cx, tid);
    cx.files.tables[index].fds.remove(&fd);
    close_file(cx, file)
}

/// dup(2): the new descriptor, or a negative errno.
pub fn dup(cx: &mut Cx, tid: Tid, fd: u32) -> R<i64> {
    let Some(file) = lookup(cx, tid, fd) else {
        return Ok(i64::from(-EBADF));
    };
    if is_full(cx, tid) {
        return Ok(i64::from(-EMFILE));
    }
    get(cx, file)?;
    Ok(i64::from(install(cx, tid, file)))
}

/// fork without CLONE_FILES: the child gets a copy, each file one more reference.
pub fn copy_table(cx: &mut Cx, from: Tid, to: Tid) -> R<()> {
    let Some(&index) = cx.files.by_task.get(&from) else {
        return Ok(());
    };
    let fds: Vec<(u32, u64)> = cx.files.tables[index]
        .fds
        .iter()
        .map(|(&fd, &file)| (fd, file))
        .filter(|&(_, file)| file != 0)
        .collect();
    let copy = table_of(cx, to);
    for (fd, file) in fds {
        get(cx, file)?;
        cx.files.tables[copy].fds.insert(fd, file);
        tell(cx, to, fd, file, "inherited");
    }
    Ok(())
}

/// CLONE_FILES: both tasks use one table.
pub fn share_table(cx: &mut Cx, from: Tid, to: Tid) {
    let index = table_of(cx, from);
    cx.files.tables[index].users += 1;
    cx.files.by_task.insert(to, index);
    let held: Vec<(u32, u64)> = list(cx, to).into_iter().map(|(fd, f, _)| (fd, f)).collect();
    for (fd, file) in held {
        tell(cx, to, fd, file, "inherited");
    }
}

/// A task's open descriptors: number, file address, what it is.
pub fn list(cx: &Cx, tid: Tid) -> Vec<(u32, u64, String)> {
    let Some(&index) = cx.files.by_task.get(&tid) else {
        return Vec::new();
    };
    cx.files.tables[index]
        .fds
        .iter()
        .filter(|&(_, &file)| file != 0)
        .map(|(&fd, &file)| {
            let what = info(cx, file).map_or_else(String::new, |o| o.what.clone());
            (fd, file, what)
        })
        .collect()
}

/// Whether other tasks share the table of `tid` (CLONE_FILES).
pub(super) fn shared(cx: &Cx, tid: Tid) -> bool {
    let table = cx.files.by_task.get(&tid).map(|&at| &cx.files.tables[at]);
    table.is_some_and(|t| t.users > 1)
}

/// Leaves the table: whoever leaves last closes its files (exit_files; daemonize does it as well).
pub fn exit_files(cx: &mut Cx, tid: Tid) -> R<()> {
    let Some(index) = cx.files.by_task.remove(&tid) else {
        return Ok(());
    };
    let table = &mut cx.files.tables[index];
    table.users = table.users.saturating_sub(1);
    if table.users > 0 {
        tell_left(cx, tid, index);
        return Ok(());
    }
    for (fd, file) in std::mem::take(&mut table.fds) {
        if file != 0 {
            tell(cx, tid, fd, file, "closed");
            close_file(cx, file)?;
        }
    }
    Ok(())
}

/// A process has left its table and did not close its files: those that pin a module stay open in the kernel threads
/// that share it (CLONE_FILES), if nobody else does.
fn tell_left(cx: &mut Cx, tid: Tid, index: usize) {
    let kind = |tid: Tid| cx.sched.tasks[tid as usize].kind;
    let sharers = cx.files.by_task.iter().filter(|&(_, &at)| at == index);
    let threads_only = sharers.fold(true, |all, (&other, _)| {
        all && kind(other) == TaskKind::Kthread
    });
    if kind(tid) != TaskKind::User || !threads_only {
        return;
    }
    let fds: Vec<(u32, u64)> = cx.files.tables[index]
        .fds
        .iter()
        .map(|(&fd, &file)| (fd, file))
        .filter(|&(_, file)| file != 0 && pinned(cx, file).is_some())
        .collect();
    for (fd, file) in fds {
        tell(cx, tid, fd, file, "left");
        let what = info(cx, file).map_or_else(String::new, |o| o.what.clone());
        let module = pinned(cx, file).unwrap_or_default();
        let task = &cx.sched.tasks[tid as usize];
        let text = format!(
            "{}/{} ends and closes nothing: {what} stays open in the kernel thread that shares its files, and pins {module}",
            task.comm, task.pid
        );
        let kind = "note".into();
        trace::emit(cx, Event::Output { kind, text });
    }
}
