//! Scheduler calls that one CPU and one priority make simple (kernel/sched/core.c, kernel/smp.c,
//! kernel/stop_machine.c): priorities and masks are accepted, calls to other CPUs run here.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::context;
use crate::sched;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("io_schedule", io_schedule).sleeps(),
    behaves("io_schedule_timeout", io_schedule_timeout).sleeps(),
    behaves("schedule_timeout_idle", schedule_timeout_idle).sleeps(),
    behaves("schedule_hrtimeout", schedule_hrtimeout).sleeps(),
    behaves("schedule_hrtimeout_range", schedule_hrtimeout_range).sleeps(),
    behaves("schedule_hrtimeout_range_clock", schedule_hrtimeout_range).sleeps(),
    behaves("flush_signals", flush_signals),
    behaves("single_task_running", single_task_running),
    behaves("finish_rcuwait", finish_rcuwait),
    behaves("__cpuhp_setup_state", cpuhp_setup_state).sleeps(),
    behaves("__cpuhp_setup_state_cpuslocked", cpuhp_setup_state).sleeps(),
    behaves("__cpuhp_remove_state", cpuhp_remove_state).sleeps(),
    behaves("__cpuhp_remove_state_cpuslocked", cpuhp_remove_state).sleeps(),
    behaves("__cpuhp_state_add_instance", nothing).sleeps(),
    behaves("__cpuhp_state_remove_instance", nothing).sleeps(),
    behaves("set_user_nice", set_user_nice),
    behaves("sched_set_fifo", sched_set_fifo),
    behaves("sched_set_fifo_low", sched_set_fifo_low),
    behaves("sched_set_normal", sched_set_normal),
    behaves("sched_setscheduler", nothing),
    behaves("sched_setscheduler_nocheck", nothing),
    behaves("sched_setattr_nocheck", nothing),
    behaves("set_cpus_allowed_ptr", set_cpus_allowed_ptr),
    behaves("kthread_bind_mask", nothing),
    behaves("migrate_disable", nothing),
    behaves("migrate_enable", nothing),
    behaves("wake_up_state", wake_up_state),
    behaves("yield_to", yield_to).sleeps(),
    behaves("kick_process", nothing),
    behaves("smp_call_function_single", call_single),
    behaves("smp_call_function_single_async", call_single_async),
    behaves("smp_call_function_any", call_any),
    behaves("smp_call_function_many", nothing),
    behaves("smp_call_function", nothing),
    behaves("on_each_cpu_cond_mask", on_each_cpu_cond_mask),
    behaves("smp_call_on_cpu", smp_call_on_cpu).sleeps(),
    behaves("work_on_cpu", smp_call_on_cpu_plain).sleeps(),
    behaves("work_on_cpu_safe", smp_call_on_cpu_plain).sleeps(),
    behaves("stop_machine", stop_machine).sleeps(),
    behaves("cpus_read_lock", nothing).sleeps(),
    behaves("cpus_read_trylock", one),
    behaves("cpus_read_unlock", nothing),
    behaves("wake_up_all_idle_cpus", nothing),
    behaves("synchronize_hardirq", one),
];

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// DEFAULT_PRIO: nice 0.
const DEFAULT_PRIO: i32 = 120;
/// SCHED_NORMAL and SCHED_FIFO.
const NORMAL: u32 = 0;
const FIFO: u32 = 1;

/// Policy and priorities of a task, as headers read them; they decide nothing on the lab's one CPU.
pub(super) fn set_policy(cx: &Cx, ts: u64, policy: u32, nice: i32, realtime: u32) -> R<()> {
    let off = cx.off;
    let prio = match realtime {
        0 => DEFAULT_PRIO + nice.clamp(-20, 19),
        // MAX_RT_PRIO - 1: the higher the priority, the lower the number.
        level => 99 - level as i32,
    };
    let fixed = (realtime == 0).then_some(prio as u32);
    for (member, value) in [
        (off.task_policy, Some(policy)),
        (off.task_rt_priority, Some(realtime)),
        (off.task_prio, Some(prio as u32)),
        (off.task_normal_prio, Some(prio as u32)),
        (off.task_static_prio, fixed),
    ] {
        if let (true, Some(value)) = (member != crate::layout::NONE, value) {
            cx.w32(ts.wrapping_add(member), value)?;
        }
    }
    Ok(())
}

/// Nice values of a task that runs by them: of another nothing is changed but what it will have.
fn set_user_nice(cx: &mut Cx, c: &Call) -> R {
    let nice = c.int(1);
    if (-20..=19).contains(&nice) {
        set_policy(cx, c.a[0], NORMAL, nice, 0)?;
    }
    Ok(0)
}

fn sched_set_fifo(cx: &mut Cx, c: &Call) -> R {
    set_policy(cx, c.a[0], FIFO, 0, 50)?;
    Ok(0)
}

fn sched_set_fifo_low(cx: &mut Cx, c: &Call) -> R {
    set_policy(cx, c.a[0], FIFO, 0, 1)?;
    Ok(0)
}

fn sched_set_normal(cx: &mut Cx, c: &Call) -> R {
    set_policy(cx, c.a[0], NORMAL, c.int(1), 0)?;
    Ok(0)
}

/// A new task: SCHED_NORMAL, nice 0.
pub(super) fn default_policy(cx: &Cx, ts: u64) -> R<()> {
    set_policy(cx, ts, NORMAL, 0, 0)
}

fn one(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn io_schedule(cx: &mut Cx, _: &Call) -> R {
    sched::schedule(cx, "io_schedule", 0)?;
    Ok(0)
}

fn io_schedule_timeout(cx: &mut Cx, c: &Call) -> R {
    sched::timeout_in(cx, c.a[0])
}

fn schedule_timeout_idle(cx: &mut Cx, c: &Call) -> R {
    sched::set_state(cx, sched::UNINTERRUPTIBLE | 0x400)?;
    sched::timeout_in(cx, c.a[0])
}

/// `expires` is a pointer to a ktime, or NULL for no limit; 0 when it ran out, -EINTR otherwise.
fn hrtimeout(cx: &mut Cx, expires: u64, relative: bool) -> R {
    if expires == 0 {
        sched::schedule(cx, "schedule_hrtimeout", 0)?;
        return Ok(neg(errno::EINTR));
    }
    let when = cx.r64(expires)? as i64;
    let now = cx.clock.now;
    let until = if relative {
        now.saturating_add(when.max(0) as u64)
    } else {
        when.max(0) as u64
    };
    if until <= now {
        sched::set_state(cx, sched::RUNNING)?;
        return Ok(0);
    }
    sched::schedule_until(cx, Some(until), "schedule_hrtimeout", 0)?;
    sched::set_state(cx, sched::RUNNING)?;
    Ok(if cx.clock.now >= until {
        0
    } else {
        neg(errno::EINTR)
    })
}

fn schedule_hrtimeout(cx: &mut Cx, c: &Call) -> R {
    hrtimeout(cx, c.a[0], c.a[1] & 1 != 0)
}

fn schedule_hrtimeout_range(cx: &mut Cx, c: &Call) -> R {
    hrtimeout(cx, c.a[0], c.a[2] & 1 != 0)
}

fn set_cpus_allowed_ptr(cx: &mut Cx, c: &Call) -> R {
    // Only CPU 0 is there.
    Ok(if cx.r64(c.a[1])? & 1 != 0 {
        0
    } else {
        neg(errno::EINVAL)
    })
}

fn wake_up_state(cx: &mut Cx, c: &Call) -> R {
    match sched::by_struct(cx, c.a[0]) {
        Some(tid) => Ok(u64::from(sched::wake_state(cx, tid, c.a[1] as u32)?)),
        None => Ok(0),
    }
}

fn yield_to(cx: &mut Cx, _: &Call) -> R {
    sched::yield_now(cx)?;
    Ok(1)
}

/// Calls `func(info)` as an inter-processor call does: interrupts off.
fn call_here(cx: &mut Cx, func: u64, args: &[u64]) -> u64 {
    let (_, flags) = context::save(cx);
    context::set_irqs(cx, false);
    let result = cx.call_guest(func, args);
    context::set_irqs(cx, flags & 0x200 != 0);
    result
}

fn call_single(cx: &mut Cx, c: &Call) -> R {
    let [cpu, func, info, ..] = c.a;
    if cpu as u32 != 0 {
        return Ok(neg(errno::ENXIO));
    }
    call_here(cx, func, &[info]);
    Ok(0)
}

/// call_single_data_t: a list node and flags of 16 bytes, then the function and its argument.
fn call_single_async(cx: &mut Cx, c: &Call) -> R {
    let [cpu, csd, ..] = c.a;
    if cpu as u32 != 0 {
        return Ok(neg(errno::ENXIO));
    }
    let (func, info) = (cx.r64(csd + 16)?, cx.r64(csd + 24)?);
    call_here(cx, func, &[info]);
    Ok(0)
}

fn call_any(cx: &mut Cx, c: &Call) -> R {
    let [_, func, info, ..] = c.a;
    call_here(cx, func, &[info]);
    Ok(0)
}

fn on_each_cpu_cond_mask(cx: &mut Cx, c: &Call) -> R {
    let [cond, func, info, _, mask, ..] = c.a;
    if cx.r64(mask)? & 1 == 0 || cond != 0 && cx.call_guest(cond, &[0, info]) as u8 == 0 {
        return Ok(0);
    }
    call_here(cx, func, &[info]);
    Ok(0)
}

fn smp_call_on_cpu(cx: &mut Cx, c: &Call) -> R {
    let [cpu, func, par, ..] = c.a;
    if cpu as u32 != 0 {
        return Ok(neg(errno::ENXIO));
    }
    Ok(i64::from(cx.call_guest(func, &[par]) as i32) as u64)
}

fn smp_call_on_cpu_plain(cx: &mut Cx, c: &Call) -> R {
    let [_, func, arg, ..] = c.a;
    Ok(cx.call_guest(func, &[arg]))
}

fn stop_machine(cx: &mut Cx, c: &Call) -> R {
    let [func, data, ..] = c.a;
    context::add(cx, 1);
    let result = call_here(cx, func, &[data]);
    context::add(cx, -1);
    Ok(i64::from(result as i32) as u64)
}

fn flush_signals(cx: &mut Cx, c: &Call) -> R {
    if let Some(tid) = sched::by_struct(cx, c.a[0]) {
        cx.sched.tasks[tid as usize].signals = 0;
    }
    let at = c.a[0] + cx.off.task_thread_info_flags;
    let flags = cx.r64(at)?;
    cx.w64(at, flags & !(1 << 2))?;
    Ok(0)
}

fn single_task_running(cx: &mut Cx, _: &Call) -> R {
    Ok(u64::from(!sched::others_wait(cx)))
}

fn finish_rcuwait(cx: &mut Cx, c: &Call) -> R {
    cx.w64(c.a[0], 0)?;
    sched::set_state(cx, sched::RUNNING)?;
    Ok(0)
}

/// CPUHP_BP_PREPARE_DYN and CPUHP_AP_ONLINE_DYN with their ends, as include/linux/cpuhotplug.h of 6.1 has
/// them: they ask for a state of one's own, whose number is the answer.
const DYNAMIC: [std::ops::Range<i32>; 2] = [70..91, 201..232];

/// (state, name, invoke, startup, teardown, multi): startup runs for the one CPU that is up.
fn cpuhp_setup_state(cx: &mut Cx, c: &Call) -> R {
    let [state, name, invoke, startup, teardown, multi] = c.a;
    let asked = state as i32;
    let mut number = asked;
    while cx.sched.hotplug.contains_key(&number) {
        if !DYNAMIC.iter().any(|range| range.contains(&asked)) {
            return Ok(neg(errno::EBUSY));
        }
        number += 1;
    }
    if invoke as u8 != 0 && startup != 0 && multi as u8 == 0 {
        let result = cx.call_guest(startup, &[0]) as i32;
        if result != 0 {
            return Ok(i64::from(result) as u64);
        }
    }
    cx.sched.hotplug.insert(number, teardown);
    let title = cx.text(name).unwrap_or_default();
    let function = if startup != 0 { startup } else { teardown };
    crate::audit::arm(cx, "cpu hotplug state", number as u64, function, &title);
    // A state of one's own is answered by its number, a fixed one by 0.
    Ok(if DYNAMIC.iter().any(|range| range.contains(&asked)) {
        number as u64
    } else {
        0
    })
}

fn cpuhp_remove_state(cx: &mut Cx, c: &Call) -> R {
    let number = c.a[0] as i32;
    let teardown = cx.sched.hotplug.remove(&number).unwrap_or(0);
    crate::audit::disarm(cx, "cpu hotplug state", number as u64);
    if c.a[1] as u8 != 0 && teardown != 0 {
        cx.call_guest(teardown, &[0]);
    }
    Ok(0)
}
