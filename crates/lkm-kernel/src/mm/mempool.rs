//! Memory pools (mm/mempool.c): a reserve of elements that a module's own functions allocate and free.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};

const fn creates(name: &'static str) -> Row {
    behaves(name, create)
        .acquires("mempool", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps()
}

pub(crate) const ROWS: &[Row] = &[
    creates("mempool_create"),
    creates("mempool_create_node"),
    creates("mempool_create_node_noprof"),
    behaves("mempool_destroy", destroy).releases("mempool", Key::Arg(0)),
    behaves("mempool_init", init)
        .acquires("mempool_embedded", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps(),
    behaves("mempool_init_noprof", init)
        .acquires("mempool_embedded", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps(),
    behaves("mempool_exit", exit).releases("mempool_embedded", Key::Arg(0)),
    behaves("mempool_resize", resize).sleeps(),
    behaves("mempool_alloc", alloc).sleeps_gfp(1),
    behaves("mempool_alloc_noprof", alloc).sleeps_gfp(1),
    behaves("mempool_free", free),
    behaves("mempool_kmalloc", kmalloc),
    behaves("mempool_kfree", kfree),
    behaves("mempool_alloc_slab", alloc_slab),
    behaves("mempool_free_slab", free_slab),
];

/// A pool.
#[derive(Debug, Clone, Default)]
struct Pool {
    least: usize,
    alloc: u64,
    free: u64,
    data: u64,
    reserve: Vec<u64>,
}

/// All pools, by address.
#[derive(Default)]
pub struct State {
    pools: Map<u64, Pool>,
}

/// Bytes of a mempool_t, at least.
const SIZE: u64 = 128;
const GFP_KERNEL: u64 = 0xcc0;
/// More elements than this are not held in reserve by any pool.
const MOST: i32 = 1 << 20;

/// Fills a new pool's reserve; false when an element could not be had.
fn fill(cx: &mut Cx, at: u64, least: i32, fns: [u64; 3]) -> R<bool> {
    let [alloc, free, data] = fns;
    let least = least.clamp(0, MOST) as usize;
    let mut reserve = Vec::new();
    while reserve.len() < least {
        match cx.call_guest(alloc, &[GFP_KERNEL, data]) {
            0 => {
                for element in std::mem::take(&mut reserve) {
                    cx.call_guest(free, &[element, data]);
                }
                return Ok(false);
            }
            element => reserve.push(element),
        }
    }
    let pool = Pool {
        least,
        alloc,
        free,
        data,
        reserve,
    };
    cx.mempool.pools.insert(at, pool);
    cx.w64(at + cx.off.mempool_alloc, alloc)?;
    cx.w64(at + cx.off.mempool_free, free)?;
    cx.w64(at + cx.off.mempool_pool_data, data)?;
    show(cx, at)?;
    Ok(true)
}

/// Keeps the words of a mempool_t that headers read (mempool_initialized, mempool_is_saturated) as they should be.
fn show(cx: &Cx, at: u64) -> R<()> {
    let Some(pool) = cx.mempool.pools.get(&at) else {
        return Ok(());
    };
    cx.w32(at + cx.off.mempool_min_nr, pool.least as u32)?;
    cx.w32(at + cx.off.mempool_curr_nr, pool.reserve.len() as u32)?;
    // Only whether there is an array can be seen without a lock that nobody else takes.
    Ok(cx.w64(at + cx.off.mempool_elements, at)?)
}

fn create(cx: &mut Cx, c: &Call) -> R {
    let at = crate::mm::kalloc(cx, SIZE)?;
    if !fill(cx, at, c.int(0), [c.a[1], c.a[2], c.a[3]])? {
        crate::mm::kfree(cx, at);
        return Ok(0);
    }
    Ok(at)
}

fn init(cx: &mut Cx, c: &Call) -> R {
    match fill(cx, c.a[0], c.int(1), [c.a[2], c.a[3], c.a[4]])? {
        true => Ok(0),
        false => Ok(neg(errno::ENOMEM)),
    }
}

fn empty(cx: &mut Cx, at: u64) {
    if let Some(pool) = cx.mempool.pools.remove(&at) {
        for element in pool.reserve {
            cx.call_guest(pool.free, &[element, pool.data]);
        }
    }
}

fn destroy(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        cx.r64(c.a[0])?;
        empty(cx, c.a[0]);
        crate::mm::kfree(cx, c.a[0]);
    }
    Ok(0)
}

fn exit(cx: &mut Cx, c: &Call) -> R {
    empty(cx, c.a[0]);
    cx.w64(c.a[0] + cx.off.mempool_elements, 0)?;
    Ok(0)
}

fn resize(cx: &mut Cx, c: &Call) -> R {
    let least = c.int(1).clamp(1, MOST) as usize;
    let Some(pool) = cx.mempool.pools.get_mut(&c.a[0]) else {
        cx.r64(c.a[0])?;
        return Ok(neg(errno::EINVAL));
    };
    pool.least = least;
    let (alloc, free, data) = (pool.alloc, pool.free, pool.data);
    loop {
        let Some(pool) = cx.mempool.pools.get_mut(&c.a[0]) else {
            return Ok(0);
        };
        match pool.reserve.len() {
            have if have > least => {
                let Some(element) = pool.reserve.pop() else {
                    return Ok(0);
                };
                cx.call_guest(free, &[element, data]);
            }
            have if have < least => match cx.call_guest(alloc, &[GFP_KERNEL, data]) {
                0 => return Ok(neg(errno::ENOMEM)),
                element => {
                    if let Some(pool) = cx.mempool.pools.get_mut(&c.a[0]) {
                        pool.reserve.push(element);
                    }
                }
            },
            _ => {
                show(cx, c.a[0])?;
                return Ok(0);
            }
        }
    }
}

/// An element: newly allocated, else from the reserve.
fn alloc(cx: &mut Cx, c: &Call) -> R {
    let Some(pool) = cx.mempool.pools.get(&c.a[0]) else {
        cx.r64(c.a[0])?;
        return Ok(0);
    };
    let (alloc, data) = (pool.alloc, pool.data);
    // __GFP_NOWARN, __GFP_NORETRY and __GFP_NOMEMALLOC are set, as the pool is the fallback.
    let got = cx.call_guest(alloc, &[c.a[1] | 0x9_2000, data]);
    if got != 0 {
        return Ok(got);
    }
    let pool = cx.mempool.pools.get_mut(&c.a[0]);
    let kept = pool.and_then(|pool| pool.reserve.pop()).unwrap_or(0);
    show(cx, c.a[0])?;
    Ok(kept)
}

fn free(cx: &mut Cx, c: &Call) -> R {
    let [element, at, ..] = c.a;
    if element == 0 {
        return Ok(0);
    }
    let Some(pool) = cx.mempool.pools.get_mut(&at) else {
        cx.r64(at)?;
        return Ok(0);
    };
    if pool.reserve.len() < pool.least {
        pool.reserve.push(element);
        show(cx, at)?;
        return Ok(0);
    }
    let (free, data) = (pool.free, pool.data);
    cx.call_guest(free, &[element, data]);
    Ok(0)
}

fn kmalloc(cx: &mut Cx, c: &Call) -> R {
    let got = crate::mm::slab::alloc(cx, c.a[1], c.a[0])?;
    if got > 16 {
        super::pages::acquired(cx, "slab", got, c.a[1], "mempool_kmalloc");
    }
    Ok(got)
}

fn kfree(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::free(cx, c.a[0], "mempool_kfree")?;
    Ok(0)
}

fn alloc_slab(cx: &mut Cx, c: &Call) -> R {
    let got = super::slab::from_cache(cx, c.a[1], c.a[0])?;
    if got != 0 {
        super::pages::acquired(cx, "slab", got, 0, "mempool_alloc_slab");
    }
    Ok(got)
}

fn free_slab(cx: &mut Cx, c: &Call) -> R {
    crate::mm::slab::free(cx, c.a[0], "mempool_free_slab")?;
    Ok(0)
}
