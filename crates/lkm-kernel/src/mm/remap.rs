//! What a driver puts into a user mapping (mm/memory.c, mm/vmalloc.c): pages and page frames, all at once from its
//! `mmap` or one by one from its `fault`. The checks are the kernel's, in its order.

use super::memory::{bug, pfn_valid};
use super::mmap::{self, VM_MAYWRITE, VM_MIXEDMAP, VM_PFNMAP, VM_SHARED};
use super::page_table::{self, Frame, Pte};
use super::pages;
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, traps};
use lkm_machine::map::PAGE;

pub(crate) const ROWS: &[Row] = &[
    behaves("remap_pfn_range", remap_pfn_range)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vm_iomap_memory", vm_iomap_memory)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vm_insert_page", vm_insert_page)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vm_insert_pages", vm_insert_pages)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vm_map_pages", vm_map_pages)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vm_map_pages_zero", vm_map_pages_zero)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("remap_vmalloc_range", remap_vmalloc_range)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("remap_vmalloc_range_partial", remap_vmalloc_range_partial)
        .fails(Fails::Errno(ENOMEM))
        .sleeps(),
    behaves("vmf_insert_pfn", vmf_insert_pfn).sleeps(),
    behaves("vmf_insert_pfn_prot", vmf_insert_pfn_prot).sleeps(),
    behaves("vmf_insert_mixed", vmf_insert_mixed).sleeps(),
    behaves("zap_vma_ptes", zap_vma_ptes).sleeps(),
    behaves("unmap_mapping_range", unmap_mapping_range).sleeps(),
    behaves("vm_get_page_prot", vm_get_page_prot),
    behaves("pgprot_writecombine", pgprot_writecombine),
    behaves("pgprot_writethrough", pgprot_writethrough),
];

/// VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP: what remap_pfn_range makes of a mapping.
const VM_REMAPPED: u64 = 0x4000 | VM_PFNMAP | VM_DONT;
/// VM_DONTEXPAND | VM_DONTDUMP.
const VM_DONT: u64 = 0x4_0000 | 0x400_0000;
/// VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_FAULT_NOPAGE.
const SIGBUS: u64 = 2;
const NOPAGE: u64 = 0x100;

/// A mapping's limits and flags.
struct Vma {
    at: u64,
    start: u64,
    end: u64,
    flags: u64,
    pgoff: u64,
}

impl Vma {
    fn read(cx: &Cx, at: u64) -> R<Vma> {
        let off = cx.off;
        Ok(Vma {
            at,
            start: cx.r64(at.wrapping_add(off.vma_vm_start))?,
            end: cx.r64(at.wrapping_add(off.vma_vm_end))?,
            flags: cx.r64(at.wrapping_add(off.vma_vm_flags))?,
            pgoff: cx.r64(at.wrapping_add(off.vma_vm_pgoff))?,
        })
    }

    fn add_flags(&mut self, cx: &mut Cx, more: u64) -> R<()> {
        self.flags |= more;
        Ok(cx.w64(self.at + cx.off.vma_vm_flags, self.flags)?)
    }

    fn holds(&self, addr: u64) -> bool {
        addr >= self.start && addr < self.end
    }

    /// is_cow_mapping.
    fn cow(&self) -> bool {
        self.flags & (VM_SHARED | VM_MAYWRITE) == VM_MAYWRITE
    }

    fn pages(&self) -> u64 {
        self.end.saturating_sub(self.start) / PAGE
    }
}

fn writable(prot: u64) -> bool {
    prot & mmap::PAGE_RW != 0
}

fn remap_pfn_range(cx: &mut Cx, c: &Call) -> R {
    let [vma, addr, pfn, size, prot, _] = c.a;
    remap(cx, vma, addr, pfn, size, prot)
}

fn remap(cx: &mut Cx, vma: u64, addr: u64, pfn: u64, size: u64, prot: u64) -> R {
    let mut vma = Vma::read(cx, vma)?;
    let end = addr.wrapping_add(size.wrapping_add(PAGE - 1) & !(PAGE - 1));
    if !addr.is_multiple_of(PAGE) {
        traps::warn(cx, "", "remap_pfn_range")?;
        return Ok(neg(EINVAL));
    }
    if vma.cow() {
        if addr != vma.start || end != vma.end {
            return Ok(neg(EINVAL));
        }
        cx.w64(vma.at + cx.off.vma_vm_pgoff, pfn)?;
    }
    vma.add_flags(cx, VM_REMAPPED)?;
    if addr >= end {
        return Err(bug());
    }
    for index in 0..(end - addr) / PAGE {
        let at = addr + index * PAGE;
        if !vma.holds(at) {
            // The page tables of a neighbour or of nobody: nothing a process can see.
            break;
        }
        if page_table::pte(cx, vma.at, at).is_some() {
            return Err(bug());
        }
        let pte = Pte {
            frame: Frame::Pfn(pfn.wrapping_add(index)),
            write: writable(prot),
        };
        page_table::set_pte(cx, vma.at, at, pte);
    }
    Ok(0)
}

fn vm_iomap_memory(cx: &mut Cx, c: &Call) -> R {
    let [at, start, len, ..] = c.a;
    let vma = Vma::read(cx, at)?;
    if start.checked_add(len).is_none() {
        return Ok(neg(EINVAL));
    }
    let len = len.saturating_add(start % PAGE);
    let (pfn, pages) = (start / PAGE, len.saturating_add(PAGE - 1) / PAGE);
    if vma.pgoff > pages || vma.pages() > pages - vma.pgoff {
        return Ok(neg(EINVAL));
    }
    let prot = cx.r64(at + cx.off.vma_vm_page_prot)?;
    remap(
        cx,
        at,
        vma.start,
        pfn + vma.pgoff,
        vma.end - vma.start,
        prot,
    )
}

/// What vm_insert_page does to a mapping's flags before its first page.
fn allow_pages(cx: &mut Cx, vma: &mut Vma) -> R<()> {
    if vma.flags & VM_MIXEDMAP != 0 {
        return Ok(());
    }
    if !mmap::write_locked(cx, vma.at)? || vma.flags & VM_PFNMAP != 0 {
        return Err(bug());
    }
    vma.add_flags(cx, VM_MIXEDMAP)
}

/// insert_page: 0 or a negative errno.
fn insert(cx: &mut Cx, vma: &Vma, addr: u64, page: u64) -> R<i32> {
    if pages::address_of(page).is_none() {
        return Ok(-EINVAL);
    }
    if page_table::pte(cx, vma.at, addr).is_some() {
        return Ok(-EBUSY);
    }
    pages::get_page(cx, page)?;
    page_table::count_mapping(cx, page)?;
    let prot = cx.r64(vma.at + cx.off.vma_vm_page_prot)?;
    let pte = Pte {
        frame: Frame::Page(page),
        write: writable(prot),
    };
    page_table::set_pte(cx, vma.at, addr, pte);
    Ok(0)
}

fn page_count(cx: &Cx, page: u64) -> R<u32> {
    let head = pages::head(cx, page)?;
    Ok(cx.r32(head.wrapping_add(cx.off.page_refcount))?)
}

fn insert_one(cx: &mut Cx, vma: &mut Vma, addr: u64, page: u64) -> R<i32> {
    if !vma.holds(addr) {
        return Ok(-EFAULT);
    }
    if page_count(cx, page)? == 0 {
        return Ok(-EINVAL);
    }
    allow_pages(cx, vma)?;
    insert(cx, vma, addr & !(PAGE - 1), page)
}

fn errno(value: i32) -> u64 {
    i64::from(value) as u64
}

fn vm_insert_page(cx: &mut Cx, c: &Call) -> R {
    let mut vma = Vma::read(cx, c.a[0])?;
    Ok(errno(insert_one(cx, &mut vma, c.a[1], c.a[2])?))
}

/// vm_insert_pages(vma, addr, pages, num): what could not be inserted stays counted in num.
fn vm_insert_pages(cx: &mut Cx, c: &Call) -> R {
    let [at, addr, array, num, ..] = c.a;
    let mut vma = Vma::read(cx, at)?;
    let count = cx.r64(num)?;
    let last = count
        .checked_mul(PAGE)
        .and_then(|n| addr.checked_add(n - 1));
    if addr < vma.start || last.is_none_or(|last| last >= vma.end) {
        return Ok(neg(EFAULT));
    }
    allow_pages(cx, &mut vma)?;
    for index in 0..count {
        let page = cx.r64(array + 8 * index)?;
        let at = addr + index * PAGE;
        let done = if page_count(cx, page)? == 0 {
            -EINVAL
        } else {
            insert(cx, &vma, at & !(PAGE - 1), page)?
        };
        if done != 0 {
            cx.w64(num, count - index)?;
            return Ok(errno(done));
        }
    }
    cx.w64(num, 0)?;
    Ok(0)
}

fn map_pages(cx: &mut Cx, c: &Call, offset: Option<u64>) -> R {
    let [at, array, num, ..] = c.a;
    let mut vma = Vma::read(cx, at)?;
    let (count, offset) = (vma.pages(), offset.unwrap_or(vma.pgoff));
    if offset >= num || count > num - offset {
        return Ok(neg(ENXIO));
    }
    for index in 0..count {
        let page = cx.r64(array + 8 * (offset + index))?;
        let addr = vma.start + index * PAGE;
        let done = insert_one(cx, &mut vma, addr, page)?;
        if done != 0 {
            return Ok(errno(done));
        }
    }
    Ok(0)
}

fn vm_map_pages(cx: &mut Cx, c: &Call) -> R {
    map_pages(cx, c, None)
}

fn vm_map_pages_zero(cx: &mut Cx, c: &Call) -> R {
    map_pages(cx, c, Some(0))
}

fn remap_vmalloc_range(cx: &mut Cx, c: &Call) -> R {
    let [at, addr, pgoff, ..] = c.a;
    let vma = Vma::read(cx, at)?;
    vmalloc_range(cx, at, vma.start, addr, pgoff, vma.end - vma.start)
}

fn remap_vmalloc_range_partial(cx: &mut Cx, c: &Call) -> R {
    let [at, user, addr, pgoff, size, _] = c.a;
    vmalloc_range(cx, at, user, addr, pgoff, size)
}

fn vmalloc_range(cx: &mut Cx, at: u64, user: u64, addr: u64, pgoff: u64, size: u64) -> R {
    let mut vma = Vma::read(cx, at)?;
    let size = size.wrapping_add(PAGE - 1) & !(PAGE - 1);
    let (Some(from), true) = (
        pgoff.checked_mul(PAGE),
        user.is_multiple_of(PAGE) && addr.is_multiple_of(PAGE),
    ) else {
        return Ok(neg(EINVAL));
    };
    // find_vm_area: the area begins at that very address, and is meant for user space.
    let room = pages::user_area(cx, addr);
    if room.is_none_or(|room| from.checked_add(size).is_none_or(|end| end > room)) {
        return Ok(neg(EINVAL));
    }
    for index in 0..size / PAGE {
        let page = pages::page_of(addr + from + index * PAGE);
        let done = insert_one(cx, &mut vma, user + index * PAGE, page)?;
        if done != 0 {
            return Ok(errno(done));
        }
    }
    vma.add_flags(cx, VM_DONT)?;
    Ok(0)
}

fn vmf_insert_pfn(cx: &mut Cx, c: &Call) -> R {
    let prot = cx.r64(c.a[0].wrapping_add(cx.off.vma_vm_page_prot))?;
    insert_pfn(cx, c.a[0], c.a[1], c.a[2], prot)
}

fn vmf_insert_pfn_prot(cx: &mut Cx, c: &Call) -> R {
    insert_pfn(cx, c.a[0], c.a[1], c.a[2], c.a[3])
}

fn insert_pfn(cx: &mut Cx, at: u64, addr: u64, pfn: u64, prot: u64) -> R {
    let vma = Vma::read(cx, at)?;
    let (by_number, mixed) = (vma.flags & VM_PFNMAP != 0, vma.flags & VM_MIXEDMAP != 0);
    if by_number == mixed || by_number && vma.cow() || mixed && pfn_valid(pfn) {
        return Err(bug());
    }
    if !vma.holds(addr) {
        return Ok(SIGBUS);
    }
    let addr = addr & !(PAGE - 1);
    if page_table::pte(cx, at, addr).is_none() {
        let pte = Pte {
            frame: Frame::Pfn(pfn),
            write: writable(prot),
        };
        page_table::set_pte(cx, at, addr, pte);
    }
    Ok(NOPAGE)
}

/// vmf_insert_mixed(vma, addr, pfn_t): the flags of a pfn_t are its highest bits.
fn vmf_insert_mixed(cx: &mut Cx, c: &Call) -> R {
    let [at, addr, pfn, ..] = c.a;
    let vma = Vma::read(cx, at)?;
    // PFN_SG_CHAIN, PFN_SG_LAST, PFN_DEV, PFN_MAP, PFN_SPECIAL.
    let (flags, pfn) = (pfn >> 59, pfn & (u64::MAX >> 5));
    let (dev, mapped, special) = (flags & 4 != 0, flags & 2 != 0, flags & 1 != 0);
    if vma.flags & VM_MIXEDMAP == 0 && !(dev && mapped) && !special {
        return Err(bug());
    }
    if !vma.holds(addr) {
        return Ok(SIGBUS);
    }
    let addr = addr & !(PAGE - 1);
    let counted = !dev && !special && pfn_valid(pfn);
    if counted {
        let page = pages::page_of(pfn * PAGE);
        let done = insert(cx, &vma, addr, page)?;
        return Ok(if done == 0 || done == -EBUSY {
            NOPAGE
        } else {
            SIGBUS
        });
    }
    if page_table::pte(cx, at, addr).is_none() {
        let prot = cx.r64(at + cx.off.vma_vm_page_prot)?;
        let pte = Pte {
            frame: Frame::Pfn(pfn),
            write: writable(prot),
        };
        page_table::set_pte(cx, at, addr, pte);
    }
    Ok(NOPAGE)
}

/// zap_vma_ptes: for mappings of page frame numbers alone, within their limits.
fn zap_vma_ptes(cx: &mut Cx, c: &Call) -> R {
    let [at, addr, size, ..] = c.a;
    let vma = Vma::read(cx, at)?;
    let end = addr.checked_add(size);
    if vma.flags & VM_PFNMAP != 0 && addr >= vma.start && end.is_some_and(|end| end <= vma.end) {
        page_table::zap(cx, at, addr, size)?;
    }
    Ok(0)
}

/// unmap_mapping_range(mapping, holebegin, holelen, even_cows); length 0 means to the end.
fn unmap_mapping_range(cx: &mut Cx, c: &Call) -> R {
    let [mapping, begin, len, ..] = c.a;
    let count = match len {
        0 => u64::MAX,
        len => len.saturating_add(PAGE - 1) / PAGE,
    };
    page_table::unmap_file(cx, mapping, begin / PAGE, count)?;
    Ok(0)
}

fn vm_get_page_prot(_: &mut Cx, c: &Call) -> R {
    Ok(mmap::page_prot(c.a[0]))
}

/// The write-combining cache mode of x86's PAT: _PAGE_PWT.
fn pgprot_writecombine(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0] & !CACHE | PWT)
}

/// Write-through: _PAGE_PAT, PCD and PWT.
fn pgprot_writethrough(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0] & !CACHE | PAT | PCD | PWT)
}

const PWT: u64 = 0x8;
const PCD: u64 = 0x10;
const PAT: u64 = 0x80;
const CACHE: u64 = PWT | PCD | PAT;
