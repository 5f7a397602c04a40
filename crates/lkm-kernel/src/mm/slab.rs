//! Slab allocation (mm/slab_common.c, mm/slub.c, mm/util.c): kmalloc and its kin, and named caches. Every
//! object has a guard behind it (see `guard`).

use super::guard;
use crate::abi::{Call, R};
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, trace};

const RET: Key = Key::Ret;
const PTR: When = When::Pointer;

const fn kmalloc_row(name: &'static str, fun: crate::abi::Fun, gfp: u8) -> Row {
    behaves(name, fun)
        .acquires("slab", RET, PTR)
        .fails(Fails::Null)
        .sleeps_gfp(gfp)
}

pub(crate) const ROWS: &[Row] = &[
    kmalloc_row("__kmalloc", kmalloc, 1),
    kmalloc_row("__kmalloc_node", kmalloc, 1),
    kmalloc_row("__kmalloc_node_track_caller", kmalloc, 1),
    kmalloc_row("kmalloc_trace", kmalloc_trace, 1),
    kmalloc_row("kmalloc_node_trace", kmalloc_node_trace, 1),
    kmalloc_row("kmalloc_large", kmalloc, 1),
    kmalloc_row("kmalloc_large_node", kmalloc, 1),
    kmalloc_row("krealloc", krealloc, 2).before(size_given),
    behaves("kfree", kfree),
    behaves("kfree_sensitive", kfree),
    behaves("ksize", ksize),
    behaves("kmem_cache_create", kmem_cache_create)
        .acquires("kmem_cache", RET, PTR)
        .named(0)
        .fails(Fails::Null)
        .before(not_panicking)
        .sleeps(),
    behaves("kmem_cache_create_usercopy", kmem_cache_create_usercopy)
        .acquires("kmem_cache", RET, PTR)
        .named(0)
        .fails(Fails::Null)
        .before(not_panicking)
        .sleeps(),
    behaves("kmem_cache_destroy", kmem_cache_destroy)
        .releases("kmem_cache", Key::Arg(0))
        .sleeps(),
    behaves("kmem_cache_alloc", kmem_cache_alloc)
        .acquires("slab", RET, PTR)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("kmem_cache_alloc_node", kmem_cache_alloc)
        .acquires("slab", RET, PTR)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("kmem_cache_alloc_lru", kmem_cache_alloc_lru)
        .acquires("slab", RET, PTR)
        .fails(Fails::Null)
        .sleeps_gfp(2),
    behaves("kmem_cache_alloc_bulk", alloc_bulk)
        .fails(Fails::False)
        .sleeps_gfp(1),
    behaves("kmem_cache_free_bulk", free_bulk),
    behaves("kmem_cache_free", kmem_cache_free),
    behaves("kmem_cache_size", kmem_cache_size),
    behaves("kmem_cache_shrink", kmem_cache_shrink),
];

/// A row of a function that gives an object which kfree() takes back.
pub(crate) const fn object_row(name: &'static str, fun: crate::abi::Fun, gfp: u8) -> Row {
    kmalloc_row(name, fun, gfp)
}

const GFP_ZERO: u64 = 0x100;
const ZERO_SIZE_PTR: u64 = 16;
/// KMALLOC_MAX_SIZE of x86-64: what the page allocator can give in one piece.
const KMALLOC_MAX: u64 = 4 << 20;

/// A cache made by kmem_cache_create.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Its name.
    pub name: String,
    size: u64,
    align: u64,
    ctor: u64,
}

/// The slab's state.
#[derive(Default)]
pub struct State {
    caches: Map<u64, Cache>,
    /// Live objects: address to the cache they are from (0: kmalloc).
    live: Map<u64, u64>,
}

/// How many objects are live.
pub(crate) fn live(cx: &Cx) -> usize {
    cx.slab.live.len()
}

/// Allocates; the caller's row records it.
pub fn alloc(cx: &mut Cx, size: u64, gfp: u64) -> R {
    if size == 0 {
        return Ok(ZERO_SIZE_PTR);
    }
    if size > KMALLOC_MAX {
        return Ok(0);
    }
    alloc_any(cx, size, gfp)
}

/// The same without the limit of kmalloc: kvmalloc falls back to vmalloc.
pub fn alloc_any(cx: &mut Cx, size: u64, gfp: u64) -> R {
    if size == 0 {
        return Ok(ZERO_SIZE_PTR);
    }
    if size > i32::MAX as u64 {
        return Ok(0);
    }
    let align = if size.is_power_of_two() {
        size.min(4096)
    } else {
        8
    };
    match guard::alloc(cx, size, align, gfp & GFP_ZERO != 0) {
        Some(addr) => {
            cx.slab.live.insert(addr, 0);
            Ok(addr)
        }
        None => Ok(0),
    }
}

/// What a bad free is, told once and in one place for all kinds of memory.
fn bad_free(cx: &mut Cx, ptr: u64, function: &'static str) {
    match guard::block_of(cx, ptr) {
        Some(block) if block.freed && block.addr == ptr => {
            trace::misuse(
                cx,
                "double-free",
                &format!("object of {} bytes", block.size),
                block.addr,
                function,
            );
        }
        Some(block) => {
            let detail = format!(
                "{} bytes into an object of {} bytes",
                ptr.wrapping_sub(block.addr) as i64,
                block.size
            );
            trace::misuse(cx, "invalid-free", &detail, block.addr, function);
        }
        None => trace::misuse(
            cx,
            "invalid-free",
            &format!("{ptr:#x} was never allocated"),
            ptr,
            function,
        ),
    }
}

/// Frees what kmalloc or a cache gave.
pub fn free(cx: &mut Cx, ptr: u64, function: &'static str) -> R<()> {
    if ptr <= ZERO_SIZE_PTR {
        return Ok(());
    }
    if crate::abi::is_err(ptr) {
        trace::misuse(
            cx,
            "err-ptr-used",
            &format!("{} was passed to {function}", ptr as i64),
            ptr,
            function,
        );
        return Err(lkm_machine::Fault {
            addr: ptr,
            write: false,
        }
        .into());
    }
    if cx.slab.live.remove(&ptr).is_none() {
        bad_free(cx, ptr, function);
        return Ok(());
    }
    if let Some(block) = guard::block_at(cx, ptr) {
        super::page_table::on_free(cx, ptr, block.size, function);
    }
    if let Some(block) = guard::block_at(cx, ptr)
        && let Some(at) = guard::damaged(cx, &block)
    {
        let detail = format!(
            "byte at offset {} of an object of {} bytes",
            at.wrapping_sub(ptr) as i64,
            block.size
        );
        trace::misuse(cx, "redzone", &detail, ptr, function);
    }
    crate::locking::on_free(cx, ptr, function)?;
    let (tid, site) = (crate::sched::current_tid(cx), trace::site(cx));
    trace::emit(
        cx,
        lkm_trace::Event::Release {
            kind: "slab".into(),
            key: ptr,
            function: function.into(),
            tid,
            site,
        },
    );
    guard::free(cx, ptr);
    Ok(())
}

fn kmalloc(cx: &mut Cx, c: &Call) -> R {
    alloc(cx, c.a[0], c.a[1])
}

fn kmalloc_trace(cx: &mut Cx, c: &Call) -> R {
    alloc(cx, c.a[2], c.a[1])
}

fn kmalloc_node_trace(cx: &mut Cx, c: &Call) -> R {
    alloc(cx, c.a[3], c.a[1])
}

fn krealloc(cx: &mut Cx, c: &Call) -> R {
    let [old, size, gfp, ..] = c.a;
    if size == 0 {
        free(cx, old, "krealloc")?;
        return Ok(ZERO_SIZE_PTR);
    }
    let new = alloc(cx, size, gfp)?;
    if new == 0 || old <= ZERO_SIZE_PTR {
        return Ok(new);
    }
    let have = guard::block_at(cx, old).map_or(0, |b| b.size);
    cx.copy(new, old, have.min(size))?;
    free(cx, old, "krealloc")?;
    Ok(new)
}

fn kfree(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[0], "kfree")?;
    Ok(0)
}

fn ksize(cx: &mut Cx, c: &Call) -> R {
    Ok(guard::block_at(cx, c.a[0]).map_or(0, |b| b.size))
}

fn create(cx: &mut Cx, name: u64, size: u64, align: u64, ctor: u64) -> R {
    let name = cx.text(name)?;
    // A kmem_cache is opaque to modules; its address is its identity.
    let addr = crate::data::alloc(cx, 256, 64)?;
    cx.slab.caches.insert(
        addr,
        Cache {
            name,
            size,
            align: align.max(8),
            ctor,
        },
    );
    Ok(addr)
}

/// SLAB_PANIC: such a cache is made, or the kernel stops.
fn not_panicking(_: &mut Cx, c: &Call) -> R<bool> {
    Ok(c.a[3] & 0x0004_0000 == 0)
}

/// krealloc to nothing frees, and cannot fail.
fn size_given(_: &mut Cx, c: &Call) -> R<bool> {
    Ok(c.a[1] != 0)
}

fn kmem_cache_create(cx: &mut Cx, c: &Call) -> R {
    create(
        cx,
        c.a[0],
        u64::from(c.a[1] as u32),
        u64::from(c.a[2] as u32),
        c.a[4],
    )
}

fn kmem_cache_create_usercopy(cx: &mut Cx, c: &Call) -> R {
    let ctor = c.arg(cx, 6)?;
    create(
        cx,
        c.a[0],
        u64::from(c.a[1] as u32),
        u64::from(c.a[2] as u32),
        ctor,
    )
}

fn kmem_cache_destroy(cx: &mut Cx, c: &Call) -> R {
    let Some(cache) = cx.slab.caches.get(&c.a[0]).cloned() else {
        if c.a[0] != 0 {
            cx.r64(c.a[0])?;
            trace::misuse(
                cx,
                "double-free",
                "a cache that was destroyed",
                c.a[0],
                "kmem_cache_destroy",
            );
        }
        return Ok(0);
    };
    let mut objects: Vec<u64> = cx
        .slab
        .live
        .iter()
        .filter(|&(_, &from)| from == c.a[0])
        .map(|(&at, _)| at)
        .collect();
    objects.sort_unstable();
    if !objects.is_empty() {
        let text = format!(
            "kmem_cache_destroy {}: Slab cache still has objects when called from {}\n",
            cache.name,
            crate::module::kallsyms::describe(cx, c.ret)
        );
        crate::printk::log(cx, 4, &text);
        let detail = format!("{}: {} objects", cache.name, objects.len());
        trace::misuse(cx, "cache-not-empty", &detail, c.a[0], "kmem_cache_destroy");
    }
    cx.slab.caches.remove(&c.a[0]);
    Ok(0)
}

/// An object of the cache at `cache`; 0 when there is no memory.
pub(crate) fn from_cache(cx: &mut Cx, at: u64, gfp: u64) -> R {
    let Some(cache) = cx.slab.caches.get(&at).cloned() else {
        cx.r64(at)?;
        return Ok(0);
    };
    let Some(addr) = guard::alloc(cx, cache.size.max(1), cache.align, gfp & GFP_ZERO != 0) else {
        return Ok(0);
    };
    cx.slab.live.insert(addr, at);
    if cache.ctor != 0 {
        cx.call_guest(cache.ctor, &[addr]);
    }
    Ok(addr)
}

fn kmem_cache_alloc(cx: &mut Cx, c: &Call) -> R {
    from_cache(cx, c.a[0], c.a[1])
}

fn kmem_cache_alloc_lru(cx: &mut Cx, c: &Call) -> R {
    from_cache(cx, c.a[0], c.a[2])
}

/// kmem_cache_alloc_bulk(cache, gfp, count, array): all or none.
fn alloc_bulk(cx: &mut Cx, c: &Call) -> R {
    let [at, gfp, count, array, ..] = c.a;
    let name = "kmem_cache_alloc_bulk";
    for index in 0..count {
        let object = from_cache(cx, at, gfp)?;
        if object == 0 {
            for done in 0..index {
                let object = cx.r64(array + done * 8)?;
                free(cx, object, name)?;
            }
            return Ok(0);
        }
        let size = guard::block_at(cx, object).map_or(0, |b| b.size);
        super::pages::acquired(cx, "slab", object, size, name);
        cx.w64(array + index * 8, object)?;
    }
    Ok(count)
}

fn free_bulk(cx: &mut Cx, c: &Call) -> R {
    for index in 0..c.a[1] {
        let object = cx.r64(c.a[2] + index * 8)?;
        free(cx, object, "kmem_cache_free_bulk")?;
    }
    Ok(0)
}

fn kmem_cache_free(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[1], "kmem_cache_free")?;
    Ok(0)
}

fn kmem_cache_size(cx: &mut Cx, c: &Call) -> R {
    Ok(cx.slab.caches.get(&c.a[0]).map_or(0, |cache| cache.size))
}

fn kmem_cache_shrink(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// `kmalloc_caches` and the like: arrays of cache pointers that callers only pass back.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name != "kmalloc_caches" {
        return Ok(None);
    }
    let at = crate::data::alloc(cx, 4096, 64)?;
    Ok(Some(at))
}
