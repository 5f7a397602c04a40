//! Per-CPU memory and counters (mm/percpu.c, lib/percpu_counter.c). There is one CPU; a per-CPU pointer is an
//! offset into its area.

use crate::abi::{Call, R, errno, neg};
use crate::hash::Map;
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, data, trace};
use lkm_machine::map;

const fn takes(name: &'static str) -> Row {
    behaves(name, alloc)
        .acquires("percpu", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps()
}

pub(crate) const ROWS: &[Row] = &[
    takes("__alloc_percpu"),
    takes("__alloc_reserved_percpu"),
    behaves("__alloc_percpu_gfp", alloc)
        .acquires("percpu", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(2),
    behaves("pcpu_alloc_noprof", alloc)
        .acquires("percpu", Key::Ret, When::Pointer)
        .fails(Fails::Null)
        .sleeps_gfp(3),
    behaves("free_percpu", free_percpu),
    behaves("per_cpu_ptr_to_phys", to_phys),
    behaves("__percpu_counter_init", counter_init)
        .acquires("percpu_counter", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps_gfp(2),
    behaves("percpu_counter_destroy", counter_destroy).releases("percpu_counter", Key::Arg(0)),
    behaves("percpu_counter_add_batch", counter_add),
    behaves("percpu_counter_set", counter_set),
    behaves("percpu_counter_sync", counter_sync),
    behaves("__percpu_counter_sum", counter_sum),
    behaves("__percpu_counter_compare", counter_compare),
];

/// Live and free pieces.
#[derive(Default)]
pub struct State {
    live: Map<u64, u64>,
    free: Map<u64, Vec<u64>>,
}

/// PCPU_MIN_UNIT_SIZE: the largest piece.
const LARGEST: u64 = 32 << 10;

fn take(cx: &mut Cx, size: u64, align: u64) -> R {
    if size == 0 || size > LARGEST || align > 4096 || !align.is_power_of_two() {
        return Ok(0);
    }
    let class = size.next_power_of_two().max(16);
    let reused = cx.percpu.free.get_mut(&class).and_then(Vec::pop);
    let Some(at) = reused.or_else(|| data::alloc_percpu(cx, class, class.min(4096))) else {
        return Ok(0);
    };
    cx.fill(map::PERCPU.start + at, 0, class)?;
    cx.percpu.live.insert(at, class);
    Ok(at)
}

fn alloc(cx: &mut Cx, c: &Call) -> R {
    take(cx, c.a[0], c.a[1].max(1))
}

fn give(cx: &mut Cx, at: u64) -> bool {
    let Some(class) = cx.percpu.live.remove(&at) else {
        return false;
    };
    // A late reader finds the poison of freed memory.
    let _ = cx.fill(map::PERCPU.start + at, 0x6b, class);
    cx.percpu.free.entry(class).or_default().push(at);
    true
}

fn free_percpu(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0];
    if at == 0 {
        return Ok(0);
    }
    if !give(cx, at) {
        let detail = format!("per-CPU offset {at:#x} is not allocated");
        trace::misuse(cx, "invalid-free", &detail, at, "free_percpu");
        return Ok(0);
    }
    let (tid, site) = (crate::sched::current_tid(cx), trace::site(cx));
    trace::emit(
        cx,
        lkm_trace::Event::Release {
            kind: "percpu".into(),
            key: at,
            function: "free_percpu".into(),
            tid,
            site,
        },
    );
    Ok(0)
}

fn to_phys(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0])
}

fn local(cx: &Cx, counter: u64) -> R {
    Ok(map::PERCPU.start + cx.r64(counter + cx.off.percpu_counter_counters)?)
}

fn counter_init(cx: &mut Cx, c: &Call) -> R {
    let at = take(cx, 4, 4)?;
    if at == 0 {
        return Ok(neg(errno::ENOMEM));
    }
    cx.w32(c.a[0], 0)?;
    cx.w64(c.a[0] + cx.off.percpu_counter_count, c.a[1])?;
    cx.w64(c.a[0] + cx.off.percpu_counter_counters, at)?;
    Ok(0)
}

fn counter_destroy(cx: &mut Cx, c: &Call) -> R {
    let place = c.a[0] + cx.off.percpu_counter_counters;
    let at = cx.r64(place)?;
    if at != 0 {
        give(cx, at);
        cx.w64(place, 0)?;
    }
    Ok(0)
}

/// Adds in the CPU's own word until that reaches the batch.
fn counter_add(cx: &mut Cx, c: &Call) -> R {
    let (at, amount, batch) = (c.a[0], c.a[1] as i64, i64::from(c.a[2] as i32));
    let own = local(cx, at)?;
    let sum = i64::from(cx.r32(own)? as i32).wrapping_add(amount);
    if sum.unsigned_abs() >= batch.unsigned_abs() {
        let total = cx.off.percpu_counter_count + at;
        let count = cx.r64(total)?.wrapping_add(sum as u64);
        cx.w64(total, count)?;
        cx.w32(own, 0)?;
    } else {
        cx.w32(own, sum as u32)?;
    }
    Ok(0)
}

fn counter_set(cx: &mut Cx, c: &Call) -> R {
    let own = local(cx, c.a[0])?;
    cx.w32(own, 0)?;
    cx.w64(c.a[0] + cx.off.percpu_counter_count, c.a[1])?;
    Ok(0)
}

fn sum(cx: &Cx, at: u64) -> R<i64> {
    let own = i64::from(cx.r32(local(cx, at)?)? as i32);
    Ok((cx.r64(at + cx.off.percpu_counter_count)? as i64).wrapping_add(own))
}

fn counter_sync(cx: &mut Cx, c: &Call) -> R {
    let total = sum(cx, c.a[0])?;
    cx.w64(c.a[0] + cx.off.percpu_counter_count, total as u64)?;
    let own = local(cx, c.a[0])?;
    cx.w32(own, 0)?;
    Ok(0)
}

fn counter_sum(cx: &mut Cx, c: &Call) -> R {
    Ok(sum(cx, c.a[0])? as u64)
}

fn counter_compare(cx: &mut Cx, c: &Call) -> R {
    let order = sum(cx, c.a[0])?.cmp(&(c.a[1] as i64));
    Ok(order as i64 as u64)
}
