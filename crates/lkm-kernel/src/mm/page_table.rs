//! The page tables of user mappings: what each page shows, and what becomes of that when pages go, from under a
//! mapping or with it. Pages are put in by the driver ([`super::remap`]) or by a fault ([`super::memory`]).

use super::{guard, pages};
use crate::Cx;
use crate::abi::R;
use crate::sched::Tid;
use crate::trace;
use lkm_machine::map::PAGE;
use std::collections::BTreeMap;

/// What a page of a mapping shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A page that the mapping holds a reference on: its struct page.
    Page(u64),
    /// A page frame number, with nothing that counts.
    Pfn(u64),
    /// Memory of the process's own, by its address: a copied page, or one whose kernel mapping has gone.
    Own(u64),
}

/// A page table entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pte {
    pub frame: Frame,
    pub write: bool,
}

pub(crate) struct Area {
    pub tid: Tid,
    /// Its vm_area_struct.
    pub vma: u64,
    pub start: u64,
    pub len: u64,
    /// The range of addresses it was made in, which parts of it share.
    pub range: u64,
    /// By page number within the mapping.
    pub ptes: BTreeMap<u64, Pte>,
}

/// The mappings of all tasks.
#[derive(Default)]
pub struct State {
    pub(crate) areas: Vec<Area>,
    /// mm_struct of each process that has had one.
    pub(super) mms: BTreeMap<Tid, u64>,
    /// vma_dummy_vm_ops.
    pub(super) no_ops: u64,
    /// Own pages, with how many entries show them.
    own: BTreeMap<u64, u32>,
}

/// A method of a vma's operations, or 0.
pub(crate) fn method(cx: &Cx, vma: u64, member: u64) -> R {
    let ops = cx.r64(vma + cx.off.vma_vm_ops)?;
    if ops == 0 {
        return Ok(0);
    }
    Ok(cx.r64(ops + member)?)
}

/// The area of a vm_area_struct.
pub(crate) fn area_of(cx: &Cx, vma: u64) -> Option<usize> {
    cx.mmaps.areas.iter().position(|a| a.vma == vma)
}

/// The mapping of a task that an address lies in: its vm_area_struct and first address.
pub(crate) fn covering(cx: &Cx, tid: Tid, addr: u64) -> Option<(u64, u64)> {
    let mut areas = cx.mmaps.areas.iter();
    areas
        .find(|a| a.tid == tid && addr >= a.start && addr - a.start < a.len)
        .map(|a| (a.vma, a.start))
}

/// The entry of an address; None where there is no page, or no such mapping.
pub(crate) fn pte(cx: &Cx, vma: u64, addr: u64) -> Option<Pte> {
    let area = &cx.mmaps.areas[area_of(cx, vma)?];
    let page = addr.checked_sub(area.start)? / PAGE;
    area.ptes.get(&page).copied()
}

/// Sets the entry of an address; what it showed before is the caller's to give back.
pub(crate) fn set_pte(cx: &mut Cx, vma: u64, addr: u64, new: Pte) {
    if let Some(index) = area_of(cx, vma) {
        let area = &mut cx.mmaps.areas[index];
        let page = addr.saturating_sub(area.start) / PAGE;
        area.ptes.insert(page, new);
    }
}

/// A page of the process's own with the contents at `from`, or zeroes; its address.
pub(crate) fn own_page(cx: &mut Cx, from: Option<u64>) -> R<Option<u64>> {
    let Some(page) = guard::alloc(cx, PAGE, PAGE, true) else {
        return Ok(None);
    };
    if let Some(from) = from {
        cx.copy(page, from, PAGE)?;
    }
    cx.mmaps.own.insert(page, 1);
    Ok(Some(page))
}

/// One entry more shows a page (page_add_file_rmap); the reference is the caller's.
pub(crate) fn count_mapping(cx: &mut Cx, page: u64) -> R<()> {
    let at = page.wrapping_add(cx.off.page_mapcount);
    let count = cx.r32(at)?;
    Ok(cx.w32(at, count.wrapping_add(1))?)
}

/// One entry less shows the frame.
pub(crate) fn drop_frame(cx: &mut Cx, frame: Frame) -> R<()> {
    match frame {
        Frame::Page(page) => {
            let at = page + cx.off.page_mapcount;
            let count = cx.r32(at)?;
            cx.w32(at, count.wrapping_sub(1))?;
            pages::put_page(cx, page)
        }
        Frame::Pfn(_) => Ok(()),
        Frame::Own(page) => {
            let left = cx.mmaps.own.get_mut(&page).map(|n| {
                *n -= 1;
                *n
            });
            if left == Some(0) {
                cx.mmaps.own.remove(&page);
                guard::free(cx, page);
            }
            Ok(())
        }
    }
}

/// zap_page_range: the entries of [from, from + len) of a mapping go.
pub(crate) fn zap(cx: &mut Cx, vma: u64, from: u64, len: u64) -> R<()> {
    let Some(index) = area_of(cx, vma) else {
        return Ok(());
    };
    let area = &mut cx.mmaps.areas[index];
    let first = from.saturating_sub(area.start) / PAGE;
    let last = from
        .saturating_add(len)
        .saturating_sub(area.start)
        .div_ceil(PAGE);
    let gone: Vec<(u64, Pte)> = area
        .ptes
        .range(first..last.max(first))
        .map(|(&page, &pte)| (page, pte))
        .collect();
    for (page, _) in &gone {
        area.ptes.remove(page);
    }
    for (_, pte) in gone {
        drop_frame(cx, pte.frame)?;
    }
    Ok(())
}

/// Memory of [addr, addr + size) is being freed: who still sees it by a page frame number sees freed memory. Told
/// once for an object.
pub(crate) fn on_free(cx: &mut Cx, addr: u64, size: u64, function: &'static str) {
    if cx.mmaps.areas.is_empty() {
        return;
    }
    let shows = |pte: &Pte| match pte.frame {
        Frame::Pfn(pfn) => pfn * PAGE < addr.saturating_add(size) && pfn * PAGE + PAGE > addr,
        _ => false,
    };
    let seen = cx.mmaps.areas.iter().find(|a| a.ptes.values().any(shows));
    if let Some(tid) = seen.map(|a| a.tid) {
        let task = &cx.sched.tasks[tid as usize];
        let detail = format!("{}/{} sees it by page frame number", task.comm, task.pid);
        trace::misuse(cx, "mapped-free", &detail, addr, function);
    }
}

/// Pages of [addr, addr + size) go from the kernel's address space and processes still hold references on some:
/// those stay as pages of their own.
pub(crate) fn keep_mapped(cx: &mut Cx, addr: u64, size: u64) -> R<()> {
    if cx.mmaps.areas.is_empty() {
        return Ok(());
    }
    let mut shown = BTreeMap::<u64, u32>::new();
    for pte in cx.mmaps.areas.iter().flat_map(|a| a.ptes.values()) {
        if let Frame::Page(page) = pte.frame
            && let Some(at) = pages::address_of(page)
            && (addr..addr.saturating_add(size)).contains(&at)
        {
            *shown.entry(at).or_default() += 1;
        }
    }
    for (at, count) in shown {
        let frame = Frame::Page(pages::page_of(at));
        let Some(own) = own_page(cx, Some(at))? else {
            continue;
        };
        cx.mmaps.own.insert(own, count);
        for area in &mut cx.mmaps.areas {
            for pte in area.ptes.values_mut().filter(|p| p.frame == frame) {
                pte.frame = Frame::Own(own);
            }
        }
    }
    Ok(())
}

/// unmap_mapping_range: the entries that show a range of pages of a file go, in all its mappings.
pub(crate) fn unmap_file(cx: &mut Cx, mapping: u64, first: u64, count: u64) -> R<()> {
    let all: Vec<(u64, u64, u64)> = cx
        .mmaps
        .areas
        .iter()
        .map(|a| (a.vma, a.start, a.len))
        .collect();
    for (vma, start, len) in all {
        let file = cx.r64(vma + cx.off.vma_vm_file)?;
        if file == 0 || cx.r64(file + cx.off.file_f_mapping)? != mapping {
            continue;
        }
        let pgoff = cx.r64(vma + cx.off.vma_vm_pgoff)?;
        let from = first.max(pgoff);
        let to = first
            .saturating_add(count)
            .min(pgoff.saturating_add(len / PAGE));
        if from < to {
            zap(cx, vma, start + (from - pgoff) * PAGE, (to - from) * PAGE)?;
        }
    }
    Ok(())
}
