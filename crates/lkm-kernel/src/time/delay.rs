//! Busy waits (arch/x86/lib/delay.c): virtual time passes, interrupts come. What waits so for more than a
//! minute without a sleep counts as stuck.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::traps::busy;

pub(crate) const ROWS: &[Row] = &[
    behaves("__udelay", udelay),
    behaves("__ndelay", ndelay),
    behaves("__const_udelay", const_udelay),
    behaves("__delay", delay),
];

fn udelay(cx: &mut Cx, c: &Call) -> R {
    busy(cx, c.a[0].saturating_mul(1000).clamp(1, 1 << 40), "udelay");
    Ok(0)
}

fn ndelay(cx: &mut Cx, c: &Call) -> R {
    busy(cx, c.a[0].clamp(1, 1 << 40), "ndelay");
    Ok(0)
}

/// The argument is in units of 2^-32 seconds.
fn const_udelay(cx: &mut Cx, c: &Call) -> R {
    let ns = (u128::from(c.a[0]) * 1_000_000_000) >> 32;
    busy(cx, (ns as u64).clamp(1, 1 << 40), "udelay");
    Ok(0)
}

/// Cycles of the 1 GHz that tsc_khz says.
fn delay(cx: &mut Cx, c: &Call) -> R {
    busy(cx, c.a[0].clamp(1, 1 << 40), "__delay");
    Ok(0)
}
