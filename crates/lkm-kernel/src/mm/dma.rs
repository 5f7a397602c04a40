//! Memory that devices reach (kernel/dma/mapping.c, mm/dmapool.c): coherent buffers, streaming mappings, pools. The
//! lab's devices reach nothing; an address for one is the kernel's own.

use crate::abi::{Call, R};
use crate::drivers::devres;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, trace};
use lkm_machine::map;
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("dma_alloc_attrs", dma_alloc)
        .acquires("dma buffer", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(3),
    behaves("dma_free_attrs", dma_free).releases("dma buffer", Key::Arg(2)),
    behaves("dmam_alloc_attrs", dmam_alloc)
        .fails(Fails::Null)
        .sleeps_gfp(3),
    behaves("dmam_free_coherent", dmam_free),
    behaves("dma_map_page_attrs", dma_map_page),
    behaves("dma_unmap_page_attrs", nothing),
    behaves("dma_sync_single_for_cpu", nothing),
    behaves("dma_sync_single_for_device", nothing),
    behaves("dma_max_mapping_size", any_size),
    behaves("dma_pool_create", pool_create)
        .acquires("dma pool", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps(),
    behaves("dma_pool_destroy", pool_destroy)
        .releases("dma pool", Key::Arg(0))
        .sleeps(),
    behaves("dma_pool_alloc", pool_alloc)
        .acquires("dma buffer", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(1),
    behaves("dma_pool_free", pool_free).releases("dma buffer", Key::Arg(1)),
];

/// Most bytes of one buffer (MAX_ORDER pages of a stock kernel).
const MAX: u64 = 4 << 20;

/// The state of this file.
#[derive(Default)]
pub struct State {
    /// Pools: size of a block, its alignment.
    pools: BTreeMap<u64, (u64, u64)>,
}

/// A zeroed buffer, and its address for the device at `handle`; 0 when there is none.
fn buffer(cx: &mut Cx, size: u64, align: u64, handle: u64) -> R<u64> {
    if size == 0 || size > MAX {
        return Ok(0);
    }
    let Some(at) = mm::guard::alloc(cx, size, align, true) else {
        return Ok(0);
    };
    cx.w64(handle, at)?;
    Ok(at)
}

/// Gives it back; an address that is none is told by the ledger.
fn free(cx: &mut Cx, at: u64) {
    if mm::guard::block_of(cx, at).is_some_and(|b| !b.freed && b.addr == at) {
        mm::guard::free(cx, at);
    }
}

/// dma_alloc_attrs(dev, size, handle, gfp, attrs).
fn dma_alloc(cx: &mut Cx, c: &Call) -> R {
    buffer(cx, c.a[1].next_multiple_of(map::PAGE), map::PAGE, c.a[2])
}

/// dma_free_attrs(dev, size, address, handle, attrs).
fn dma_free(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[2]);
    Ok(0)
}

fn drop_buffer(cx: &mut Cx, _: u64, at: u64) -> R<()> {
    free(cx, at);
    Ok(())
}

fn dmam_alloc(cx: &mut Cx, c: &Call) -> R {
    let at = dma_alloc(cx, c)?;
    if at != 0 {
        devres::add(cx, c.a[0], devres::Release::Kernel(drop_buffer), at);
    }
    Ok(at)
}

/// dmam_free_coherent(dev, size, address, handle).
fn dmam_free(cx: &mut Cx, c: &Call) -> R {
    if devres::take(cx, c.a[0], devres::Release::Kernel(drop_buffer), c.a[2]) {
        free(cx, c.a[2]);
    } else {
        crate::traps::warn(cx, "", "dmam_free_coherent")?;
    }
    Ok(0)
}

/// dma_map_page_attrs(dev, page, offset, size, direction, attrs): the page's own address.
fn dma_map_page(_: &mut Cx, c: &Call) -> R {
    let page = mm::pages::address_of(c.a[1]).unwrap_or(c.a[1]);
    Ok(page + c.a[2])
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn any_size(_: &mut Cx, _: &Call) -> R {
    Ok(u64::MAX)
}

/// dma_pool_create(name, dev, size, align, boundary).
fn pool_create(cx: &mut Cx, c: &Call) -> R {
    let [_, _, size, align, ..] = c.a;
    if size == 0 || size > MAX || align & align.wrapping_sub(1) != 0 && align != 0 {
        return Ok(0);
    }
    let at = mm::kernel_object(cx, 64)?;
    cx.dma.pools.insert(at, (size, align.clamp(8, map::PAGE)));
    Ok(at)
}

fn pool_destroy(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 && cx.dma.pools.remove(&c.a[0]).is_none() {
        cx.r64(c.a[0])?;
        trace::misuse(
            cx,
            "release-unheld",
            "no such pool",
            c.a[0],
            "dma_pool_destroy",
        );
    }
    Ok(0)
}

/// dma_pool_alloc(pool, gfp, handle).
fn pool_alloc(cx: &mut Cx, c: &Call) -> R {
    match cx.dma.pools.get(&c.a[0]).copied() {
        Some((size, align)) => buffer(cx, size, align, c.a[2]),
        None => {
            // Not a pool: the real function follows its words.
            cx.r64(c.a[0])?;
            Ok(0)
        }
    }
}

/// dma_pool_free(pool, address, handle).
fn pool_free(cx: &mut Cx, c: &Call) -> R {
    free(cx, c.a[1]);
    Ok(0)
}
