//! What the CPU's exceptions become: fixups, WARN and BUG, emulated instructions, and the oops that kills a
//! task (arch/x86/kernel/traps.c, arch/x86/mm/fault.c, lib/bug.c, kernel/panic.c).

mod emulate;
mod oops;

use crate::abi::{R, Stop};
use crate::{Cx, context, module, sched, trace, unwind};
use lkm_machine::{Cause, Fault, Regs, Trap, map};
use lkm_trace::{Event, Phase, Site, TaskEnd, TaskKind};

pub(crate) use emulate::patch_pauses;

/// Alarms without a kernel call after which guest code counts as stuck.
const STUCK_ALARMS: u32 = 40;

/// State of the trap handling.
#[derive(Default)]
pub struct State {
    /// Oopses so far.
    pub oopses: u32,
    alarms: u32,
    calls_at_alarm: u64,
    spins: u32,
    /// Gate calls so far.
    pub calls: u64,
    /// Places where `pause` was replaced by a trap.
    pub pauses: crate::hash::Set<u64>,
}

/// A trap of guest code. Returns when the guest goes on.
pub(crate) fn handle(cx: &mut Cx, trap: &mut Trap) {
    let rip = trap.regs.rip;
    if trap.cause == Cause::Alarm {
        return alarm(cx, trap);
    }
    if let Some(&(_, _, landing)) = cx.symbols.fixups.iter().find(|f| rip >= f.0 && rip < f.1)
        && matches!(trap.cause, Cause::PageFault | Cause::GeneralProtection)
    {
        trap.regs.rip = landing;
        return;
    }
    if let Some(index) = module::find_by_addr(cx, rip) {
        if matches!(trap.cause, Cause::PageFault | Cause::GeneralProtection)
            && let Ok(found) = cx.modules.list[index]
                .extable
                .binary_search_by_key(&rip, |e| e.0)
        {
            trap.regs.rip = cx.modules.list[index].extable[found].1;
            return;
        }
        if trap.cause == Cause::InvalidOpcode && ud2(cx, index, trap) {
            return;
        }
        if emulate::emulate(cx, trap) {
            return;
        }
    }
    die(cx, trap)
}

/// ud2: a WARN goes on behind it, a BUG does not.
fn ud2(cx: &mut Cx, index: usize, trap: &mut Trap) -> bool {
    let rip = trap.regs.rip;
    const WARNING: u16 = 1;
    let Some((_, file, line, flags)) = cx.modules.list[index]
        .bugs
        .iter()
        .find(|b| b.0 == rip)
        .cloned()
    else {
        return false;
    };
    if flags & WARNING == 0 {
        return false;
    }
    const NO_CUT_HERE: u16 = 8;
    const ONCE: u16 = 2;
    const DONE: u16 = 4;
    if flags & ONCE != 0 {
        if flags & DONE != 0 {
            trap.regs.rip += 2;
            return true;
        }
        if let Some(bug) = cx.modules.list[index].bugs.iter_mut().find(|b| b.0 == rip) {
            bug.3 |= DONE;
        }
    }
    if flags & NO_CUT_HERE == 0 {
        crate::printk::log(cx, 4, "------------[ cut here ]------------\n");
    }
    let place = format!("{file}:{line}");
    oops::warning(cx, &place, &trap.regs);
    fault_event(cx, "warn", &trap.regs, 0, false, false, false);
    trap.regs.rip += 2;
    true
}

/// The call trace of a task that does not run (show_stack).
pub(crate) fn show_stack(cx: &mut Cx, tid: sched::Tid) {
    let steps = unwind::trace_kernel(cx, tid);
    oops::call_trace(cx, 6, &steps);
}

/// WARN() of a modelled kernel function. `text` is printed before the banner.
pub fn warn(cx: &mut Cx, text: &str, function: &str) -> R<()> {
    crate::printk::log(cx, 4, "------------[ cut here ]------------\n");
    if !text.is_empty() {
        crate::printk::log(cx, 4, text);
    }
    oops::warning_in_kernel(cx, function);
    let site = trace::site(cx);
    let (tid, (module, phase)) = (sched::current_tid(cx), where_in_life(cx, site.pc));
    trace::emit(
        cx,
        Event::Fault {
            kind: "warn".into(),
            module,
            phase,
            tid,
            pc: site.pc,
            address: 0,
            write: false,
            exec: false,
            about: text.trim_end().into(),
            object: 0,
            function: function.into(),
            fatal: false,
            site,
        },
    );
    Ok(())
}

/// dump_stack().
pub(crate) fn dump_stack(cx: &mut Cx) {
    oops::dump_stack(cx);
}

/// The module of an address and the phase it is in.
fn where_in_life(cx: &Cx, pc: u64) -> (String, Phase) {
    match module::find_by_addr(cx, pc) {
        Some(index) => {
            let m = &cx.modules.list[index];
            (m.name.clone(), m.phase.unwrap_or(Phase::Load))
        }
        None => (String::new(), Phase::Use),
    }
}

/// What is known of an address that could not be reached: words for the report, and the object's key.
fn about(cx: &Cx, addr: u64) -> (String, u64) {
    if addr < 4096 {
        return ("null".into(), 0);
    }
    if crate::abi::is_err(addr) || addr >= (-8192i64) as u64 {
        return (format!("error pointer {}", addr as i64), 0);
    }
    let stacks = map::STACKS;
    if stacks.holds(addr) && (addr - stacks.start) % 0x8000 < 0x4000 {
        return ("stack guard".into(), 0);
    }
    if let Some(block) = crate::mm::guard::block_of(cx, addr) {
        let off = addr.wrapping_sub(block.addr) as i64;
        let kind = if sched::by_struct(cx, block.addr).is_some() {
            "task_struct"
        } else {
            "object"
        };
        let words = if block.freed {
            format!("freed {kind} of {} bytes, offset {off}", block.size)
        } else if off >= block.size as i64 || off < 0 {
            format!("outside of {kind} of {} bytes, offset {off}", block.size)
        } else {
            format!("{kind} of {} bytes, offset {off}", block.size)
        };
        return (words, block.addr);
    }
    if let Some(index) = module::find_by_addr(cx, addr) {
        let m = &cx.modules.list[index];
        let words = if m.gone {
            format!("memory of unloaded module {}", m.name)
        } else if addr >= m.freed_init.0 && addr < m.freed_init.0 + m.freed_init.1 {
            format!("init section of {}", m.name)
        } else {
            format!("memory of module {}", m.name)
        };
        return (words, m.addr);
    }
    if map::USER.holds(addr) {
        return ("user memory".into(), 0);
    }
    ("nothing".into(), 0)
}

fn fault_event(
    cx: &mut Cx,
    kind: &str,
    regs: &Regs,
    address: u64,
    write: bool,
    exec: bool,
    fatal: bool,
) {
    let Some(tid) = sched::current(cx) else {
        return;
    };
    let steps = unwind::trace(cx, tid, regs.rip, regs.rsp, regs.rbp);
    let stack: Vec<u64> = steps
        .iter()
        .filter_map(|s| {
            if let unwind::Step::Guest(pc) = s {
                Some(*pc)
            } else {
                None
            }
        })
        .collect();
    let function = crate::symbols::name_at(cx, regs.rip)
        .unwrap_or_default()
        .to_owned();
    // The place is module code: the instruction itself, or who called what faulted.
    let pc = if module::find_by_addr(cx, regs.rip).is_some() {
        regs.rip
    } else if cx.r64(regs.rsp).is_ok_and(|ret| cx.is_call_return(ret)) {
        // A jump from the end of the function that the kernel had called.
        crate::tail_caller(cx, regs.rsp + 8)
    } else {
        stack.first().copied().unwrap_or(regs.rip)
    };
    let (module, phase) = where_in_life(cx, pc);
    let (about, object) = if kind == "page-fault" {
        match emulate::error_base(cx, regs, address) {
            Some(base) => (format!("error pointer {}", base as i64), 0),
            None => about(cx, address),
        }
    } else {
        (String::new(), 0)
    };
    trace::emit(
        cx,
        Event::Fault {
            kind: kind.into(),
            module,
            phase,
            tid,
            pc: regs.rip,
            address,
            write,
            exec,
            about,
            object,
            function,
            fatal,
            site: Site { pc, stack },
        },
    );
}

/// die(): the oops is printed and recorded, and the task is killed in the middle of what it does.
fn die(cx: &mut Cx, trap: &mut Trap) -> ! {
    let regs = trap.regs;
    let write = trap.error & 2 != 0;
    let exec = trap.error & 16 != 0;
    let stack_hit = {
        let (low, _) = cx.guest_stack(cx.current());
        trap.cause == Cause::PageFault
            && trap.addr < low
            && trap.addr >= low.saturating_sub(lkm_machine::GUEST_STACK)
    };
    let kind = match trap.cause {
        Cause::PageFault if stack_hit => "stack-overflow",
        Cause::PageFault => "page-fault",
        Cause::GeneralProtection => "general-protection",
        Cause::InvalidOpcode => "bug",
        Cause::Divide => "divide",
        Cause::Breakpoint => "breakpoint",
        Cause::Syscall => "syscall",
        Cause::Alarm | Cause::Other => "other",
    };
    match trap.cause {
        Cause::Syscall => trace::misuse(
            cx,
            "syscall",
            &format!("system call {}", trap.addr),
            regs.rip,
            "",
        ),
        _ if stack_hit => trace::misuse(
            cx,
            "stack-overflow",
            "the kernel stack is exhausted",
            trap.addr,
            "",
        ),
        _ => {}
    }
    oops::print(cx, trap, kind);
    fault_event(cx, kind, &regs, trap.addr, write, exec, true);
    kill(
        cx,
        if trap.cause == Cause::PageFault {
            9
        } else {
            11
        },
    )
}

/// An oops in a modelled kernel function, on behalf of the guest code that called it.
pub(crate) fn kernel_oops(cx: &mut Cx, stop: Stop, slot: Option<u32>) -> ! {
    let function = slot
        .and_then(|slot| cx.symbols.slots.get(slot as usize))
        .map_or("", |slot| slot.answer.name())
        .to_owned();
    let site = trace::site(cx);
    let tid = sched::current_tid(cx);
    let (kind, address, write, text) = match &stop {
        Stop::Fault(Fault { addr, write }) => ("page-fault", *addr, *write, String::new()),
        Stop::Bug(text) => ("bug", 0, false, text.clone()),
    };
    oops::print_in_kernel(cx, &stop, &function);
    let (module, phase) = where_in_life(cx, site.pc);
    let (about, object) = if kind == "page-fault" {
        about(cx, address)
    } else {
        (text, 0)
    };
    trace::emit(
        cx,
        Event::Fault {
            kind: kind.into(),
            module,
            phase,
            tid,
            pc: 0,
            address,
            write,
            exec: false,
            about,
            object,
            function,
            fatal: true,
            site,
        },
    );
    kill(
        cx,
        if matches!(stop, Stop::Fault(_)) {
            9
        } else {
            11
        },
    )
}

fn kill(cx: &mut Cx, signal: u32) -> ! {
    if let Some(tid) = sched::current(cx) {
        cx.sched.tasks[tid as usize].oops_signal = signal;
    }
    cx.traps.oopses += 1;
    module::taint_kernel(cx, module::taint::DIE);
    let in_interrupt = context::preempt_count(cx) & 0x001f_ff00 != 0
        || sched::current(cx)
            .is_some_and(|tid| cx.sched.tasks[tid as usize].kind == TaskKind::Interrupt);
    if in_interrupt {
        crate::printk::log(
            cx,
            0,
            "Kernel panic - not syncing: Fatal exception in interrupt\n",
        );
        cx.sched.panicked = Some("Fatal exception in interrupt".into());
    }
    sched::exit(cx, TaskEnd::Oops, -1)
}

/// The alarm found guest code running: time passes, others run; code that stays stuck is ended.
fn alarm(cx: &mut Cx, trap: &mut Trap) {
    if cx.traps.calls != cx.traps.calls_at_alarm {
        cx.traps.calls_at_alarm = cx.traps.calls;
        cx.traps.alarms = 0;
        return;
    }
    let alarms = cx.traps.alarms + 1;
    spin(cx, 10_000_000);
    // What others called meanwhile says nothing of this task.
    cx.traps.alarms = alarms;
    cx.traps.calls_at_alarm = cx.traps.calls;
    if alarms > STUCK_ALARMS {
        cx.traps.alarms = 0;
        stuck(cx, trap, "no kernel call for a long time");
    }
}

/// A busy wait: virtual time passes, interrupts come and others may run.
fn spin(cx: &mut Cx, ns: u64) {
    crate::time::pass(cx, ns);
    sched::interrupt_point(cx);
    if !context::in_atomic(cx) && sched::others_wait(cx) {
        // A task that spins in process context may be preempted; its state stays as it is.
        sched::let_others(cx);
    }
}

/// Busy waiting of one task without a sleep in between, in virtual nanoseconds, after which it counts as
/// stuck. The kernel's own watchdog speaks up after 22 seconds.
const BUSY: u64 = 60_000_000_000;

/// A kernel function that busy-waits (udelay and its like).
pub(crate) fn busy(cx: &mut Cx, ns: u64, function: &'static str) {
    spin(cx, ns);
    let Some(tid) = sched::current(cx) else {
        return;
    };
    let task = &mut cx.sched.tasks[tid as usize];
    task.spun = task.spun.saturating_add(ns);
    if task.spun > BUSY {
        trace::misuse(
            cx,
            "livelock",
            "busy-waits for more than a minute without an end",
            0,
            function,
        );
        lockup(cx, function);
    }
}

/// The running task spins for what never comes: it is taken off the CPU for good; in an interrupt the
/// whole machine is stuck.
pub(crate) fn lockup(cx: &mut Cx, why: &str) -> ! {
    let (comm, pid, interrupt) = sched::current(cx)
        .map(|tid| {
            let task = &cx.sched.tasks[tid as usize];
            (
                task.comm.clone(),
                task.pid,
                task.kind == TaskKind::Interrupt,
            )
        })
        .unwrap_or_default();
    crate::printk::log(
        cx,
        0,
        &format!("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [{comm}:{pid}]\n"),
    );
    if interrupt {
        cx.sched.panicked = Some(format!("hard lockup: spins for {why}"));
    }
    sched::exit(cx, TaskEnd::Killed, -1)
}

/// A `pause` of a spinning loop.
fn paused(cx: &mut Cx, trap: &mut Trap) {
    cx.traps.spins += 1;
    if cx.traps.calls != cx.traps.calls_at_alarm {
        cx.traps.calls_at_alarm = cx.traps.calls;
        cx.traps.spins = 0;
    }
    let spins = cx.traps.spins;
    spin(cx, 100_000);
    cx.traps.spins = spins;
    cx.traps.calls_at_alarm = cx.traps.calls;
    let tid = sched::current_tid(cx);
    cx.sched.tasks[tid as usize].spun += 100_000;
    if cx.traps.spins > 200_000 || cx.sched.tasks[tid as usize].spun > BUSY {
        cx.traps.spins = 0;
        stuck(cx, trap, "a loop that waits for what nothing changes");
    }
}

/// Code that never ends: the watchdog's finding; the task is taken off the CPU for good.
fn stuck(cx: &mut Cx, trap: &Trap, why: &str) -> ! {
    let rip = trap.regs.rip;
    let Some(tid) = sched::current(cx) else {
        sched::exit(cx, TaskEnd::Killed, -1)
    };
    let stack = unwind::trace(cx, tid, rip, trap.regs.rsp, trap.regs.rbp)
        .iter()
        .filter_map(|s| {
            if let unwind::Step::Guest(pc) = s {
                Some(*pc)
            } else {
                None
            }
        })
        .collect();
    let (comm, pid) = (
        cx.sched.tasks[tid as usize].comm.clone(),
        cx.sched.tasks[tid as usize].pid,
    );
    crate::printk::log(
        cx,
        0,
        &format!("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [{comm}:{pid}]\n"),
    );
    let event = Event::Misuse {
        what: "livelock".into(),
        detail: why.into(),
        key: rip,
        function: String::new(),
        tid,
        site: Site { pc: rip, stack },
    };
    trace::emit(cx, event);
    sched::exit(cx, TaskEnd::Killed, -1)
}

/// A kernel function was called so often without anything else happening that it counts as a livelock.
pub(crate) fn too_many_calls(cx: &mut Cx, name: &str) -> ! {
    trace::misuse(
        cx,
        "livelock",
        &format!("{name} was called without end"),
        0,
        name,
    );
    sched::exit(cx, TaskEnd::Killed, -1)
}
