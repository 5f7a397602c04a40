//! User mappings of files (mm/mmap.c): mmap(2), munmap(2), what fork(2) and the end of a process do with them. The
//! driver's `mmap` gets a vm_area_struct laid out by its own types, and its `vm_ops` are called where the kernel calls
//! them. A mapping holds its file until it is unmapped, descriptor or no descriptor.
//!
//! What its pages show is in [`super::page_table`].

use super::page_table::{Area, Frame, Pte, area_of, count_mapping, method, own_page, zap};
use super::{pages, slab, uaccess};
use crate::Cx;
use crate::abi::{R, errno::*};
use crate::fs::files::{self, Backing, FMODE_READ, FMODE_WRITE};
use crate::sched::{self, Tid};
use lkm_machine::map::PAGE;
use std::collections::BTreeMap;

/// VM_READ.
pub(crate) const VM_READ: u64 = 0x1;
/// VM_WRITE.
pub(crate) const VM_WRITE: u64 = 0x2;
/// VM_SHARED.
pub(crate) const VM_SHARED: u64 = 0x8;
/// VM_MAYREAD and VM_MAYEXEC.
const VM_MAY: u64 = 0x10 | 0x40;
/// VM_MAYWRITE.
pub(crate) const VM_MAYWRITE: u64 = 0x20;
/// VM_MAYSHARE.
const VM_MAYSHARE: u64 = 0x80;
/// VM_PFNMAP: pages without a struct page that counts.
pub(crate) const VM_PFNMAP: u64 = 0x400;
/// VM_DONTCOPY: a fork leaves it out.
const VM_DONTCOPY: u64 = 0x2_0000;
/// VM_MIXEDMAP.
pub(crate) const VM_MIXEDMAP: u64 = 0x1000_0000;
/// PAGE_READONLY of x86: present, user, accessed, no execution.
const PAGE_READONLY: u64 = 0x8000_0000_0000_0025;
/// _PAGE_RW.
pub(crate) const PAGE_RW: u64 = 0x2;
/// Most mappings of one process (sysctl_max_map_count is 65530; the address range is the limit here).
const MAX_AREAS: usize = 4096;
/// GFP_KERNEL, zeroed.
const GFP_ZEROED: u64 = 0xcc0 | 0x100;
/// RWSEM_WRITER_LOCKED and a reader, as mmap_lock's count.
const WRITER: u64 = 1;
const READER: u64 = 0x100;

/// How a mapping is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Bytes.
    pub len: u64,
    /// Offset in the file.
    pub offset: u64,
    /// MAP_PRIVATE.
    pub private: bool,
    /// PROT_WRITE; None: if the file is open for writing.
    pub write: Option<bool>,
}

/// The mm_struct of a process, made when it first maps something.
fn mm_of(cx: &mut Cx, tid: Tid) -> R {
    if let Some(&mm) = cx.mmaps.mms.get(&tid) {
        return Ok(mm);
    }
    let size = cx.off.mm_size;
    let mm = super::kalloc(cx, size)?;
    crate::util::list_init(cx, mm + cx.off.mm_mmap_lock + cx.off.rwsem_wait_list)?;
    cx.mmaps.mms.insert(tid, mm);
    Ok(mm)
}

/// Sets mmap_lock's count of a process: what asserts and trylocks of the driver see.
fn lock(cx: &mut Cx, tid: Tid, count: u64) -> R<()> {
    let mm = mm_of(cx, tid)?;
    let at = mm + cx.off.mm_mmap_lock + cx.off.rwsem_count;
    Ok(cx.w64(at, count)?)
}

/// Whether mmap_lock of the process of a vma is held for writing.
pub(crate) fn write_locked(cx: &Cx, vma: u64) -> R<bool> {
    let mm = cx.r64(vma + cx.off.vma_vm_mm)?;
    let at = mm + cx.off.mm_mmap_lock + cx.off.rwsem_count;
    Ok(cx.r64(at)? & WRITER != 0)
}

/// Runs `call` with mmap_lock held for reading.
pub(crate) fn read_locked<T>(cx: &mut Cx, tid: Tid, call: impl FnOnce(&mut Cx) -> R<T>) -> R<T> {
    lock(cx, tid, READER)?;
    let answer = call(cx);
    lock(cx, tid, 0)?;
    answer
}

/// What is asked of a file's type before its driver is: the vm_flags, or an errno.
fn flags_of(mode: u32, wish: &Wish) -> Result<u64, i32> {
    let writable = mode & FMODE_WRITE != 0;
    let write = wish.write.unwrap_or(wish.private || writable);
    let mut flags = VM_READ | VM_MAY | VM_MAYWRITE;
    if write {
        flags |= VM_WRITE;
    }
    if !wish.private {
        if write && !writable {
            return Err(EACCES);
        }
        flags |= VM_SHARED | VM_MAYSHARE;
        if !writable {
            flags &= !(VM_MAYWRITE | VM_SHARED);
        }
    }
    if mode & FMODE_READ == 0 {
        return Err(EACCES);
    }
    Ok(flags)
}

/// vm_get_page_prot of x86, without execution.
pub(crate) fn page_prot(flags: u64) -> u64 {
    if flags & (VM_READ | VM_WRITE) == 0 {
        // PAGE_NONE: global, accessed.
        return 0x8000_0000_0000_0120;
    }
    if flags & (VM_WRITE | VM_SHARED) == VM_WRITE | VM_SHARED {
        PAGE_READONLY | PAGE_RW
    } else {
        PAGE_READONLY
    }
}

/// mmap(2): the address, or a negative errno.
pub fn mmap(cx: &mut Cx, tid: Tid, fd: u32, wish: &Wish) -> R<i64> {
    match files::lookup(cx, tid, fd) {
        Some(file) => map_file(cx, tid, file, wish),
        None => Ok(i64::from(-EBADF)),
    }
}

/// do_mmap of a file.
pub(crate) fn map_file(cx: &mut Cx, tid: Tid, file: u64, wish: &Wish) -> R<i64> {
    let fail = |errno: i32| Ok(i64::from(-errno));
    if wish.len == 0 || !wish.offset.is_multiple_of(PAGE) {
        return fail(EINVAL);
    }
    let Some(len) = wish.len.checked_next_multiple_of(PAGE) else {
        return fail(ENOMEM);
    };
    let off = cx.off;
    let count = cx.mmaps.areas.iter().filter(|a| a.tid == tid).count();
    if len > 1 << 47 || count >= MAX_AREAS {
        return fail(ENOMEM);
    }
    if (wish.offset / PAGE)
        .checked_add(len / PAGE)
        .is_none_or(|end| end > u64::MAX / PAGE)
    {
        return fail(EOVERFLOW);
    }
    let mode = cx.r32(file + off.file_f_mode)?;
    let flags = match flags_of(mode, wish) {
        Ok(flags) => flags,
        Err(errno) => return fail(errno),
    };
    let f_op = cx.r64(file + off.file_f_op)?;
    let guest = matches!(
        files::info(cx, file).map(|o| o.backing),
        Some(Backing::Guest)
    );
    let method = if guest && f_op != 0 {
        cx.r64(f_op + off.fops_mmap)?
    } else {
        0
    };
    if method == 0 {
        return fail(ENODEV);
    }
    let vma = slab::alloc(cx, off.vma_size, GFP_ZEROED)?;
    let Some(start) = uaccess::reserve(cx, len).filter(|_| vma != 0) else {
        super::kfree(cx, vma);
        return fail(ENOMEM);
    };
    let (mm, no_ops) = (mm_of(cx, tid)?, dummy_ops(cx)?);
    cx.w64(vma + off.vma_vm_mm, mm)?;
    cx.w64(vma + off.vma_vm_start, start)?;
    cx.w64(vma + off.vma_vm_end, start + len)?;
    cx.w64(vma + off.vma_vm_flags, flags)?;
    cx.w64(vma + off.vma_vm_page_prot, page_prot(flags))?;
    cx.w64(vma + off.vma_vm_pgoff, wish.offset / PAGE)?;
    cx.w64(vma + off.vma_vm_file, file)?;
    cx.w64(vma + off.vma_vm_ops, no_ops)?;
    files::get(cx, file)?;
    cx.mmaps.areas.push(Area {
        tid,
        vma,
        start,
        len,
        range: start,
        ptes: BTreeMap::new(),
    });
    lock(cx, tid, WRITER)?;
    let answer = cx.call_guest(method, &[file, vma]) as i32;
    if answer < 0 {
        let file = cx.r64(vma + off.vma_vm_file)?;
        cx.w64(vma + off.vma_vm_file, 0)?;
        files::put(cx, file)?;
        zap(cx, vma, start, len)?;
        if let Some(index) = area_of(cx, vma) {
            let area = cx.mmaps.areas.remove(index);
            forget(cx, &area);
        }
        lock(cx, tid, 0)?;
        return Ok(i64::from(answer));
    }
    if wants_writenotify(cx, vma)? {
        let at = vma + off.vma_vm_page_prot;
        let prot = cx.r64(at)?;
        cx.w64(at, prot & !PAGE_RW)?;
    }
    lock(cx, tid, 0)?;
    Ok(start as i64)
}

/// vma_dummy_vm_ops: a mapping has operations until its driver sets others, all of them NULL.
fn dummy_ops(cx: &mut Cx) -> R {
    if cx.mmaps.no_ops == 0 {
        let size = cx.off.vm_ops_size;
        cx.mmaps.no_ops = super::kernel_object(cx, size)?;
    }
    Ok(cx.mmaps.no_ops)
}

/// Whether the first write to a page is to be told to the driver (vma_wants_writenotify).
fn wants_writenotify(cx: &Cx, vma: u64) -> R<bool> {
    let flags = cx.r64(vma + cx.off.vma_vm_flags)?;
    if flags & (VM_WRITE | VM_SHARED) != VM_WRITE | VM_SHARED {
        return Ok(false);
    }
    Ok(method(cx, vma, cx.off.vm_ops_page_mkwrite)? != 0
        || method(cx, vma, cx.off.vm_ops_pfn_mkwrite)? != 0)
}

/// The structure and the address range of a mapping go.
fn forget(cx: &mut Cx, area: &Area) {
    uaccess::give_back(cx, area.range);
    super::kfree(cx, area.vma);
}

/// remove_vma, after its pages have gone: close, the file, the structure. It is out of the list before the driver is
/// called, so that a process that dies in there does not close it again.
fn remove(cx: &mut Cx, vma: u64) -> R<()> {
    let Some(index) = area_of(cx, vma) else {
        return Ok(());
    };
    let area = cx.mmaps.areas.remove(index);
    let close = method(cx, vma, cx.off.vm_ops_close)?;
    if close != 0 {
        cx.call_guest(close, &[vma]);
    }
    let file = cx.r64(vma + cx.off.vma_vm_file)?;
    forget(cx, &area);
    if file != 0 {
        files::put(cx, file)?;
    }
    Ok(())
}

/// __split_vma: a mapping becomes two at an address inside of it; the new structure is the lower part's with `below`.
/// 0, or a negative errno.
fn split(cx: &mut Cx, vma: u64, addr: u64, below: bool) -> R<i32> {
    let off = cx.off;
    let may = method(cx, vma, off.vm_ops_may_split)?;
    if may != 0 {
        let answer = cx.call_guest(may, &[vma, addr]) as i32;
        if answer != 0 {
            return Ok(answer);
        }
    }
    let new = slab::alloc(cx, off.vma_size, GFP_ZEROED)?;
    let Some(index) = area_of(cx, vma).filter(|_| new != 0) else {
        return Ok(-ENOMEM);
    };
    cx.copy(new, vma, off.vma_size)?;
    let pgoff = cx.r64(vma + off.vma_vm_pgoff)?;
    let area = &mut cx.mmaps.areas[index];
    let pages = (addr - area.start) / PAGE;
    let upper = area.ptes.split_off(&pages);
    let upper = upper.into_iter().map(|(at, pte)| (at - pages, pte));
    let other = Area {
        tid: area.tid,
        vma: if below { vma } else { new },
        start: addr,
        len: area.start + area.len - addr,
        range: area.range,
        ptes: upper.collect(),
    };
    area.len = addr - area.start;
    if below {
        area.vma = new;
    }
    let (lower, high, range) = (area.vma, other.vma, area.range);
    cx.mmaps.areas.push(other);
    uaccess::share(cx, range);
    cx.w64(lower + off.vma_vm_end, addr)?;
    cx.w64(high + off.vma_vm_start, addr)?;
    cx.w64(high + off.vma_vm_pgoff, pgoff.wrapping_add(pages))?;
    let file = cx.r64(new + off.vma_vm_file)?;
    if file != 0 {
        files::get(cx, file)?;
    }
    let open = method(cx, new, off.vm_ops_open)?;
    if open != 0 {
        cx.call_guest(open, &[new]);
    }
    Ok(0)
}

/// munmap(2): 0, or a negative errno. What is not mapped is passed over, as a kernel does.
pub fn munmap(cx: &mut Cx, tid: Tid, start: u64, len: u64) -> R<i64> {
    let answer = unmap_in_call(cx, tid, start, len)?;
    files::end_of_call(cx)?;
    Ok(answer)
}

/// The same within a system call.
pub(crate) fn unmap_in_call(cx: &mut Cx, tid: Tid, start: u64, len: u64) -> R<i64> {
    let end = start.saturating_add(len).checked_next_multiple_of(PAGE);
    let Some(end) = end.filter(|_| len != 0 && start.is_multiple_of(PAGE)) else {
        return Ok(i64::from(-EINVAL));
    };
    lock(cx, tid, WRITER)?;
    let answer = unmap(cx, tid, start, end)?;
    lock(cx, tid, 0)?;
    Ok(answer.into())
}

fn unmap(cx: &mut Cx, tid: Tid, start: u64, end: u64) -> R<i32> {
    let within = |a: &&Area| a.tid == tid && a.start < end && a.start + a.len > start;
    for (at, below) in [(start, false), (end, true)] {
        let cut = |a: &&Area| within(a) && a.start < at && a.start + a.len > at;
        let found = cx.mmaps.areas.iter().find(cut).map(|a| a.vma);
        if let Some(vma) = found {
            let answer = split(cx, vma, at, below)?;
            if answer != 0 {
                return Ok(answer);
            }
        }
    }
    let gone: Vec<u64> = cx
        .mmaps
        .areas
        .iter()
        .filter(within)
        .map(|a| a.vma)
        .collect();
    for &vma in &gone {
        zap(cx, vma, 0, u64::MAX)?;
    }
    for vma in gone {
        remove(cx, vma)?;
    }
    Ok(0)
}

/// Bytes of the mapping of a task that begins at an address.
pub fn length(cx: &Cx, tid: Tid, start: u64) -> Option<u64> {
    let found = cx
        .mmaps
        .areas
        .iter()
        .find(|a| a.tid == tid && a.start == start);
    found.map(|a| a.len)
}

/// dup_mmap: the child of a fork gets the mappings of its parent at the same addresses. 0, or a negative errno.
pub fn fork(cx: &mut Cx, from: Tid, to: Tid) -> R<i64> {
    let all: Vec<u64> = cx
        .mmaps
        .areas
        .iter()
        .filter(|a| a.tid == from)
        .map(|a| a.vma)
        .collect();
    let off = cx.off;
    let mm = mm_of(cx, to)?;
    for vma in all {
        let flags = cx.r64(vma + off.vma_vm_flags)?;
        let Some(index) = area_of(cx, vma).filter(|_| flags & VM_DONTCOPY == 0) else {
            continue;
        };
        let area = &cx.mmaps.areas[index];
        let (start, len, range) = (area.start, area.len, area.range);
        let new = slab::alloc(cx, off.vma_size, GFP_ZEROED)?;
        if new == 0 {
            return Ok(i64::from(-ENOMEM));
        }
        cx.copy(new, vma, off.vma_size)?;
        cx.w64(new + off.vma_vm_mm, mm)?;
        let file = cx.r64(new + off.vma_vm_file)?;
        if file != 0 {
            files::get(cx, file)?;
        }
        uaccess::share(cx, range);
        // Pages of the file are found again by a fault; others only here.
        let kept = flags & (VM_PFNMAP | VM_MIXEDMAP) != 0;
        let mut ptes = BTreeMap::new();
        for (page, pte) in cx.mmaps.areas[index].ptes.clone() {
            let frame = match pte.frame {
                Frame::Own(at) => match own_page(cx, Some(at))? {
                    Some(copy) => Frame::Own(copy),
                    None => return Ok(i64::from(-ENOMEM)),
                },
                _ if !kept => continue,
                Frame::Page(at) => {
                    pages::get_page(cx, at)?;
                    count_mapping(cx, at)?;
                    Frame::Page(at)
                }
                pfn => pfn,
            };
            ptes.insert(page, Pte { frame, ..pte });
        }
        cx.mmaps.areas.push(Area {
            tid: to,
            vma: new,
            start,
            len,
            range,
            ptes,
        });
        let open = method(cx, new, off.vm_ops_open)?;
        if open != 0 {
            lock(cx, to, WRITER)?;
            cx.call_guest(open, &[new]);
            lock(cx, to, 0)?;
        }
    }
    Ok(0)
}

/// Tasks that have a mapping of a file.
pub fn mappers(cx: &Cx, file: u64) -> Vec<Tid> {
    let of = cx.mmaps.areas.iter().filter(|a| {
        cx.r64(a.vma + cx.off.vma_vm_file)
            .is_ok_and(|held| held == file)
    });
    of.map(|a| a.tid).collect()
}

/// exit_mm: the mappings of a task that ends go before its files do; the pages of all first.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) -> R<()> {
    let all: Vec<u64> = cx
        .mmaps
        .areas
        .iter()
        .filter(|a| a.tid == tid)
        .map(|a| a.vma)
        .collect();
    for &vma in &all {
        zap(cx, vma, 0, u64::MAX)?;
    }
    for vma in all {
        remove(cx, vma)?;
    }
    if let Some(mm) = cx.mmaps.mms.remove(&tid) {
        super::kfree(cx, mm);
    }
    Ok(())
}

/// The running task, as the owner of mappings.
pub(crate) fn me(cx: &Cx) -> Tid {
    sched::current_tid(cx)
}
