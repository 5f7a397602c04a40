//! Page faults of user mappings (mm/memory.c), and what a process reads and writes there. A fault asks the driver's
//! `fault`, `page_mkwrite` and `pfn_mkwrite` with a vm_fault in guest memory, and does with their answers what the
//! kernel does; an access that cannot be made is SIGBUS or SIGSEGV.

use super::mmap::{self, VM_READ, VM_SHARED, VM_WRITE};
use super::page_table::{self, Frame, Pte};
use super::{guard, pages};
use crate::Cx;
use crate::abi::{Call, R, Stop, errno::EINTR, neg};
use crate::sched::wait::{self, Woken};
use crate::sched::{INTERRUPTIBLE, UNINTERRUPTIBLE, WAKEKILL};
use crate::table::{Row, behaves};
use lkm_machine::map::{GUEST_END, GUEST_START, PAGE};

pub(crate) const ROWS: &[Row] = &[
    behaves("__folio_lock", folio_lock).sleeps(),
    behaves("__folio_lock_killable", folio_lock_killable).sleeps(),
    behaves("folio_unlock", folio_unlock),
    behaves("unlock_page", folio_unlock),
];

/// SIGBUS.
const SIGBUS: u32 = 7;
/// SIGSEGV.
const SIGSEGV: u32 = 11;

/// VM_FAULT_OOM.
const OOM: u32 = 0x1;
/// VM_FAULT_SIGBUS, VM_FAULT_HWPOISON and VM_FAULT_HWPOISON_LARGE.
const BUS: u32 = 0x2 | 0x10 | 0x20;
/// VM_FAULT_SIGSEGV.
const SEGV: u32 = 0x40;
/// VM_FAULT_NOPAGE.
const NOPAGE: u32 = 0x100;
/// VM_FAULT_LOCKED.
const LOCKED: u32 = 0x200;
/// VM_FAULT_RETRY.
const RETRY: u32 = 0x400;
/// VM_FAULT_DONE_COW.
const DONE_COW: u32 = 0x1000;
/// VM_FAULT_ERROR, VM_FAULT_FALLBACK among it.
const ERROR: u32 = OOM | BUS | SEGV | 0x800;

/// FAULT_FLAG_WRITE.
const FLAG_WRITE: u32 = 1;
/// FAULT_FLAG_MKWRITE.
const FLAG_MKWRITE: u32 = 2;
/// FAULT_FLAG_TRIED.
const FLAG_TRIED: u32 = 0x20;
/// FAULT_FLAG_DEFAULT and FAULT_FLAG_USER.
const FLAG_USER: u32 = 0x4 | 0x10 | 0x200 | 0x40;
/// GFP_HIGHUSER_MOVABLE with __GFP_IO and __GFP_FS: what a fault of an ordinary file mapping has.
const FAULT_GFP: u32 = 0x110_0cca | 0xc0;

/// How often an access is tried again when its faults change nothing.
const TRIES: u32 = 64;
/// PG_locked.
const PG_LOCKED: u64 = 1;
/// What freed memory reads as.
const POISON: u8 = 0x6b;

/// Whether the running process has a file mapped at that address.
pub(crate) fn is_mapping(cx: &Cx, addr: u64) -> bool {
    !cx.mmaps.areas.is_empty() && page_table::covering(cx, mmap::me(cx), addr).is_some()
}

/// Reads up to `len` bytes of the running process: those before the first that it cannot have, and the signal it gets
/// for that one (0 for none).
pub fn load(cx: &mut Cx, addr: u64, len: u64) -> R<(Vec<u8>, u32)> {
    let mut out = Vec::new();
    while (out.len() as u64) < len {
        let at = addr.saturating_add(out.len() as u64);
        let page = match touch(cx, at, false)? {
            Ok(page) => page,
            Err(signal) => return Ok((out, signal)),
        };
        let some = (PAGE - at % PAGE).min(len - out.len() as u64);
        out.extend(contents(cx, page + at % PAGE, some));
    }
    Ok((out, 0))
}

/// Writes bytes of the running process; how many, and the signal it gets for the next (0 for none).
pub fn store(cx: &mut Cx, addr: u64, bytes: &[u8]) -> R<(usize, u32)> {
    let mut done = 0;
    while done < bytes.len() {
        let at = addr.saturating_add(done as u64);
        let page = match touch(cx, at, true)? {
            Ok(page) => page,
            Err(signal) => return Ok((done, signal)),
        };
        let some = ((PAGE - at % PAGE) as usize).min(bytes.len() - done);
        // Nobody is at home at an address without memory.
        let _ = cx.write(page + at % PAGE, &bytes[done..done + some]);
        done += some;
    }
    Ok((done, 0))
}

/// What a page shows: freed memory its poison, a bus address without a device all ones.
fn contents(cx: &Cx, at: u64, len: u64) -> Vec<u8> {
    cx.bytes(at, len).unwrap_or_else(|_| {
        let memory = guard::block_of(cx, at).is_some();
        vec![if memory { POISON } else { 0xff }; len as usize]
    })
}

/// The memory that an address of the running process shows, after as many faults as that takes; or a signal.
fn touch(cx: &mut Cx, addr: u64, write: bool) -> R<Result<u64, u32>> {
    let tid = mmap::me(cx);
    let mut tried = 0;
    for _ in 0..TRIES {
        let Some((vma, _)) = page_table::covering(cx, tid, addr) else {
            return Ok(Err(SIGSEGV));
        };
        let flags = cx.r64(vma + cx.off.vma_vm_flags)?;
        if write && flags & VM_WRITE == 0 || flags & (VM_READ | VM_WRITE) == 0 {
            return Ok(Err(SIGSEGV));
        }
        if let Some(pte) = page_table::pte(cx, vma, addr)
            && (pte.write || !write)
        {
            return Ok(Ok(match pte.frame {
                Frame::Page(page) => pages::address_of(page).unwrap_or(0),
                Frame::Pfn(pfn) => pfn.saturating_mul(PAGE),
                Frame::Own(at) => at,
            }));
        }
        let answer = mmap::read_locked(cx, tid, |cx| handle(cx, vma, addr, write, tried))?;
        if answer & SEGV != 0 {
            return Ok(Err(SIGSEGV));
        }
        if answer & BUS != 0 {
            return Ok(Err(SIGBUS));
        }
        if answer & RETRY != 0 {
            tried = FLAG_TRIED;
        }
        if answer & OOM != 0 {
            crate::printk::log(
                cx,
                4,
                "Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF\n",
            );
        }
    }
    // The access is made again for ever, in user mode: only a signal ends that.
    loop {
        if wait::wait_at(cx, addr, INTERRUPTIBLE, None, "exc_page_fault")? == Woken::Signal {
            return Ok(Err(9));
        }
    }
}

/// handle_pte_fault.
fn handle(cx: &mut Cx, vma: u64, addr: u64, write: bool, tried: u32) -> R<u32> {
    let flags = FLAG_USER | tried | if write { FLAG_WRITE } else { 0 };
    let vmf = new_fault(cx, vma, addr, flags)?;
    let answer = match page_table::pte(cx, vma, addr) {
        Some(pte) => write_protected(cx, vma, vmf, addr, pte)?,
        None => missing(cx, vma, vmf, addr, write)?,
    };
    super::kfree(cx, vmf);
    Ok(answer)
}

/// A vm_fault, as the fault handler of the architecture makes it.
fn new_fault(cx: &mut Cx, vma: u64, addr: u64, flags: u32) -> R {
    let off = cx.off;
    let vmf = super::kalloc(cx, VMF_ROOM)?;
    let start = cx.r64(vma + off.vma_vm_start)?;
    let pgoff = cx.r64(vma + off.vma_vm_pgoff)?;
    let page = addr & !(PAGE - 1);
    cx.w64(vmf + off.vmf_vma, vma)?;
    cx.w32(vmf + off.vmf_gfp_mask, FAULT_GFP)?;
    cx.w64(
        vmf + off.vmf_pgoff,
        pgoff.wrapping_add(page.wrapping_sub(start) / PAGE),
    )?;
    cx.w64(vmf + off.vmf_address, page)?;
    cx.w64(vmf + off.vmf_real_address, addr)?;
    cx.w32(vmf + off.vmf_flags, flags)?;
    Ok(vmf)
}

/// Bytes for a vm_fault: more than any kernel's has.
const VMF_ROOM: u64 = 256;

/// do_fault: there is no page yet.
fn missing(cx: &mut Cx, vma: u64, vmf: u64, addr: u64, write: bool) -> R<u32> {
    let off = cx.off;
    let shared = cx.r64(vma + off.vma_vm_flags)? & VM_SHARED != 0;
    if cx.r64(vma + off.vma_vm_ops)? == 0 {
        // vma_is_anonymous: do_anonymous_page has nothing for a shared mapping of a file.
        if shared {
            return Ok(BUS);
        }
        return match page_table::own_page(cx, None)? {
            Some(page) => {
                let frame = Frame::Own(page);
                page_table::set_pte(cx, vma, addr, Pte { frame, write: true });
                Ok(0)
            }
            None => Ok(OOM),
        };
    }
    let fault = page_table::method(cx, vma, off.vm_ops_fault)?;
    if fault == 0 {
        return Ok(BUS);
    }
    let answer = cx.call_guest(fault, &[vmf]) as u32;
    if answer & (ERROR | NOPAGE | RETRY | DONE_COW) != 0 {
        return Ok(answer);
    }
    let page = cx.r64(vmf + off.vmf_page)?;
    // PageHWPoison looks at the flags: no page is an oops.
    if let Err(fault) = cx.r64(page.wrapping_add(off.page_flags)) {
        let address = crate::symbols::address(cx, "__do_fault");
        let slot = cx.slot_at(address);
        crate::traps::kernel_oops(cx, Stop::Fault(fault), slot);
    }
    if answer & LOCKED == 0 {
        lock_page(cx, page, UNINTERRUPTIBLE)?;
    }
    if write && !shared {
        // do_cow_fault: the process gets a copy.
        let from = pages::address_of(page);
        let copy = page_table::own_page(cx, from)?;
        unlock_page(cx, page)?;
        pages::put_page(cx, page)?;
        let Some(copy) = copy else { return Ok(OOM) };
        let frame = Frame::Own(copy);
        page_table::set_pte(cx, vma, addr, Pte { frame, write: true });
        return Ok(0);
    }
    let mkwrite = page_table::method(cx, vma, off.vm_ops_page_mkwrite)?;
    if write && mkwrite != 0 {
        unlock_page(cx, page)?;
        let ready = make_writable(cx, vmf, page, mkwrite)?;
        if ready & LOCKED == 0 {
            pages::put_page(cx, page)?;
            return Ok(ready);
        }
    }
    // finish_fault: somebody may have been faster while the driver slept.
    if page_table::pte(cx, vma, addr).is_some() {
        unlock_page(cx, page)?;
        pages::put_page(cx, page)?;
        return Ok(NOPAGE);
    }
    let prot = cx.r64(vma + off.vma_vm_page_prot)?;
    page_table::count_mapping(cx, page)?;
    let pte = Pte {
        frame: Frame::Page(page),
        write: write || prot & mmap::PAGE_RW != 0,
    };
    page_table::set_pte(cx, vma, addr, pte);
    unlock_page(cx, page)?;
    Ok(0)
}

/// do_page_mkwrite: the driver's word on a page that is to be written; with VM_FAULT_LOCKED the page is locked and may be.
fn make_writable(cx: &mut Cx, vmf: u64, page: u64, method: u64) -> R<u32> {
    let off = cx.off;
    let flags = cx.r32(vmf + off.vmf_flags)?;
    cx.w64(vmf + off.vmf_page, page)?;
    cx.w32(vmf + off.vmf_flags, FLAG_WRITE | FLAG_MKWRITE)?;
    let answer = cx.call_guest(method, &[vmf]) as u32;
    cx.w32(vmf + off.vmf_flags, flags)?;
    if answer & (ERROR | NOPAGE) != 0 {
        return Ok(answer & !LOCKED);
    }
    if answer & LOCKED == 0 {
        lock_page(cx, page, UNINTERRUPTIBLE)?;
        if cx.r64(page + off.page_mapping)? == 0 {
            // Truncated, as far as the kernel can see: try again.
            unlock_page(cx, page)?;
            return Ok(0);
        }
    }
    Ok(answer | LOCKED)
}

/// do_wp_page: the page is there, and may not be written yet.
fn write_protected(cx: &mut Cx, vma: u64, vmf: u64, addr: u64, pte: Pte) -> R<u32> {
    let off = cx.off;
    let open = Pte { write: true, ..pte };
    if cx.r64(vma + off.vma_vm_flags)? & VM_SHARED == 0 {
        // wp_page_copy.
        let from = match pte.frame {
            Frame::Page(page) => pages::address_of(page).unwrap_or(0),
            Frame::Pfn(pfn) => pfn.saturating_mul(PAGE),
            Frame::Own(at) => at,
        };
        let bytes = contents(cx, from, PAGE);
        let Some(copy) = page_table::own_page(cx, None)? else {
            return Ok(OOM);
        };
        cx.write(copy, &bytes)?;
        let frame = Frame::Own(copy);
        page_table::set_pte(cx, vma, addr, Pte { frame, write: true });
        page_table::drop_frame(cx, pte.frame)?;
        return Ok(0);
    }
    match pte.frame {
        Frame::Page(page) => {
            let mkwrite = page_table::method(cx, vma, off.vm_ops_page_mkwrite)?;
            if mkwrite != 0 {
                pages::get_page(cx, page)?;
                let ready = make_writable(cx, vmf, page, mkwrite)?;
                if ready & LOCKED != 0 {
                    unlock_page(cx, page)?;
                }
                pages::put_page(cx, page)?;
                if ready & LOCKED == 0 {
                    return Ok(ready);
                }
            }
        }
        Frame::Pfn(_) => {
            let mkwrite = page_table::method(cx, vma, off.vm_ops_pfn_mkwrite)?;
            if mkwrite != 0 {
                let flags = cx.r32(vmf + off.vmf_flags)?;
                cx.w32(vmf + off.vmf_flags, flags | FLAG_MKWRITE)?;
                let answer = cx.call_guest(mkwrite, &[vmf]) as u32;
                if answer & (ERROR | NOPAGE) != 0 {
                    return Ok(answer);
                }
            }
        }
        Frame::Own(_) => {}
    }
    if page_table::pte(cx, vma, addr).is_some_and(|now| now.frame == pte.frame) {
        page_table::set_pte(cx, vma, addr, open);
    }
    Ok(0)
}

fn lock_page(cx: &mut Cx, page: u64, state: u32) -> R<bool> {
    let page = pages::head(cx, page)?;
    let at = page + cx.off.page_flags;
    while cx.r64(at)? & PG_LOCKED != 0 {
        if wait::wait_at(cx, page, state, None, "folio_wait_bit_common")? == Woken::Signal {
            return Ok(false);
        }
    }
    let flags = cx.r64(at)?;
    cx.w64(at, flags | PG_LOCKED)?;
    Ok(true)
}

fn unlock_page(cx: &mut Cx, page: u64) -> R<()> {
    let page = pages::head(cx, page)?;
    let at = page + cx.off.page_flags;
    let flags = cx.r64(at)?;
    cx.w64(at, flags & !PG_LOCKED)?;
    wait::wake_at(cx, page, 1)?;
    Ok(())
}

fn folio_lock(cx: &mut Cx, c: &Call) -> R {
    lock_page(cx, c.a[0], UNINTERRUPTIBLE)?;
    Ok(0)
}

fn folio_lock_killable(cx: &mut Cx, c: &Call) -> R {
    let locked = lock_page(cx, c.a[0], UNINTERRUPTIBLE | WAKEKILL)?;
    Ok(if locked { 0 } else { neg(EINTR) })
}

fn folio_unlock(cx: &mut Cx, c: &Call) -> R {
    unlock_page(cx, c.a[0])?;
    Ok(0)
}

/// Whether a page frame number has a struct page here (pfn_valid).
pub(crate) fn pfn_valid(pfn: u64) -> bool {
    pfn.checked_mul(PAGE)
        .is_some_and(|at| (GUEST_START..GUEST_END).contains(&at))
}

/// BUG_ON of mm/memory.c.
pub(crate) fn bug() -> Stop {
    Stop::Bug("kernel BUG at mm/memory.c".into())
}
