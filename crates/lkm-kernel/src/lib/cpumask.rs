//! CPU masks that are allocated (lib/cpumask.c): as many words as the machine has processors for, one.

use crate::Cx;
use crate::abi::{Call, R};
use crate::mm::{pages, slab};
use crate::table::{Fails, Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("alloc_cpumask_var_node", alloc)
        .fails(Fails::False)
        .sleeps_gfp(1),
    behaves("zalloc_cpumask_var_node", alloc_zero)
        .fails(Fails::False)
        .sleeps_gfp(1),
    behaves("alloc_cpumask_var", alloc)
        .fails(Fails::False)
        .sleeps_gfp(1),
    behaves("zalloc_cpumask_var", alloc_zero)
        .fails(Fails::False)
        .sleeps_gfp(1),
    behaves("free_cpumask_var", free),
];

/// cpumask_size() of a machine with up to 64 processors.
const SIZE: u64 = 8;
/// __GFP_ZERO.
const ZERO: u64 = 0x100;

fn make(cx: &mut Cx, at: u64, gfp: u64) -> R {
    let mask = slab::alloc(cx, SIZE, gfp)?;
    if mask != 0 {
        pages::acquired(cx, "cpumask", mask, SIZE, "alloc_cpumask_var");
    }
    cx.w64(at, mask)?;
    Ok(u64::from(mask != 0))
}

fn alloc(cx: &mut Cx, c: &Call) -> R {
    make(cx, c.a[0], c.a[1])
}

fn alloc_zero(cx: &mut Cx, c: &Call) -> R {
    make(cx, c.a[0], c.a[1] | ZERO)
}

fn free(cx: &mut Cx, c: &Call) -> R {
    if c.a[0] != 0 {
        crate::trace::released(cx, "cpumask", c.a[0]);
    }
    slab::free(cx, c.a[0], "free_cpumask_var")?;
    Ok(0)
}
