//! The usermode helper (kernel/umh.c): programs that the kernel starts, and the ways a caller waits for them.
//!
//! What the programs do is not this crate's: whoever runs the lab gives a [`Helper`]. The helper is a process
//! with no open files that is no child of the caller.

use crate::abi::{Call, R, errno::*, neg};
use crate::hash::Map;
use crate::sched::wait::{Woken, wait_at, wake_at};
use crate::sched::{self, Tid};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, mm};
use lkm_trace::{Site, TaskKind};
use std::rc::Rc;

pub(crate) const ROWS: &[Row] = &[
    behaves("call_usermodehelper", call_usermodehelper).sleeps(),
    behaves("call_usermodehelper_setup", setup_call)
        .fails(Fails::Null)
        .sleeps_gfp(3),
    behaves("call_usermodehelper_exec", exec_call).sleeps(),
    behaves("usermodehelper_read_trylock", read_trylock).sleeps(),
    behaves("usermodehelper_read_lock_wait", read_trylock).sleeps(),
    behaves("usermodehelper_read_unlock", read_unlock),
];

/// UMH_WAIT_EXEC: until the program runs.
pub const WAIT_EXEC: u32 = 1;
/// UMH_WAIT_PROC: until it has ended.
pub const WAIT_PROC: u32 = 2;
/// UMH_KILLABLE: a fatal signal ends the wait.
pub const KILLABLE: u32 = 4;

/// Whether a program is there: 0, or the errno of its exec.
pub type Find = Rc<dyn Fn(&mut Cx, &str) -> i32>;
/// Runs a program in the current process: path, arguments, environment; its exit code.
pub type Run = Rc<dyn Fn(&mut Cx, &str, &[String], &[String]) -> R<i32>>;

/// The programs of the lab's user space.
#[derive(Clone)]
pub struct Helper {
    /// Looks a program up.
    pub find: Find,
    /// Runs it.
    pub run: Run,
}

/// A program under way: for whom, and whether it is over.
#[derive(Debug, Clone, Copy)]
struct Running {
    info: u64,
    wait: u32,
    /// Nobody waits any more: the helper frees the info.
    orphan: bool,
}

/// What a finished wait found.
#[derive(Debug, Clone, Copy)]
struct Done {
    status: i32,
}

/// The state.
pub struct State {
    /// The lab's programs; without them every exec answers ENOENT.
    pub helper: Option<Helper>,
    /// usermodehelper_disable was called (suspend, or boot).
    pub disabled: bool,
    /// /proc/sys/kernel/usermodehelper: bset and inheritable, as two words each.
    pub caps: [[u32; 2]; 2],
    /// Infos under way or not run yet, with the texts they were made with.
    infos: Map<u64, Rc<Texts>>,
    running: Map<Tid, Running>,
    done: Map<u64, Done>,
    /// Programs started, newest last, for the record.
    pub started: Vec<(String, Vec<String>, Vec<String>)>,
}

impl Default for State {
    fn default() -> State {
        State {
            helper: None,
            disabled: false,
            // All capabilities there are.
            caps: [[u32::MAX, 0x1ff]; 2],
            infos: Map::default(),
            running: Map::default(),
            done: Map::default(),
            started: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Texts {
    path: Option<String>,
    argv: Vec<String>,
    envp: Vec<String>,
}

/// Most strings of an argument vector.
const MAX_ARGS: u64 = 256;
/// Programs kept for the record.
const MAX_STARTED: usize = 256;

fn vector(cx: &Cx, at: u64) -> R<Vec<String>> {
    let mut out = Vec::new();
    if at == 0 {
        return Ok(out);
    }
    for n in 0..MAX_ARGS {
        let text = cx.r64(at + 8 * n)?;
        if text == 0 {
            break;
        }
        out.push(cx.text(text)?);
    }
    Ok(out)
}

/// A subprocess_info for kernel code's own strings.
pub fn setup(cx: &mut Cx, path: &str, argv: Vec<String>, envp: Vec<String>) -> R<u64> {
    let size = cx.off.subprocess_size;
    let info = mm::kalloc(cx, size)?;
    let texts = Texts {
        path: Some(path.to_owned()),
        argv,
        envp,
    };
    cx.umh.infos.insert(info, Rc::new(texts));
    Ok(info)
}

fn setup_call(cx: &mut Cx, c: &Call) -> R {
    let [path, argv, envp, _, init, cleanup] = c.a;
    let data = c.arg(cx, 6)?;
    make(cx, path, argv, envp, [init, cleanup, data])
}

fn make(cx: &mut Cx, path: u64, argv: u64, envp: u64, hooks: [u64; 3]) -> R {
    let off = cx.off;
    let info = mm::kalloc(cx, off.subprocess_size)?;
    for (offset, value) in [
        (off.subprocess_path, path),
        (off.subprocess_argv, argv),
        (off.subprocess_envp, envp),
        (off.subprocess_init, hooks[0]),
        (off.subprocess_cleanup, hooks[1]),
        (off.subprocess_data, hooks[2]),
    ] {
        cx.w64(info + offset, value)?;
    }
    let texts = Texts {
        path: if path == 0 {
            None
        } else {
            Some(cx.text(path)?)
        },
        argv: vector(cx, argv)?,
        envp: vector(cx, envp)?,
    };
    cx.umh.infos.insert(info, Rc::new(texts));
    Ok(info)
}

fn exec_call(cx: &mut Cx, c: &Call) -> R {
    Ok(i64::from(exec(cx, c.a[0], c.a[1] as u32, "call_usermodehelper_exec")?) as u64)
}

fn call_usermodehelper(cx: &mut Cx, c: &Call) -> R {
    let [path, argv, envp, wait, ..] = c.a;
    let info = make(cx, path, argv, envp, [0; 3])?;
    Ok(i64::from(exec(cx, info, wait as u32, "call_usermodehelper")?) as u64)
}

fn read_trylock(cx: &mut Cx, _: &Call) -> R {
    Ok(if cx.umh.disabled { neg(EAGAIN) } else { 0 })
}

fn read_unlock(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// The info's end: `cleanup` runs once, on every path.
fn free(cx: &mut Cx, info: u64) -> R<()> {
    if cx.umh.infos.remove(&info).is_none() {
        return Ok(());
    }
    let cleanup = cx.r64(info + cx.off.subprocess_cleanup)?;
    if cleanup != 0 {
        cx.call_guest(cleanup, &[info]);
    }
    cx.umh.done.remove(&info);
    mm::kfree(cx, info);
    Ok(())
}

/// call_usermodehelper_exec: 0, a negative errno, or the raw wait status of the program.
pub fn exec(cx: &mut Cx, info: u64, wait: u32, function: &'static str) -> R<i32> {
    let Some(texts) = cx.umh.infos.get(&info).map(Rc::clone) else {
        // No info of ours: the kernel would follow the pointer.
        cx.r64(info.wrapping_add(cx.off.subprocess_path))?;
        return Ok(-EINVAL);
    };
    let Some(path) = texts.path.clone() else {
        free(cx, info)?;
        return Ok(-EINVAL);
    };
    if cx.umh.disabled {
        free(cx, info)?;
        return Ok(-EBUSY);
    }
    if path.is_empty() {
        free(cx, info)?;
        return Ok(0);
    }
    let body: sched::Body = Box::new(move |cx: &mut Cx| child(cx, info, &texts));
    let comm = path.rsplit('/').next().unwrap_or("").to_owned();
    let made = sched::new_task(cx, &comm, TaskKind::User, 0, Site::default(), body)?;
    let Some(tid) = made else {
        free(cx, info)?;
        return Ok(-EAGAIN);
    };
    // Its parent is a worker, not the caller.
    cx.sched.tasks[tid as usize].parent = 0;
    let mode = wait & 3;
    let running = Running {
        info,
        wait: mode,
        orphan: mode == 0,
    };
    cx.umh.running.insert(tid, running);
    sched::wake(cx, tid)?;
    if mode == 0 {
        return Ok(0);
    }
    let state = if wait & KILLABLE != 0 {
        sched::UNINTERRUPTIBLE | sched::WAKEKILL
    } else {
        sched::UNINTERRUPTIBLE
    };
    while !cx.umh.done.contains_key(&info) {
        if wait_at(cx, info, state, None, function)? == Woken::Signal
            && !cx.umh.done.contains_key(&info)
        {
            if let Some(running) = cx.umh.running.get_mut(&tid) {
                running.orphan = true;
            }
            return Ok(-ERESTARTSYS);
        }
    }
    let status = cx.umh.done.get(&info).map_or(0, |d| d.status);
    free(cx, info)?;
    Ok(status)
}

/// What the helper's process does (call_usermodehelper_exec_async): init, exec, the program.
fn child(cx: &mut Cx, info: u64, texts: &Texts) -> R<i64> {
    let tid = sched::current_tid(cx);
    let init = cx.r64(info + cx.off.subprocess_init)?;
    if init != 0 {
        let cred = mm::kalloc(cx, 256)?;
        let ret = cx.call_guest(init, &[info, cred]) as i32;
        mm::kfree(cx, cred);
        if ret != 0 {
            finish(cx, tid, ret)?;
            return Ok(i64::from(ret));
        }
    }
    let path = texts.path.clone().unwrap_or_default();
    let helper = cx.umh.helper.clone();
    let missing = match &helper {
        Some(helper) => (helper.find)(cx, &path),
        None => ENOENT,
    };
    let Some(helper) = helper.filter(|_| missing == 0) else {
        finish(cx, tid, -missing)?;
        return Ok(0);
    };
    if cx.umh.started.len() < MAX_STARTED {
        let entry = (path.clone(), texts.argv.clone(), texts.envp.clone());
        cx.umh.started.push(entry);
    }
    if cx
        .umh
        .running
        .get(&tid)
        .is_some_and(|r| r.wait == WAIT_EXEC)
    {
        // It runs: who waits for the exec alone goes on, and the worker frees the info.
        finish(cx, tid, 0)?;
    }
    let code = (helper.run)(cx, &path, &texts.argv, &texts.envp)?;
    let status = if sched::fatal_signal_pending(cx, tid) {
        9
    } else {
        (code & 0xff) << 8
    };
    finish(cx, tid, status)?;
    Ok(i64::from(code))
}

/// The wait is over with `status`; an info that nobody waits for goes.
fn finish(cx: &mut Cx, tid: Tid, status: i32) -> R<()> {
    let Some(running) = cx.umh.running.remove(&tid) else {
        return Ok(());
    };
    if running.orphan {
        return free(cx, running.info);
    }
    cx.umh.done.insert(running.info, Done { status });
    wake_at(cx, running.info, usize::MAX)?;
    Ok(())
}

/// A helper ended otherwise than by returning: killed by an oops in its system call.
pub(crate) fn on_exit(cx: &mut Cx, tid: Tid) -> R<()> {
    if cx.umh.running.contains_key(&tid) {
        let status = cx.sched.tasks[tid as usize].oops_signal as i32;
        finish(cx, tid, status)?;
    }
    Ok(())
}

/// The tasks that run a program for the kernel now.
pub fn helpers(cx: &Cx) -> Vec<Tid> {
    cx.umh.running.keys().copied().collect()
}
