//! Tasks and who runs next (kernel/sched/core.c, kernel/fork.c, kernel/exit.c, as far as a module meets them).
//!
//! A task's state word, flags, pid, name and usage live in its guest task_struct, because headers inline
//! their use (`set_current_state`, `get_task_struct`); this file keeps what calls alone can reach. Task 0 of
//! the machine is the control program: it picks a task, runs it until it blocks, and moves the clock when
//! nothing can run.

pub(crate) mod bitwait;
pub mod completion;
pub(crate) mod eager;
pub(crate) mod extra;
mod hung;
pub mod identity;
mod leave;
mod rows;
mod signal;
pub(crate) mod swait;
pub mod wait;
pub(crate) mod waitqueue;

use crate::abi::{R, Stop};
use crate::hash::Map;
use crate::{Cx, trace};
use lkm_machine::TaskId;
use lkm_trace::{Event, Site, TaskEnd, TaskKind};
pub use signal::{send_signal, tell_killed};
use std::collections::VecDeque;

pub(crate) use rows::{JIFFY, ROWS, timeout_in};

/// Index of a task in [`State::tasks`]; never reused within a run.
pub type Tid = u32;

/// TASK_RUNNING.
pub const RUNNING: u32 = 0;
/// task_struct flags: a thread of the kernel.
pub(crate) const PF_KTHREAD: u32 = 0x0020_0000;
/// TASK_INTERRUPTIBLE.
pub const INTERRUPTIBLE: u32 = 1;
/// TASK_UNINTERRUPTIBLE.
pub const UNINTERRUPTIBLE: u32 = 2;
/// TASK_WAKEKILL.
pub const WAKEKILL: u32 = 0x100;
/// TASK_DEAD.
pub const DEAD: u32 = 0x80;
/// TASK_NORMAL: what wake_up_process wakes.
pub const NORMAL: u32 = INTERRUPTIBLE | UNINTERRUPTIBLE;

/// What a task's machine context does.
pub type Body = Box<dyn FnOnce(&mut Cx) -> R<i64>>;

/// Stands for the return address of a call that returns to the kernel at once: the same in every process.
pub const TAIL_CALL: u64 = 1;

/// A kernel function that a task is inside of, for call traces.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Gate slot of the function.
    pub slot: u32,
    /// Guest address of its argument frame.
    pub frame: u64,
    /// Return address in the guest.
    pub ret: u64,
    /// The place of the call for records: the return address; for a tail call the address behind the first byte of
    /// the function that the kernel had called, where no call can return to.
    pub place: u64,
}

/// A task.
pub struct Task {
    /// Its stacks.
    pub machine: TaskId,
    /// Process id.
    pub pid: u32,
    /// Name, at most 15 bytes.
    pub comm: String,
    /// What it is.
    pub kind: TaskKind,
    /// Guest address of its task_struct.
    pub ts: u64,
    /// Whether it has ended.
    pub dead: bool,
    /// Whether it was killed by an oops.
    pub oopsed: bool,
    /// The signal that the oops killed it with, as its parent sees it.
    pub oops_signal: u32,
    /// Whether it is on the run queue.
    pub queued: bool,
    /// Body, taken when it first runs.
    pub body: Option<Body>,
    /// Kernel functions it is inside of, outermost first.
    pub frames: Vec<Frame>,
    /// Pending signals, as bits (1 << signo).
    pub signals: u64,
    /// Signals a kernel thread allows.
    pub allowed: u64,
    /// How often it asked whether to give way, since it last did.
    pub asked: u32,
    /// Saved preempt_count while it does not run.
    pub preempt: u32,
    /// Saved interrupt flag while it does not run.
    pub irq: u64,
    /// What it last blocked on, for reports: kernel function and the object's address.
    pub waits: Option<(&'static str, u64)>,
    /// Whether CAP_SYS_MODULE is effective.
    pub capable: bool,
    /// Return value of its body.
    pub value: i64,
    /// Parent.
    pub parent: Tid,
    /// Where in the guest it was made; 0 when the kernel or a script made it.
    pub maker: u64,
    /// Virtual nanoseconds it has been busy-waiting since it last slept.
    pub spun: u64,
    /// Since when it has been blocked.
    pub since: u64,
    /// The hung-task detector has told about this wait.
    pub hung_told: bool,
    /// The wait queue it put itself on last.
    pub wait_queue: u64,
}

/// The scheduler's state.
#[derive(Default)]
pub struct State {
    /// All tasks of the run, by Tid.
    pub tasks: Vec<Task>,
    /// When structures of ended tasks go.
    pub reap: crate::mm::task_struct::Reap,
    /// Freed structures that the next tasks get.
    pub(crate) reusable: Vec<u64>,
    /// Structures that were another task's before.
    pub(crate) reused: crate::hash::Set<u64>,
    /// Those that have not ended, in the order they were made.
    live: Vec<Tid>,
    /// How often others are still let run between the calls of init and exit; 0: never.
    pub(crate) eager: u32,
    queue: VecDeque<Tid>,
    by_ts: Map<u64, Tid>,
    by_machine: Map<TaskId, Tid>,
    next_pid: u32,
    /// The interrupt context's task.
    pub irq: Option<Tid>,
    /// Set when the modelled kernel has panicked: nothing runs any more.
    pub panicked: Option<String>,
    finished: Vec<TaskId>,
    /// How many tasks were made runnable so far.
    pub wakes: u64,
    /// Switches made so far, to bound a run.
    pub switches: u64,
    /// Tasks inside their exit.
    leaving: std::collections::BTreeSet<Tid>,
    /// Interrupt context is in the middle of a callback (which may have blocked, against the rules).
    pub in_irq: bool,
    /// CPU hotplug states that were set up, with their teardown functions.
    hotplug: Map<i32, u64>,
}

impl State {
    /// How many tasks have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.live.len()
    }
}

/// Most tasks in a run.
const MAX_TASKS: usize = 3000;
/// Most tasks that a run ever makes.
const MAX_TASKS_EVER: usize = 100_000;
/// Most switches in a run, after which it is cut short.
pub const MAX_SWITCHES: u64 = 2_000_000;

/// The running task, or None in the control program.
pub fn current(cx: &Cx) -> Option<Tid> {
    cx.sched.by_machine.get(&cx.current()).copied()
}

/// The running task; the control program counts as none and gives Tid 0, the idle task.
pub fn current_tid(cx: &Cx) -> Tid {
    current(cx).unwrap_or(0)
}

/// The task whose task_struct is at `ts`.
pub fn by_struct(cx: &Cx, ts: u64) -> Option<Tid> {
    cx.sched.by_ts.get(&ts).copied()
}

/// The live task of a pid.
pub fn by_pid(cx: &Cx, pid: u32) -> Option<Tid> {
    let mut live = cx.sched.live.iter().copied();
    live.find(|&tid| cx.sched.tasks[tid as usize].pid == pid)
}

/// Makes a task that runs `body` when first scheduled. It is not woken yet.
pub fn new_task(
    cx: &mut Cx,
    comm: &str,
    kind: TaskKind,
    function: u64,
    site: Site,
    body: Body,
) -> R<Option<Tid>> {
    if cx.sched.live.len() >= MAX_TASKS || cx.sched.tasks.len() >= MAX_TASKS_EVER {
        return Ok(None);
    }
    let Ok(machine) = cx.new_task() else {
        return Ok(None);
    };
    let ts = crate::mm::task_struct::alloc(cx)?;
    let tid = cx.sched.tasks.len() as Tid;
    if cx.sched.next_pid == 0 {
        cx.sched.next_pid = 1000;
    }
    let pid = if kind == TaskKind::Interrupt {
        // Interrupts run in the idle task's place.
        0
    } else {
        cx.sched.next_pid += 1;
        cx.sched.next_pid
    };
    let comm: String = comm
        .chars()
        .scan(0, |n, c| {
            *n += c.len_utf8();
            (*n <= 15).then_some(c)
        })
        .collect();
    let (stack, _) = cx.guest_stack(machine);
    let off = cx.off;
    cx.w64(ts + off.task_stack, stack)?;
    cx.w32(ts + off.task_state, UNINTERRUPTIBLE)?;
    cx.w32(ts + off.task_pid, pid)?;
    cx.w32(ts + off.task_tgid, pid)?;
    let kthread_flag = if kind == TaskKind::User {
        0
    } else {
        PF_KTHREAD
    };
    cx.w32(ts + off.task_flags, kthread_flag)?;
    cx.w32(ts + off.task_usage, 1)?;
    write_comm(cx, ts, &comm)?;
    extra::default_policy(cx, ts)?;
    identity::give(cx, ts)?;
    let parent = current_tid(cx);
    cx.sched.tasks.push(Task {
        machine,
        pid,
        comm: comm.clone(),
        kind,
        ts,
        dead: false,
        oopsed: false,
        oops_signal: 9,
        queued: false,
        body: Some(body),
        frames: Vec::new(),
        signals: 0,
        allowed: 0,
        asked: 0,
        preempt: 0x8000_0000,
        irq: 0x200,
        waits: None,
        capable: true,
        value: 0,
        parent,
        maker: site.pc,
        spun: 0,
        since: 0,
        hung_told: false,
        wait_queue: 0,
    });
    cx.sched.live.push(tid);
    cx.sched.by_ts.insert(ts, tid);
    cx.sched.by_machine.insert(machine, tid);
    trace::emit(
        cx,
        Event::Task {
            tid,
            pid,
            comm,
            kind,
            function,
            site,
        },
    );
    Ok(Some(tid))
}

/// Writes a task's name into its task_struct.
pub fn write_comm(cx: &Cx, ts: u64, comm: &str) -> R<()> {
    let mut name = [0u8; 16];
    let len = comm.len().min(15);
    name[..len].copy_from_slice(&comm.as_bytes()[..len]);
    Ok(cx.write(ts + cx.off.task_comm, &name)?)
}

/// Makes a task runnable if its state is one of `states` (try_to_wake_up). Whether it was woken.
pub fn wake_state(cx: &mut Cx, tid: Tid, states: u32) -> R<bool> {
    let task = &cx.sched.tasks[tid as usize];
    if task.dead {
        return Ok(false);
    }
    let (ts, queued) = (task.ts, task.queued);
    let state = cx.r32(ts + cx.off.task_state)?;
    if state & states == 0 {
        return Ok(false);
    }
    cx.w32(ts + cx.off.task_state, RUNNING)?;
    if !queued && current(cx) != Some(tid) {
        cx.sched.tasks[tid as usize].queued = true;
        cx.sched.queue.push_back(tid);
        cx.sched.wakes += 1;
    }
    Ok(true)
}

/// wake_up_process.
pub fn wake(cx: &mut Cx, tid: Tid) -> R<bool> {
    wake_state(cx, tid, NORMAL)
}

/// Sets the running task's state word.
pub fn set_state(cx: &Cx, state: u32) -> R<()> {
    if let Some(tid) = current(cx) {
        cx.w32(cx.sched.tasks[tid as usize].ts + cx.off.task_state, state)?;
    }
    Ok(())
}

/// Whether a signal would end an interruptible sleep.
pub fn signal_pending(cx: &Cx, tid: Tid) -> bool {
    cx.sched.tasks[tid as usize].signals != 0
}

/// Whether SIGKILL is pending.
pub fn fatal_signal_pending(cx: &Cx, tid: Tid) -> bool {
    cx.sched.tasks[tid as usize].signals & (1 << 9) != 0
}

/// Blocks according to the state word: a running task only yields, a sleeping one waits to be woken
/// (schedule()). `what` and `on` say what for in reports.
pub fn schedule(cx: &mut Cx, what: &'static str, on: u64) -> R<()> {
    let Some(tid) = current(cx) else {
        return Err(Stop::Bug("the control program cannot sleep".into()));
    };
    let ts = cx.sched.tasks[tid as usize].ts;
    let state = cx.r32(ts + cx.off.task_state)?;
    if state != RUNNING && !interrupted(cx, tid, state) {
        let now = cx.clock.now;
        let task = &mut cx.sched.tasks[tid as usize];
        task.waits = Some((what, on));
        task.spun = 0;
        task.since = now;
        task.hung_told = false;
        crate::context::blocking(cx)?;
    } else {
        cx.w32(ts + cx.off.task_state, RUNNING)?;
        let task = &mut cx.sched.tasks[tid as usize];
        if !task.queued {
            task.queued = true;
            cx.sched.queue.push_back(tid);
        }
    }
    leave(cx);
    cx.sched.tasks[tid as usize].waits = None;
    Ok(())
}

/// Whether a signal ends a sleep in `state` (signal_pending_state).
pub fn interrupted(cx: &Cx, tid: Tid, state: u32) -> bool {
    state & INTERRUPTIBLE != 0 && signal_pending(cx, tid)
        || state & WAKEKILL != 0 && fatal_signal_pending(cx, tid)
}

/// Blocks until woken or, with a time, until then (virtual nanoseconds since boot).
pub fn schedule_until(cx: &mut Cx, until: Option<u64>, what: &'static str, on: u64) -> R<()> {
    let Some(until) = until else {
        return schedule(cx, what, on);
    };
    let tid = current_tid(cx);
    if cx.sched.irq == Some(tid) {
        // Sleeping in an interrupt: told as misuse; nothing could ever wake it, so the time just passes.
        crate::context::blocking(cx)?;
        crate::time::advance(cx, until);
        return set_state(cx, RUNNING);
    }
    let event = crate::time::at(cx, until, wake_sleeper, u64::from(tid), 0);
    schedule(cx, what, on)?;
    crate::time::cancel(cx, event);
    Ok(())
}

/// An interrupt may come here: what is due runs, then the running task goes on as if nothing had happened.
pub fn interrupt_point(cx: &mut Cx) {
    let Some(tid) = current(cx) else { return };
    if cx.sched.irq == Some(tid)
        || !crate::time::due(cx)
        || crate::context::irqs_disabled(cx)
        || crate::context::preempt_count(cx) & crate::context::IRQ_MASK != 0
    {
        return;
    }
    let task = &mut cx.sched.tasks[tid as usize];
    if !task.queued {
        task.queued = true;
        cx.sched.queue.push_front(tid);
    }
    leave(cx);
}

/// Others run although this task may not be preempted: it spins for what a suspended task holds.
pub(crate) fn let_others(cx: &mut Cx) {
    if let Some(tid) = current(cx) {
        let task = &mut cx.sched.tasks[tid as usize];
        if !task.queued {
            task.queued = true;
            cx.sched.queue.push_back(tid);
        }
        leave(cx);
    }
}

/// A kernel function that calls into the guest from no call of the guest's (process_one_work and the like):
/// it shows in call traces between here and [`left`].
pub fn entered(cx: &mut Cx, name: &'static str) {
    let address = crate::symbols::address(cx, name);
    if let (Some(tid), Some(slot)) = (current(cx), cx.slot_at(address)) {
        cx.sched.tasks[tid as usize].frames.push(Frame {
            slot,
            frame: 0,
            ret: 0,
            place: 0,
        });
    }
}

/// The innermost such function returns.
pub fn left(cx: &mut Cx) {
    if let Some(tid) = current(cx) {
        cx.sched.tasks[tid as usize].frames.pop();
    }
}

/// Whether something else could run now.
pub fn others_wait(cx: &Cx) -> bool {
    !cx.sched.queue.is_empty()
}

/// Lets others run; the task stays runnable.
pub fn yield_now(cx: &mut Cx) -> R<()> {
    set_state(cx, RUNNING)?;
    schedule(cx, "schedule", 0)
}

/// Sleeps in `state` until woken or until `ns` virtual nanoseconds have passed; what is left of them.
pub fn sleep(cx: &mut Cx, state: u32, ns: u64, what: &'static str) -> R<u64> {
    set_state(cx, state)?;
    let until = cx.clock.now.saturating_add(ns);
    schedule_until(cx, Some(until), what, 0)?;
    Ok(until.saturating_sub(cx.clock.now))
}

fn wake_sleeper(cx: &mut Cx, tid: u64, _: u64) -> R<()> {
    wake_state(cx, tid as Tid, NORMAL | WAKEKILL).map(|_| ())
}

/// Saves the running task's per-CPU words and goes to the control program.
fn leave(cx: &mut Cx) {
    if let Some(tid) = current(cx) {
        let (preempt, irq) = crate::context::save(cx);
        let task = &mut cx.sched.tasks[tid as usize];
        task.preempt = preempt;
        task.irq = irq;
    }
    cx.switch_to(0);
}

/// Runs one task until it blocks. Only the control program may call it.
fn run_task(cx: &mut Cx, tid: Tid) {
    let task = &cx.sched.tasks[tid as usize];
    let (machine, ts, preempt, irq) = (task.machine, task.ts, task.preempt, task.irq);
    crate::context::restore(cx, ts, preempt, irq);
    cx.sched.switches += 1;
    trace::emit(cx, Event::Switch { tid });
    cx.switch_to(machine);
    for id in std::mem::take(&mut cx.sched.finished) {
        cx.free_task(id);
    }
}

/// Runs tasks until `done`, or nothing can run before `limit` (virtual nanoseconds since boot). Whether
/// `done` held.
pub fn run_until(cx: &mut Cx, limit: u64, done: impl Fn(&Cx) -> bool) -> bool {
    loop {
        if done(cx) {
            return true;
        }
        if cx.sched.panicked.is_some() || cx.sched.switches > MAX_SWITCHES || trace::full(cx) {
            return false;
        }
        if crate::time::due(cx)
            && !cx.sched.in_irq
            && let Some(irq) = cx.sched.irq
        {
            run_task(cx, irq);
        } else if let Some(tid) = next(cx) {
            run_task(cx, tid);
        } else {
            let event = crate::time::next_event(cx).filter(|_| !cx.sched.in_irq);
            let hung = hung::deadline(cx);
            match event.into_iter().chain(hung).min() {
                Some(when) if when <= limit => {
                    crate::time::advance(cx, when);
                    hung::check(cx);
                }
                _ => return done(cx),
            }
        }
    }
}

fn next(cx: &mut Cx) -> Option<Tid> {
    loop {
        // Ended tasks are no choice.
        while let Some(&tid) = cx.sched.queue.front()
            && cx.sched.tasks[tid as usize].dead
        {
            cx.sched.queue.pop_front();
        }
        let which = crate::choice::next_task(cx, cx.sched.queue.len());
        let tid = cx.sched.queue.remove(which)?;
        let task = &mut cx.sched.tasks[tid as usize];
        task.queued = false;
        if !task.dead {
            return Some(tid);
        }
    }
}

/// What the machine runs for a task (its first code).
pub(crate) fn task_body(cx: &mut Cx, machine: TaskId) {
    let Some(&tid) = cx.sched.by_machine.get(&machine) else {
        return;
    };
    let Some(body) = cx.sched.tasks[tid as usize].body.take() else {
        return;
    };
    match body(cx) {
        Ok(value) => exit(cx, TaskEnd::Returned, value),
        Err(stop) => crate::traps::kernel_oops(cx, stop, None),
    }
}

/// do_exit: the task ends here and now; nothing of its stacks is unwound.
pub fn exit(cx: &mut Cx, how: TaskEnd, value: i64) -> ! {
    if let Some(tid) = current(cx) {
        let site = trace::site(cx);
        trace::emit(
            cx,
            Event::TaskEnd {
                tid,
                how,
                value,
                site,
            },
        );
        leave::leave(cx, tid);
        let task = &mut cx.sched.tasks[tid as usize];
        task.dead = true;
        cx.sched.live.retain(|&t| t != tid);
        let task = &mut cx.sched.tasks[tid as usize];
        task.oopsed = how == TaskEnd::Oops;
        task.value = value;
        let (ts, machine) = (task.ts, task.machine);
        let _ = cx.w32(ts + cx.off.task_state, DEAD);
        cx.sched.by_machine.remove(&machine);
        cx.sched.finished.push(machine);
        let _ = crate::mm::task_struct::reap(cx, tid);
    }
    loop {
        cx.switch_to(0);
    }
}

/// A task_struct has been freed: its address means another task from now on.
pub(crate) fn forget_struct(cx: &mut Cx, ts: u64) {
    cx.sched.by_ts.remove(&ts);
}
