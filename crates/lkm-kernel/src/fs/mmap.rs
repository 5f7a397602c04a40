//! mmap(2) and munmap(2) of an open file (mm/mmap.c as far as it goes): the driver's `mmap` gets a vm_area_struct, and
//! the mapping holds its file until it is unmapped or its task ends, descriptor or no descriptor. The pages behind
//! it are plain memory of the process: `vm_ops->fault` is not asked for any.

use super::files::{self, Backing, FMODE_READ, FMODE_WRITE};
use crate::Cx;
use crate::abi::{R, errno::*};
use crate::mm::{self, slab, uaccess};
use crate::sched::Tid;
use lkm_machine::map::PAGE;

/// VM_READ, VM_WRITE, VM_SHARED and the permissions to have them, as mmap of a shared mapping sets them.
const VM_SHARED_RW: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80;
const VM_WRITES: u64 = 0x2 | 0x20;
/// Most bytes of a mapping.
const MAX_MAP: u64 = 64 << 20;
/// GFP_KERNEL, zeroed.
const GFP_ZEROED: u64 = 0xcc0 | 0x100;

struct Mapping {
    tid: Tid,
    vma: u64,
    start: u64,
    len: u64,
    file: u64,
}

/// The mappings of all tasks.
#[derive(Default)]
pub struct State {
    all: Vec<Mapping>,
}

/// mmap(2), shared and readable (writable if the file is): the address, or a negative errno.
pub fn mmap(cx: &mut Cx, tid: Tid, fd: u32, len: u64, offset: u64) -> R<i64> {
    let fail = |errno: i32| Ok(i64::from(-errno));
    let Some(file) = files::lookup(cx, tid, fd) else {
        return fail(EBADF);
    };
    if len == 0 || !offset.is_multiple_of(PAGE) {
        return fail(EINVAL);
    }
    if len > MAX_MAP {
        return fail(ENOMEM);
    }
    let off = cx.off;
    let mode = cx.r32(file + off.file_f_mode)?;
    if mode & FMODE_READ == 0 {
        return fail(EACCES);
    }
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
    let len = len.next_multiple_of(PAGE);
    let vma = slab::alloc(cx, off.vma_size, GFP_ZEROED)?;
    let Some(start) = uaccess::map_pages(cx, len).filter(|_| vma != 0) else {
        mm::kfree(cx, vma);
        return fail(ENOMEM);
    };
    let flags = if mode & FMODE_WRITE == 0 {
        VM_SHARED_RW & !VM_WRITES
    } else {
        VM_SHARED_RW
    };
    cx.w64(vma + off.vma_vm_start, start)?;
    cx.w64(vma + off.vma_vm_end, start + len)?;
    cx.w64(vma + off.vma_vm_flags, flags)?;
    cx.w64(vma + off.vma_vm_pgoff, offset / PAGE)?;
    cx.w64(vma + off.vma_vm_file, file)?;
    files::get(cx, file)?;
    let answer = cx.call_guest(method, &[file, vma]) as i32;
    if answer < 0 {
        uaccess::unmap_pages(cx, start, len);
        mm::kfree(cx, vma);
        files::put(cx, file)?;
        return Ok(i64::from(answer));
    }
    cx.mmaps.all.push(Mapping {
        tid,
        vma,
        start,
        len,
        file,
    });
    Ok(start as i64)
}

fn undo(cx: &mut Cx, mapping: &Mapping) -> R<()> {
    let vm_ops = cx.r64(mapping.vma + cx.off.vma_vm_ops)?;
    if vm_ops != 0 {
        let close = cx.r64(vm_ops + cx.off.vm_ops_close)?;
        if close != 0 {
            cx.call_guest(close, &[mapping.vma]);
        }
    }
    uaccess::unmap_pages(cx, mapping.start, mapping.len);
    mm::kfree(cx, mapping.vma);
    files::put(cx, mapping.file)
}

/// munmap(2) of the mapping at an address.
pub fn munmap(cx: &mut Cx, tid: Tid, start: u64) -> R<i64> {
    let at = cx
        .mmaps
        .all
        .iter()
        .rposition(|m| m.tid == tid && m.start == start);
    let Some(at) = at else {
        return Ok(i64::from(-EINVAL));
    };
    let mapping = cx.mmaps.all.remove(at);
    undo(cx, &mapping)?;
    files::end_of_call(cx)?;
    Ok(0)
}

/// Tasks that have a mapping of a file.
pub fn mappers(cx: &Cx, file: u64) -> Vec<Tid> {
    let of = cx.mmaps.all.iter().filter(|m| m.file == file);
    of.map(|m| m.tid).collect()
}

/// exit_mm: the mappings of a task that ends go before its files do.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) -> R<()> {
    while let Some(at) = cx.mmaps.all.iter().position(|m| m.tid == tid) {
        let mapping = cx.mmaps.all.remove(at);
        undo(cx, &mapping)?;
    }
    Ok(())
}
