//! A module's life from end to end: load, use, exit, audit, and what is left is recorded.

use crate::abi::R;
use crate::drivers::fake;
use crate::module::{delete, load};
use crate::{Cx, boot, restore, sched, trace};
use lkm_machine::choice::{self, Choices};
use lkm_machine::fork::Record;
use lkm_trace::{End, Event, Site, TaskKind};
use std::rc::Rc;

/// A module to load, with its parameters.
#[derive(Clone)]
pub struct Input {
    /// Its name, as modules are named (underscores).
    pub name: String,
    /// Bytes of the uncompressed file.
    pub image: Rc<Vec<u8>>,
    /// Parameter string.
    pub params: String,
}

/// What to do with it.
#[derive(Clone)]
pub struct Plan {
    /// Loaded before it, in this order, and unloaded after it in reverse.
    pub with: Vec<Input>,
    /// The module to judge.
    pub module: Input,
    /// Load and unload again after the first time.
    pub cycles: u32,
    /// Who answers what is chance.
    pub answers: Answers,
    /// A driver finds the device that its table names first; after init it is taken from it and given back.
    pub probe: bool,
}

/// Where a run's choices come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answers {
    /// Every answer is the plain one.
    #[default]
    Plain,
    /// Those of a run that was: number of the question and answer, where it is not the plain one.
    List(Vec<(u64, u64)>),
    /// Another order of the tasks, one for each number.
    Explore(u64),
}

impl Answers {
    fn source(&self) -> Box<dyn Choices> {
        match self {
            Answers::Plain => Box::new(choice::Plain),
            Answers::List(answers) => Box::new(choice::Script::new(answers.clone())),
            Answers::Explore(number) => Box::new(choice::Explore::new(*number)),
        }
    }
}

/// A module of that name is loaded.
const EEXIST: i64 = -17;
/// How often others are let run between two calls of init or exit.
const EAGER: u32 = 400;
/// Virtual time that the use phase may take.
const USE: u64 = 60_000_000_000;
/// Virtual time that a load or unload may take before it counts as hung.
const CALL: u64 = 300_000_000_000;

/// Runs the plan. The record tells everything, the return value nothing.
pub fn run(cx: &mut Cx, record: Record, plan: &Plan) {
    crate::choice::take(cx, plan.answers.source(), &plan.module.name);
    if let Err(why) = boot::begin(cx, record, "rehearse") {
        finish(cx, End::Panic, &why);
        return;
    }
    cx.options.probe = plan.probe;
    for input in &plan.with {
        insert(cx, input);
    }
    let mut restored = 0;
    // A second load lives beside what the first left. With more, each starts from the same memory.
    let mark = (plan.cycles > 2).then(|| restore::mark(cx));
    for cycle in 0..plan.cycles.max(1) {
        // The second time accesses in front of an object fault as those behind it do the first time.
        crate::mm::guard::place_at_start(cx, cycle == 1);
        // And whatever waits for its time gets it between any two calls that init and exit make.
        cx.sched.eager = if cycle == 1 { EAGER } else { 0 };
        let loaded = insert(cx, &plan.module);
        let until = cx.clock.now + USE;
        sched::run_until(cx, until, |_| false);
        if cx.options.probe && loaded == Some(0) {
            let _ = process(cx, "bind", Box::new(|cx| fake::rebind(cx).map(|()| 0)));
            let until = cx.clock.now + USE;
            sched::run_until(cx, until, |_| false);
        }
        // What a dependency asked for is there already.
        if !matches!(loaded, Some(0 | EEXIST)) || !remove(cx, &plan.module.name) {
            break;
        }
        let until = cx.clock.now + USE;
        sched::run_until(cx, until, |_| false);
        if let Some(mark) = &mark {
            restored += u64::from(restore::restore(cx, mark));
        }
    }
    if mark.is_some() {
        trace::emit(cx, Event::Restored { times: restored });
    }
    if plan.probe {
        fake::none_made(cx);
    }
    for input in plan.with.iter().rev() {
        remove(cx, &input.name);
    }
    if let Some(why) = cx.sched.panicked.clone() {
        finish(cx, End::Panic, &why);
    } else if trace::full(cx) {
        finish(cx, End::Budget, "the record is full");
    } else if cx.sched.switches > sched::MAX_SWITCHES {
        finish(cx, End::Budget, "too many task switches");
    } else {
        blocked(cx);
        task_references(cx);
        finish(cx, End::Complete, "");
    }
}

fn finish(cx: &mut Cx, how: End, detail: &str) {
    crate::choice::told(cx);
    let time = cx.clock.now;
    trace::emit(
        cx,
        Event::End {
            how,
            time,
            detail: detail.into(),
        },
    );
}

/// Runs `body` in a process of its own until it ends; its value, or None when it hangs or is killed.
pub fn process(cx: &mut Cx, comm: &str, body: sched::Body) -> Option<i64> {
    let made = sched::new_task(cx, comm, TaskKind::User, 0, Site::default(), body);
    let Ok(Some(tid)) = made else { return None };
    let _ = sched::wake(cx, tid);
    let limit = cx.clock.now + CALL;
    sched::run_until(cx, limit, |cx| cx.sched.tasks[tid as usize].dead);
    let task = &cx.sched.tasks[tid as usize];
    (task.dead && !task.oopsed).then_some(task.value)
}

fn insert(cx: &mut Cx, input: &Input) -> Option<i64> {
    let Input {
        name,
        image,
        params,
    } = input.clone();
    process(
        cx,
        "insmod",
        Box::new(move |cx: &mut Cx| -> R<i64> {
            let placed = cx.modules.list.len();
            let result = load::load_module(cx, &image, load::Args::Text(params), 0)?;
            if result < 0 && cx.modules.list.len() == placed {
                // The file was refused as such: the kernel knows no name for it.
                let errno = i64::from(result);
                trace::emit(
                    cx,
                    Event::LoadResult {
                        module: name,
                        errno,
                    },
                );
            }
            Ok(i64::from(result))
        }),
    )
}

fn remove(cx: &mut Cx, name: &str) -> bool {
    let owned = name.to_owned();
    let result = process(
        cx,
        "rmmod",
        Box::new(move |cx: &mut Cx| -> R<i64> {
            Ok(i64::from(delete::delete_module(
                cx,
                &owned,
                delete::O_NONBLOCK,
            )?))
        }),
    );
    result == Some(0)
}

/// Tells of kernel threads that have ended and whose structure stays: somebody took a reference by
/// get_task_struct, which is inlined and seen only by what it leaves.
fn task_references(cx: &mut Cx) {
    if cx.sched.reap != crate::mm::task_struct::Reap::Soon {
        return;
    }
    for tid in 0..cx.sched.tasks.len() {
        let task = &cx.sched.tasks[tid];
        let kept = task.dead
            && !task.oopsed
            && task.kind == TaskKind::Kthread
            && task.maker != 0
            && sched::by_struct(cx, task.ts) == Some(tid as u32);
        if !kept || cx.r32(task.ts + cx.off.task_usage).unwrap_or(0) == 0 {
            continue;
        }
        let (key, detail, maker) = (task.ts, task.comm.clone(), task.maker);
        let event = Event::Acquire {
            kind: "task reference".into(),
            key,
            size: 0,
            detail,
            function: "get_task_struct".into(),
            class: lkm_trace::Class::Behaves,
            tid: tid as u32,
            site: Site {
                pc: maker,
                stack: Vec::new(),
            },
        };
        trace::emit(cx, event);
    }
}

/// Tells which tasks wait for ever, if nothing else happens.
pub fn blocked(cx: &mut Cx) {
    for tid in 0..cx.sched.tasks.len() {
        let task = &cx.sched.tasks[tid];
        if task.dead || task.kind == TaskKind::Interrupt && !cx.sched.in_irq {
            continue;
        }
        let (function, on) = task.waits.unwrap_or(("schedule", 0));
        if function == "worker_thread" {
            // A worker without work waits for nothing that could fail to come.
            continue;
        }
        let state = cx.r32(task.ts + cx.off.task_state).unwrap_or(0);
        let site = task.frames.last().map_or_else(Site::default, |f| Site {
            pc: f.place,
            stack: crate::unwind::callers(cx, tid as u32),
        });
        trace::emit(
            cx,
            Event::Blocked {
                tid: tid as u32,
                function: function.into(),
                detail: awaited(cx, function, on),
                on,
                interruptible: state & sched::INTERRUPTIBLE != 0,
                killable: state & (sched::INTERRUPTIBLE | sched::WAKEKILL) != 0,
                site,
            },
        );
    }
}

/// Whom a blocked task waits for: the holder of a lock, or a thread.
fn awaited(cx: &Cx, function: &str, on: u64) -> String {
    if let Some(text) = crate::locking::describe(cx, on) {
        return text;
    }
    if function.contains("kthread")
        && let Some(task) = cx.sched.tasks.iter().rev().find(|t| t.ts == on)
    {
        return format!("kthread {}/{}", task.comm, task.pid);
    }
    String::new()
}
