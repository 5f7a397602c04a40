//! Whole pages (mm/page_alloc.c, mm/vmalloc.c): alloc_pages and its kin, vmalloc, and what tells them apart.
//! A struct page stands in the array at VMEMMAP, so that virt_to_page and page_address are arithmetic.

use super::guard;
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, trace};
use lkm_machine::map;
use lkm_trace::{Class, Event};

const fn pages_row(name: &'static str, fun: crate::abi::Fun, gfp: u8) -> Row {
    behaves(name, fun)
        .acquires("pages", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(gfp)
}

const fn vmalloc_row(name: &'static str, fun: crate::abi::Fun) -> Row {
    behaves(name, fun)
        .acquires("vmalloc", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps()
}

pub(crate) const ROWS: &[Row] = &[
    pages_row("alloc_pages", alloc_pages, 0),
    pages_row("__alloc_pages", alloc_pages, 0),
    pages_row("alloc_pages_noprof", alloc_pages, 0),
    pages_row("__alloc_pages_noprof", alloc_pages, 0),
    pages_row("__get_free_pages", get_free_pages, 0),
    pages_row("get_free_pages_noprof", get_free_pages, 0),
    pages_row("get_zeroed_page", get_zeroed_page, 0),
    pages_row("get_zeroed_page_noprof", get_zeroed_page, 0),
    pages_row("alloc_pages_exact", alloc_pages_exact, 1),
    pages_row("alloc_pages_exact_noprof", alloc_pages_exact, 1),
    behaves("__free_pages", free_pages_by_page),
    behaves("free_pages", free_pages),
    behaves("free_pages_exact", free_pages_exact),
    behaves("__folio_put", folio_put),
    behaves("split_page", nothing),
    vmalloc_row("vmalloc", vmalloc),
    vmalloc_row("vmalloc_noprof", vmalloc),
    vmalloc_row("vmalloc_node", vmalloc),
    vmalloc_row("vmalloc_node_noprof", vmalloc),
    vmalloc_row("vmalloc_32", vmalloc),
    vmalloc_row("vmalloc_32_noprof", vmalloc),
    vmalloc_row("__vmalloc", vmalloc_gfp),
    vmalloc_row("__vmalloc_noprof", vmalloc_gfp),
    vmalloc_row("vzalloc", vzalloc),
    vmalloc_row("vzalloc_noprof", vzalloc),
    vmalloc_row("vzalloc_node", vzalloc),
    vmalloc_row("vzalloc_node_noprof", vzalloc),
    vmalloc_row("vmalloc_user", vmalloc_user),
    vmalloc_row("vmalloc_user_noprof", vmalloc_user),
    vmalloc_row("vmalloc_32_user", vmalloc_user),
    vmalloc_row("vcalloc", vcalloc),
    vmalloc_row("__vcalloc", vcalloc),
    vmalloc_row("vmalloc_array", vmalloc_array),
    vmalloc_row("__vmalloc_array", vmalloc_array),
    behaves("vfree", vfree).sleeps(),
    behaves("vfree_atomic", vfree),
    behaves("is_vmalloc_addr", is_vmalloc_addr),
    behaves("is_vmalloc_or_module_addr", is_vmalloc_or_module),
    behaves("vmalloc_to_page", vmalloc_to_page),
    behaves("vmalloc_to_pfn", vmalloc_to_pfn),
    behaves("__virt_addr_valid", virt_addr_valid),
    behaves("__phys_addr", phys_addr),
    super::slab::object_row("kvmalloc_node", kvmalloc, 1),
    super::slab::object_row("__kvmalloc_node_noprof", kvmalloc, 1),
    super::slab::object_row("kvrealloc", kvrealloc, 3),
    behaves("kvfree", kvfree),
    behaves("kvfree_sensitive", kvfree),
];

const GFP_ZERO: u64 = 0x100;
const GFP_COMP: u64 = 0x4_0000;
/// Bytes of struct page.
const STRUCT_PAGE: u64 = 64;
/// MAX_ORDER: the largest piece is 2^10 pages.
const MAX_ORDER: u64 = 10;
const PG_HEAD: u64 = 1 << 16;

/// What pages are live, by the key that their allocation was recorded under.
#[derive(Default)]
pub struct State {
    /// Key to the first address, and whether it is vmalloc's.
    live: Map<u64, (u64, bool)>,
    /// vmalloc areas that may be mapped by user space (VM_USERMAP): address to bytes.
    for_user: Map<u64, u64>,
}

/// virt_to_page.
pub(crate) fn page_of(addr: u64) -> u64 {
    map::VMEMMAP.start + (addr >> 12) * STRUCT_PAGE
}

/// page_address; None for an address outside the array.
pub(crate) fn address_of(page: u64) -> Option<u64> {
    map::VMEMMAP
        .holds(page)
        .then(|| (page - map::VMEMMAP.start) / STRUCT_PAGE * map::PAGE)
}

/// Takes 2^order pages; 0 when there are none.
fn take(cx: &mut Cx, size: u64, gfp: u64, flat: bool) -> R {
    // A block of the buddy system is aligned to its own size.
    let align = if size.is_power_of_two() {
        size
    } else {
        map::PAGE
    };
    let Some(addr) = guard::alloc(cx, size, align, gfp & GFP_ZERO != 0) else {
        return Ok(0);
    };
    let head = page_of(addr);
    for index in 0..size / map::PAGE {
        let page = head + index * STRUCT_PAGE;
        cx.fill(page, 0, STRUCT_PAGE)?;
        // Nobody maps it; one user.
        cx.w32(page + cx.off.page_mapcount, u32::MAX)?;
        // Pages of a flat allocation are counted one by one.
        cx.w32(page + cx.off.page_refcount, u32::from(index == 0 || flat))?;
        if gfp & GFP_COMP != 0 && !flat && size > map::PAGE {
            if index == 0 {
                cx.w64(page, PG_HEAD)?;
            } else {
                cx.w64(page + cx.off.page_compound_head, head | 1)?;
            }
        }
    }
    Ok(addr)
}

fn by_order(cx: &mut Cx, gfp: u64, order: u64) -> R {
    let order = order & 0xffff_ffff;
    if order > MAX_ORDER {
        return Ok(0);
    }
    take(cx, map::PAGE << order, gfp, false)
}

fn alloc_pages(cx: &mut Cx, c: &Call) -> R {
    let addr = by_order(cx, c.a[0], c.a[1])?;
    if addr == 0 {
        return Ok(0);
    }
    let page = page_of(addr);
    cx.pages.live.insert(page, (addr, false));
    Ok(page)
}

fn kept(cx: &mut Cx, addr: u64, vmalloc: bool) -> u64 {
    if addr != 0 {
        cx.pages.live.insert(addr, (addr, vmalloc));
    }
    addr
}

fn get_free_pages(cx: &mut Cx, c: &Call) -> R {
    let addr = by_order(cx, c.a[0], c.a[1])?;
    Ok(kept(cx, addr, false))
}

fn get_zeroed_page(cx: &mut Cx, c: &Call) -> R {
    let addr = by_order(cx, c.a[0] | GFP_ZERO, 0)?;
    Ok(kept(cx, addr, false))
}

fn alloc_pages_exact(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] == 0 || c.a[0] > map::PAGE << MAX_ORDER {
        return Ok(0);
    }
    let size = c.a[0].next_multiple_of(map::PAGE);
    let addr = take(cx, size, c.a[1], true)?;
    Ok(kept(cx, addr, false))
}

/// Gives pages back, recorded under `key` or, when they were taken by the other kind of call, its key.
fn give(cx: &mut Cx, key: u64, other: u64, function: &'static str, kind: &str) -> R<()> {
    let vmalloc = kind == "vmalloc";
    let found = [key, other]
        .into_iter()
        .find(|k| cx.pages.live.get(k).is_some_and(|l| l.1 == vmalloc));
    let Some(found) = found else {
        let addr = if map::VMEMMAP.holds(key) { other } else { key };
        let (what, detail) = match guard::block_of(cx, addr) {
            Some(block) if block.freed => ("double-free", format!("{} bytes", block.size)),
            _ => ("invalid-free", format!("{key:#x} was never allocated")),
        };
        if vmalloc {
            let text = format!("Trying to vfree() nonexistent vm area ({key:016x})\n");
            crate::traps::warn(cx, &text, "vfree")?;
        }
        trace::misuse(cx, what, &detail, key, function);
        return Ok(());
    };
    let Some((addr, _)) = cx.pages.live.remove(&found) else {
        return Ok(());
    };
    if let Some(block) = guard::block_at(cx, addr)
        && let Some(at) = guard::damaged(cx, &block)
    {
        let detail = format!("byte at offset {}", at.wrapping_sub(addr) as i64);
        trace::misuse(cx, "redzone", &detail, found, function);
    }
    crate::locking::on_free(cx, addr, function)?;
    if let Some(block) = guard::block_at(cx, addr) {
        super::page_table::on_free(cx, addr, block.size, function);
        super::page_table::keep_mapped(cx, addr, block.size)?;
        for at in (addr..addr + block.size).step_by(map::PAGE as usize) {
            cx.w32(page_of(at) + cx.off.page_refcount, 0)?;
        }
    }
    cx.pages.for_user.remove(&addr);
    let (tid, site) = (crate::sched::current_tid(cx), trace::site(cx));
    trace::emit(
        cx,
        Event::Release {
            kind: kind.into(),
            key: found,
            function: function.into(),
            tid,
            site,
        },
    );
    guard::free(cx, addr);
    Ok(())
}

fn free_pages(cx: &mut Cx, c: &Call) -> R {
    let addr = c.a[0];
    if addr == 0 {
        return Ok(0);
    }
    // Somebody else's reference keeps them: the last to put frees.
    let at = page_of(addr) + cx.off.page_refcount;
    let count = cx.r32(at).unwrap_or(0);
    if count > 1 {
        cx.w32(at, count - 1)?;
    } else {
        give(cx, addr, page_of(addr), "free_pages", "pages")?;
    }
    Ok(0)
}

fn free_pages_exact(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        give(cx, c.a[0], page_of(c.a[0]), "free_pages_exact", "pages")?;
    }
    Ok(0)
}

/// The page that counts for a page: the first of its compound.
pub(crate) fn head(cx: &Cx, page: u64) -> R {
    let word = cx.r64(page.wrapping_add(cx.off.page_compound_head))?;
    Ok(if word & 1 != 0 { word - 1 } else { page })
}

/// get_page.
pub(crate) fn get_page(cx: &mut Cx, page: u64) -> R<()> {
    let at = head(cx, page)?.wrapping_add(cx.off.page_refcount);
    let count = cx.r32(at)?;
    Ok(cx.w32(at, count.wrapping_add(1))?)
}

/// put_page: the last one frees it.
pub(crate) fn put_page(cx: &mut Cx, page: u64) -> R<()> {
    let page = head(cx, page)?;
    let at = page.wrapping_add(cx.off.page_refcount);
    let count = cx.r32(at)?.wrapping_sub(1);
    cx.w32(at, count)?;
    if count == 0 {
        drop_page(cx, page, "put_page")?;
    }
    Ok(())
}

/// Bytes of the vmalloc area that begins at an address and may be mapped by user space.
pub(crate) fn user_area(cx: &Cx, addr: u64) -> Option<u64> {
    cx.pages.for_user.get(&addr).copied()
}

/// The last user of a page puts it: then it is given back.
fn drop_page(cx: &mut Cx, page: u64, function: &'static str) -> R<()> {
    let Some(addr) = address_of(page) else {
        return Err(lkm_machine::Fault {
            addr: page + cx.off.page_refcount,
            write: true,
        }
        .into());
    };
    give(cx, page, addr, function, "pages")
}

fn free_pages_by_page(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0].wrapping_add(cx.off.page_refcount);
    let count = cx.r32(at)?.wrapping_sub(1);
    cx.w32(at, count)?;
    if count as i32 <= 0 {
        drop_page(cx, c.a[0], "__free_pages")?;
    }
    Ok(0)
}

fn folio_put(cx: &mut Cx, c: &Call) -> R {
    drop_page(cx, c.a[0], "__folio_put")?;
    Ok(0)
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn virtually(cx: &mut Cx, size: u64, zero: bool) -> R {
    if size == 0 || size > map::BULK.size {
        return Ok(0);
    }
    let size = size.next_multiple_of(map::PAGE);
    let addr = take(cx, size, if zero { GFP_ZERO } else { 0 }, true)?;
    Ok(kept(cx, addr, true))
}

fn vmalloc(cx: &mut Cx, c: &Call) -> R {
    virtually(cx, c.a[0], false)
}

fn vmalloc_user(cx: &mut Cx, c: &Call) -> R {
    let addr = virtually(cx, c.a[0], true)?;
    if addr != 0 {
        let size = c.a[0].next_multiple_of(map::PAGE);
        cx.pages.for_user.insert(addr, size);
    }
    Ok(addr)
}

fn vmalloc_gfp(cx: &mut Cx, c: &Call) -> R {
    virtually(cx, c.a[0], c.a[1] & GFP_ZERO != 0)
}

fn vzalloc(cx: &mut Cx, c: &Call) -> R {
    virtually(cx, c.a[0], true)
}

fn vcalloc(cx: &mut Cx, c: &Call) -> R {
    match c.a[0].checked_mul(c.a[1]) {
        Some(size) => virtually(cx, size, true),
        None => Ok(0),
    }
}

fn vmalloc_array(cx: &mut Cx, c: &Call) -> R {
    match c.a[0].checked_mul(c.a[1]) {
        Some(size) => virtually(cx, size, false),
        None => Ok(0),
    }
}

fn vfree(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        give(cx, c.a[0], 0, "vfree", "vmalloc")?;
    }
    Ok(0)
}

/// The vmalloc area that an address is in.
fn area(cx: &Cx, addr: u64) -> bool {
    guard::block_of(cx, addr).is_some_and(|block| {
        !block.freed && cx.pages.live.get(&block.addr).is_some_and(|live| live.1)
    })
}

fn is_vmalloc_addr(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(area(cx, c.a[0])))
}

fn is_vmalloc_or_module(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(map::MODULES.holds(c.a[0]) || area(cx, c.a[0])))
}

fn vmalloc_to_page(cx: &mut Cx, c: &Call) -> R {
    cx.r8(c.a[0])?;
    Ok(page_of(c.a[0]))
}

fn vmalloc_to_pfn(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0] >> 12)
}

fn virt_addr_valid(cx: &mut Cx, c: &Call) -> R {
    let addr = c.a[0];
    let kernel = map::KDATA.holds(addr) || map::STACKS.holds(addr);
    let object = guard::block_of(cx, addr).is_some() && !area(cx, addr);
    Ok(u64::from(kernel || object))
}

/// page_offset_base is 0: physical addresses are the virtual ones.
fn phys_addr(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0])
}

fn kvmalloc(cx: &mut Cx, c: &Call) -> R {
    super::slab::alloc_any(cx, c.a[0], c.a[1])
}

/// kvrealloc(ptr, oldsize, newsize, gfp): grows only.
fn kvrealloc(cx: &mut Cx, c: &Call) -> R {
    let [old, had, want, gfp, ..] = c.a;
    if had >= want {
        return Ok(old);
    }
    let new = super::slab::alloc_any(cx, want, gfp)?;
    if new > 16 && old > 16 {
        cx.copy(new, old, had)?;
        give_any(cx, old, "kvrealloc")?;
    }
    Ok(new)
}

fn give_any(cx: &mut Cx, addr: u64, function: &'static str) -> R<()> {
    if cx.pages.live.get(&addr).is_some_and(|live| live.1) {
        return give(cx, addr, 0, function, "vmalloc");
    }
    super::slab::free(cx, addr, function)
}

fn kvfree(cx: &mut Cx, c: &Call) -> R {
    give_any(cx, c.a[0], "kvfree")?;
    Ok(0)
}

/// Records an object that a call gave beside its return value.
pub(crate) fn acquired(cx: &mut Cx, kind: &str, key: u64, size: u64, function: &'static str) {
    let (tid, site) = (crate::sched::current_tid(cx), trace::site(cx));
    trace::emit(
        cx,
        Event::Acquire {
            kind: kind.into(),
            key,
            size,
            detail: String::new(),
            function: function.into(),
            class: Class::Behaves,
            tid,
            site,
        },
    );
}
