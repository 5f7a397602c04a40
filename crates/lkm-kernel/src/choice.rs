//! The kernel's questions to the source of choices (see [`lkm_machine::choice`]), and what an answer does: a call
//! that is made to fail, a task that is interrupted.

use crate::abi::{Call, R, neg};
use crate::table::{Fails, Row, Sleeps};
use crate::{Cx, context, module, sched, trace};
use lkm_machine::choice::{Choices, Plain, What};
use lkm_machine::map;
use lkm_trace::Event;

/// The source, and how much it was asked.
pub struct State {
    source: Box<dyn Choices>,
    asked: u64,
    /// Questions that had more than one task to choose from.
    switches: u64,
    /// The module whose calls can be made to fail.
    module: String,
    points: u32,
}

impl Default for State {
    fn default() -> State {
        State {
            source: Box::new(Plain),
            asked: 0,
            switches: 0,
            module: String::new(),
            points: 0,
        }
    }
}

/// Points that are told in a record; a loop may come by one for ever.
const MAX_POINTS: u32 = 4096;
/// __GFP_NOFAIL.
const GFP_NOFAIL: u64 = 0x8000;

/// Answers come from `source` from now on; calls of `module` can be made to fail.
pub(crate) fn take(cx: &mut Cx, source: Box<dyn Choices>, module: &str) {
    cx.choices = State {
        source,
        module: module.into(),
        ..State::default()
    };
}

/// The run begins: what is chosen once.
pub(crate) fn begin(cx: &mut Cx) {
    let seed = choose(cx, What::Seed, u64::MAX);
    crate::lib::random::seed(cx, seed);
    let late = choose(cx, What::Clock, 1000);
    let now = cx.clock.now + late * 1_000_000;
    crate::time::advance(cx, now);
    let pages = choose(cx, What::Address, 256);
    cx.modules.next_addr = map::MODULES.start + pages * map::PAGE;
}

/// Asks. The answer is below `of`, and recorded unless it is the plain one.
pub(crate) fn choose(cx: &mut Cx, what: What, of: u64) -> u64 {
    let number = cx.choices.asked;
    cx.choices.asked += 1;
    let answer = cx
        .choices
        .source
        .answer(what, number, of)
        .min(of.saturating_sub(1));
    if answer != 0 {
        trace::emit(
            cx,
            Event::Choice {
                what: what.name().into(),
                number,
                answer,
            },
        );
    }
    answer
}

/// Which of `waiting` runnable tasks goes on.
pub(crate) fn next_task(cx: &mut Cx, waiting: usize) -> usize {
    if waiting < 2 {
        return 0;
    }
    cx.choices.switches += 1;
    choose(cx, What::Next, waiting as u64) as usize
}

/// Whether an RCU callback whose grace period is over runs a while later only, as it may.
pub(crate) fn callback_waits(cx: &mut Cx) -> bool {
    cx.choices.switches += 1;
    choose(cx, What::Grace, 2) == 1
}

/// A kernel function returns to module code: another task may run before it goes on, as on a kernel that
/// preempts or has more than one CPU. `woke`: the function woke a task.
pub(crate) fn preempt_point(cx: &mut Cx, woke: bool) {
    if !sched::others_wait(cx)
        || context::in_atomic(cx)
        || cx.sched.irq == sched::current(cx)
        || crate::rcu::reading(cx)
    {
        return;
    }
    cx.choices.switches += 1;
    let current = sched::current_tid(cx) as usize;
    let process = cx.sched.tasks[current].kind == lkm_trace::TaskKind::User;
    let what = match woke && !process {
        true => What::Wakeup,
        false => What::Preempt,
    };
    if choose(cx, what, 2) == 1 {
        sched::let_others(cx);
    }
}

/// Whether this call is made to fail, and with which value: nothing of it happens then.
pub(crate) fn fails(cx: &mut Cx, row: &'static Row, call: &Call) -> R<Option<u64>> {
    let value = match row.fails {
        Fails::No => return Ok(None),
        Fails::Null | Fails::False => 0,
        Fails::Errno(e) | Fails::ErrPtr(e) => neg(e),
    };
    if cx.choices.module.is_empty() {
        return Ok(None);
    }
    // For a tail call, too, it is known who called.
    let frames = &cx.sched.tasks[sched::current_tid(cx) as usize].frames;
    let place = frames.last().map_or(call.ret, |f| f.place);
    let caller = module::find_by_addr(cx, place);
    if caller.is_none_or(|m| cx.modules.list[m].name != cx.choices.module) {
        return Ok(None);
    }
    if let Sleeps::Gfp(arg) = row.sleeps
        && call.arg(cx, arg as usize)? & GFP_NOFAIL != 0
    {
        return Ok(None);
    }
    let number = cx.choices.asked;
    let failed = choose(cx, What::Fail, 2) == 1;
    if failed || cx.choices.points < MAX_POINTS {
        cx.choices.points += 1;
        let site = if failed {
            trace::site(cx)
        } else {
            lkm_trace::Site {
                pc: place,
                stack: Vec::new(),
            }
        };
        let tid = sched::current_tid(cx);
        trace::emit(
            cx,
            Event::Point {
                number,
                function: row.name.into(),
                failed,
                tid,
                site,
            },
        );
    }
    if !failed {
        return Ok(None);
    }
    match row.before {
        Some(before) if !before(cx, call)? => Ok(None),
        _ => Ok(Some(value)),
    }
}

/// How much was asked, at the end of a run.
pub(crate) fn told(cx: &mut Cx) {
    let (asked, switches) = (cx.choices.asked, cx.choices.switches);
    trace::emit(cx, Event::Asked { asked, switches });
}
