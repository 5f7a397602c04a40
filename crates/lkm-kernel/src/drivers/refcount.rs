//! What refcount_t's headers call out of line (lib/refcount.c): the warnings on a bad count, and the puts that take
//! a lock with the last reference. The counter is the guest's word.

use crate::abi::{Call, R};
use crate::table::{Row, behaves};
use crate::{Cx, symbols, trace};

pub(crate) const ROWS: &[Row] = &[
    behaves("refcount_warn_saturate", warn_saturate),
    behaves("refcount_dec_if_one", dec_if_one),
    behaves("refcount_dec_not_one", dec_not_one),
    behaves("refcount_dec_and_mutex_lock", dec_and_mutex_lock).sleeps(),
    behaves("refcount_dec_and_lock", dec_and_lock),
    behaves("refcount_dec_and_lock_irqsave", dec_and_lock_irqsave),
];

/// REFCOUNT_SATURATED.
const SATURATED: u32 = 0xc000_0000;

fn warn_saturate(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], SATURATED)?;
    let text = match c.a[1] as u32 {
        0 | 1 => "saturated; leaking memory",
        2 => "addition on 0; use-after-free",
        3 => "underflow; use-after-free",
        4 => "decrement hit 0; leaking memory",
        _ => "unknown saturation event!?",
    };
    trace::misuse(cx, "refcount", text, c.a[0], "refcount_warn_saturate");
    crate::traps::warn(
        cx,
        &format!("refcount_t: {text}.\n"),
        "refcount_warn_saturate",
    )?;
    Ok(0)
}

fn dec_if_one(cx: &mut Cx, c: &Call) -> R {
    if cx.r32(c.a[0])? != 1 {
        return Ok(0);
    }
    cx.w32(c.a[0], 0)?;
    Ok(1)
}

/// Decrements unless the count is 1; whether it did (a saturated count counts as done).
fn not_one(cx: &mut Cx, at: u64) -> R<bool> {
    let count = cx.r32(at)?;
    if count == SATURATED {
        return Ok(true);
    }
    if count == 1 {
        return Ok(false);
    }
    if count == 0 {
        crate::traps::warn(
            cx,
            "refcount_t: underflow; use-after-free.\n",
            "refcount_dec_not_one",
        )?;
        trace::misuse(
            cx,
            "refcount",
            "underflow; use-after-free",
            at,
            "refcount_dec_not_one",
        );
        return Ok(true);
    }
    cx.w32(at, count - 1)?;
    Ok(true)
}

fn dec_not_one(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(not_one(cx, c.a[0])?))
}

/// Takes the lock and drops the last reference; gives the lock back when it was not the last after all.
fn with_lock(
    cx: &mut Cx,
    at: u64,
    lock: u64,
    take: &'static str,
    give: &'static str,
) -> R<Option<u64>> {
    if not_one(cx, at)? {
        return Ok(None);
    }
    let (take, give) = (symbols::address(cx, take), symbols::address(cx, give));
    let flags = cx.call_guest(take, &[lock]);
    let count = cx.r32(at)?;
    cx.w32(at, count.wrapping_sub(1))?;
    if count == 1 {
        return Ok(Some(flags));
    }
    cx.call_guest(give, &[lock, flags]);
    Ok(None)
}

fn dec_and_mutex_lock(cx: &mut Cx, c: &Call) -> R {
    let held = with_lock(cx, c.a[0], c.a[1], "mutex_lock", "mutex_unlock")?;
    Ok(u64::from(held.is_some()))
}

fn dec_and_lock(cx: &mut Cx, c: &Call) -> R {
    let held = with_lock(cx, c.a[0], c.a[1], "_raw_spin_lock", "_raw_spin_unlock")?;
    Ok(u64::from(held.is_some()))
}

fn dec_and_lock_irqsave(cx: &mut Cx, c: &Call) -> R {
    let held = with_lock(
        cx,
        c.a[0],
        c.a[1],
        "_raw_spin_lock_irqsave",
        "_raw_spin_unlock_irqrestore",
    )?;
    if let Some(flags) = held {
        cx.w64(c.a[2], flags)?;
    }
    Ok(u64::from(held.is_some()))
}
