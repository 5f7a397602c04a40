//! Call traces: the guest's frames by the module's ORC tables, and between them the kernel functions that the
//! task is inside of. Without ORC (or past its end) frames are found by scanning for return addresses.

use crate::Cx;
use crate::sched::Tid;

/// A line of a call trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A return address in the guest.
    Guest(u64),
    /// A kernel function, by gate slot.
    Kernel(u32),
}

const MAX_STEPS: usize = 48;

/// Return addresses in module code of the running kernel function's callers, the nearest call excluded.
pub fn callers(cx: &Cx, tid: Tid) -> Vec<u64> {
    let frames = &cx.sched.tasks[tid as usize].frames;
    let Some(frame) = frames.last() else {
        return Vec::new();
    };
    // Above the gate's frame: saved rbp, the return address, then the caller's own frame.
    let mut out = Vec::new();
    walk_segment(
        cx,
        frame.ret,
        frame.frame + 64,
        cx.r64(frame.frame + 48).unwrap_or(0),
        &mut |pc| {
            out.push(pc);
            out.len() < 8
        },
    );
    out
}

/// The whole trace of a task from `pc`, `sp`, `bp` outwards.
pub fn trace(cx: &Cx, tid: Tid, pc: u64, sp: u64, bp: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    walk_segment(cx, pc, sp, bp, &mut |pc| {
        steps.push(Step::Guest(pc));
        steps.len() < MAX_STEPS
    });
    outer(cx, tid, &mut steps);
    steps
}

/// The trace of a task that is inside of a kernel function.
pub fn trace_kernel(cx: &Cx, tid: Tid) -> Vec<Step> {
    let mut steps = Vec::new();
    outer(cx, tid, &mut steps);
    steps
}

fn outer(cx: &Cx, tid: Tid, steps: &mut Vec<Step>) {
    for frame in cx.sched.tasks[tid as usize].frames.iter().rev() {
        steps.push(Step::Kernel(frame.slot));
        if frame.frame == 0 {
            continue;
        }
        steps.push(Step::Guest(frame.ret));
        let bp = cx.r64(frame.frame + 48).unwrap_or(0);
        walk_segment(cx, frame.ret, frame.frame + 64, bp, &mut |pc| {
            steps.push(Step::Guest(pc));
            steps.len() < MAX_STEPS
        });
        if steps.len() >= MAX_STEPS {
            return;
        }
    }
}

/// Walks guest frames from one where execution is at `pc` with stack pointer `sp`; stops at the call that the
/// kernel made.
fn walk_segment(
    cx: &Cx,
    mut pc: u64,
    mut sp: u64,
    mut bp: u64,
    found: &mut dyn FnMut(u64) -> bool,
) {
    if pc == crate::sched::TAIL_CALL {
        // Above it is the kernel.
        return;
    }
    for _ in 0..MAX_STEPS {
        let next = crate::module::orc::step(cx, pc, sp, bp).or_else(|| scan(cx, sp, bp));
        let Some((ret, new_sp, new_bp)) = next else {
            return;
        };
        if cx.is_call_return(ret) || crate::module::find_by_addr(cx, ret).is_none() || !found(ret) {
            return;
        }
        (pc, sp, bp) = (ret, new_sp, new_bp);
    }
}

/// The next word on the stack that points into module text or ends the segment.
fn scan(cx: &Cx, sp: u64, bp: u64) -> Option<(u64, u64, u64)> {
    for slot in 0..512 {
        let at = sp + slot * 8;
        let word = cx.r64(at).ok()?;
        if cx.is_call_return(word)
            || crate::module::find_by_addr(cx, word)
                .is_some_and(|m| crate::module::is_text(cx, m, word))
        {
            return Some((word, at + 8, bp));
        }
    }
    None
}
