//! Reference counts on all CPUs (lib/percpu-refcount.c). Headers count them, either in each CPU's own word or in one
//! for all; here they are in the second form from the beginning, in which they stay when they are killed.

use crate::abi::{Call, R, errno};
use crate::table::{Fails, Key, Row, When, behaves};
use crate::{Cx, mm, rcu};

pub(crate) const ROWS: &[Row] = &[
    behaves("percpu_ref_init", init)
        .acquires("percpu_ref", Key::Arg(0), When::Zero)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps_gfp(3),
    behaves("percpu_ref_exit", exit).releases("percpu_ref", Key::Arg(0)),
    behaves("percpu_ref_kill_and_confirm", kill),
    behaves("percpu_ref_is_zero", is_zero),
    behaves("percpu_ref_reinit", reinit),
    behaves("percpu_ref_resurrect", resurrect),
    behaves("percpu_ref_switch_to_atomic", switch_to_atomic),
    behaves("percpu_ref_switch_to_atomic_sync", switch_sync).sleeps(),
    behaves("percpu_ref_switch_to_percpu", nothing),
];

/// __PERCPU_REF_ATOMIC and __PERCPU_REF_DEAD, in the low bits of percpu_count_ptr.
const ATOMIC: u64 = 1;
const DEAD: u64 = 2;
const FLAG_BITS: u32 = 2;
/// PERCPU_REF_INIT_DEAD and PERCPU_REF_ALLOW_REINIT.
const INIT_DEAD: u64 = 2;
const ALLOW_REINIT: u64 = 4;
/// Bytes of a struct percpu_ref_data, at least.
const SIZE: u64 = 64;

fn pointer(cx: &Cx, reference: u64) -> R {
    Ok(cx.r64(reference.wrapping_add(cx.off.percpu_ref_ptr))?)
}

fn set_pointer(cx: &Cx, reference: u64, value: u64) -> R<()> {
    Ok(cx.w64(reference.wrapping_add(cx.off.percpu_ref_ptr), value)?)
}

fn data(cx: &Cx, reference: u64) -> R {
    Ok(cx.r64(reference.wrapping_add(cx.off.percpu_ref_data))?)
}

/// Takes references, or gives them back; with the last one goes what they were on.
fn count(cx: &mut Cx, reference: u64, by: i64) -> R<()> {
    let data = data(cx, reference)?;
    let at = data.wrapping_add(cx.off.percpu_ref_data_count);
    let left = cx.r64(at)?.wrapping_add_signed(by);
    cx.w64(at, left)?;
    if left == 0 && by < 0 {
        let release = cx.r64(data.wrapping_add(cx.off.percpu_ref_data_release))?;
        cx.call_guest(release, &[reference]);
    }
    Ok(())
}

/// percpu_ref_init(ref, release, flags, gfp).
fn init(cx: &mut Cx, c: &Call) -> R {
    let [reference, release, flags, ..] = c.a;
    let off = cx.off;
    let data = mm::kalloc(cx, SIZE)?;
    let dead = flags & INIT_DEAD != 0;
    cx.w64(data + off.percpu_ref_data_count, u64::from(!dead))?;
    cx.w64(data + off.percpu_ref_data_release, release)?;
    // Two bits behind the functions: force_atomic, allow_reinit.
    let reinit = flags & (INIT_DEAD | ALLOW_REINIT) != 0;
    cx.w8(data + off.percpu_ref_data_confirm + 8, 2 * u8::from(reinit))?;
    cx.w64(reference + off.percpu_ref_data, data)?;
    set_pointer(cx, reference, ATOMIC | if dead { DEAD } else { 0 })?;
    Ok(0)
}

fn exit(cx: &mut Cx, c: &Call) -> R {
    let data = data(cx, c.a[0])?;
    if data == 0 {
        return Ok(0);
    }
    let left = cx.r64(data.wrapping_add(cx.off.percpu_ref_data_count))?;
    set_pointer(cx, c.a[0], left << FLAG_BITS | ATOMIC | DEAD)?;
    cx.w64(c.a[0] + cx.off.percpu_ref_data, 0)?;
    mm::kfree(cx, data);
    Ok(0)
}

/// After a grace period, in which the reference is held: `confirm`, when there is one.
fn later(cx: &mut Cx, reference: u64, confirm: u64) -> R<()> {
    count(cx, reference, 1)?;
    rcu::after_grace_period(
        cx,
        Box::new(move |cx| {
            if confirm != 0 {
                cx.call_guest(confirm, &[reference]);
            }
            count(cx, reference, -1)
        }),
    );
    Ok(())
}

/// percpu_ref_kill_and_confirm(ref, confirm): the first reference is given back.
fn kill(cx: &mut Cx, c: &Call) -> R {
    let [reference, confirm, ..] = c.a;
    let now = pointer(cx, reference)?;
    if now & DEAD != 0 {
        crate::traps::warn(cx, "", "percpu_ref_kill_and_confirm")?;
    }
    set_pointer(cx, reference, now | DEAD)?;
    later(cx, reference, confirm)?;
    count(cx, reference, -1)?;
    Ok(0)
}

fn is_zero(cx: &mut Cx, c: &Call) -> R {
    let left = match data(cx, c.a[0])? {
        0 => pointer(cx, c.a[0])? >> FLAG_BITS,
        data => cx.r64(data.wrapping_add(cx.off.percpu_ref_data_count))?,
    };
    Ok(u64::from(left == 0))
}

fn resurrect(cx: &mut Cx, c: &Call) -> R {
    let now = pointer(cx, c.a[0])?;
    if now & DEAD == 0 {
        crate::traps::warn(cx, "", "percpu_ref_resurrect")?;
    }
    set_pointer(cx, c.a[0], now & !DEAD)?;
    count(cx, c.a[0], 1)?;
    Ok(0)
}

fn reinit(cx: &mut Cx, c: &Call) -> R {
    if is_zero(cx, c)? == 0 {
        crate::traps::warn(cx, "", "percpu_ref_reinit")?;
    }
    resurrect(cx, c)
}

fn switch_to_atomic(cx: &mut Cx, c: &Call) -> R {
    later(cx, c.a[0], c.a[1])?;
    Ok(0)
}

fn switch_sync(cx: &mut Cx, c: &Call) -> R {
    pointer(cx, c.a[0])?;
    rcu::barrier(cx)?;
    Ok(0)
}

/// Where it is counted makes no difference on one CPU.
fn nothing(cx: &mut Cx, c: &Call) -> R {
    pointer(cx, c.a[0])?;
    Ok(0)
}
