//! The clocks (kernel/time/timekeeping.c): all read the virtual one. Each reading lets a moment pass, so that
//! a loop that waits for a clock ends.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("ktime_get", ktime_get),
    behaves("ktime_get_raw", ktime_get),
    behaves("ktime_get_boottime", ktime_get),
    behaves("ktime_get_mono_fast_ns", ktime_get),
    behaves("ktime_get_raw_fast_ns", ktime_get),
    behaves("ktime_get_boot_fast_ns", ktime_get),
    behaves("ktime_get_real", ktime_get_real),
    behaves("ktime_get_clocktai", ktime_get_real),
    behaves("ktime_get_real_fast_ns", ktime_get_real),
    behaves("ktime_get_tai_fast_ns", ktime_get_real),
    behaves("ktime_get_with_offset", ktime_get_with_offset),
    behaves("ktime_get_coarse_with_offset", ktime_get_with_offset),
    behaves("ktime_mono_to_any", ktime_mono_to_any),
    behaves("ktime_get_seconds", ktime_get_seconds),
    behaves("ktime_get_real_seconds", ktime_get_real_seconds),
    behaves("__ktime_get_real_seconds", ktime_get_real_seconds),
    behaves("ktime_get_resolution_ns", ktime_get_resolution_ns),
    behaves("ktime_get_ts64", ktime_get_ts64),
    behaves("ktime_get_raw_ts64", ktime_get_ts64),
    behaves("ktime_get_coarse_ts64", ktime_get_ts64),
    behaves("ktime_get_real_ts64", ktime_get_real_ts64),
    behaves("ktime_get_coarse_real_ts64", ktime_get_real_ts64),
    behaves("getboottime64", getboottime64),
    behaves("get_jiffies_64", get_jiffies_64),
    behaves("local_clock", ktime_get),
    behaves("sched_clock", ktime_get),
    behaves("sched_clock_cpu", ktime_get),
    behaves("get_cycles", ktime_get),
    behaves("random_get_entropy_fallback", ktime_get),
];

/// The wall clock's lead on the monotonic one, in nanoseconds: a fixed day, so that runs repeat.
pub(crate) const WALL: u64 = 1_700_000_000_000_000_000;
/// Nanoseconds that reading a clock takes.
const READING: u64 = 100;
const SECOND: u64 = 1_000_000_000;

fn read(cx: &mut Cx) -> u64 {
    crate::time::pass(cx, READING);
    cx.clock.now
}

fn ktime_get(cx: &mut Cx, _: &Call) -> R {
    Ok(read(cx))
}

fn ktime_get_real(cx: &mut Cx, _: &Call) -> R {
    Ok(read(cx) + WALL)
}

/// enum tk_offsets: TK_OFFS_REAL 0, TK_OFFS_BOOT 1, TK_OFFS_TAI 2.
fn lead(offs: u64) -> u64 {
    if offs as u32 == 1 { 0 } else { WALL }
}

fn ktime_get_with_offset(cx: &mut Cx, c: &Call) -> R {
    Ok(read(cx) + lead(c.a[0]))
}

fn ktime_mono_to_any(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0].wrapping_add(lead(c.a[1])))
}

fn ktime_get_seconds(cx: &mut Cx, _: &Call) -> R {
    Ok(read(cx) / SECOND)
}

fn ktime_get_real_seconds(cx: &mut Cx, _: &Call) -> R {
    Ok((read(cx) + WALL) / SECOND)
}

fn ktime_get_resolution_ns(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn store(cx: &Cx, at: u64, ns: u64) -> R {
    cx.w64(at, ns / SECOND)?;
    cx.w64(at + 8, ns % SECOND)?;
    Ok(0)
}

fn ktime_get_ts64(cx: &mut Cx, c: &Call) -> R {
    let now = read(cx);
    store(cx, c.a[0], now)
}

fn ktime_get_real_ts64(cx: &mut Cx, c: &Call) -> R {
    let now = read(cx) + WALL;
    store(cx, c.a[0], now)
}

fn getboottime64(cx: &mut Cx, c: &Call) -> R {
    store(cx, c.a[0], WALL)
}

fn get_jiffies_64(cx: &mut Cx, _: &Call) -> R {
    crate::time::pass(cx, READING);
    Ok(crate::time::jiffies(cx))
}
