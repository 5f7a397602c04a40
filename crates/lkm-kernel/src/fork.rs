//! kernel_thread and daemonize (kernel/fork.c and kernel/exit.c of kernels up to 3.7, which exported them): the
//! thread is a child of the calling task and inherits its open files, unlike one that kthreadd makes.

use crate::abi::{Call, R, errno, neg};
use crate::sched;
use crate::table::{Fails, Row, behaves};
use crate::{Cx, audit, trace};
use lkm_trace::TaskKind;

pub(crate) const ROWS: &[Row] = &[
    behaves("kernel_thread", kernel_thread)
        .fails(Fails::Errno(errno::ENOMEM))
        .sleeps(),
    behaves("daemonize", daemonize).sleeps(),
];

/// CLONE_FILES: parent and child use one table of files.
const CLONE_FILES: u64 = 0x400;

/// `kernel_thread(fn, arg, flags)`: the child's pid. It runs when the caller's system call has ended or sleeps.
fn kernel_thread(cx: &mut Cx, c: &Call) -> R {
    let [f, data, flags, ..] = c.a;
    let parent = sched::current_tid(cx);
    let comm = cx.sched.tasks[parent as usize].comm.clone();
    let site = trace::site(cx);
    let body = Box::new(move |cx: &mut Cx| -> R<i64> {
        sched::entered(cx, "kernel_thread_helper");
        let value = i64::from(cx.call_guest(f, &[data]) as i32);
        sched::left(cx);
        Ok(value)
    });
    let made = sched::new_task(cx, &comm, TaskKind::Kthread, f, site.clone(), body)?;
    let Some(tid) = made else {
        return Ok(neg(errno::EAGAIN));
    };
    let (ts, pid) = {
        let task = &mut cx.sched.tasks[tid as usize];
        // It has the caller's signal handlers until it daemonizes.
        task.allowed = u64::MAX;
        (task.ts, task.pid)
    };
    audit::arm_at(cx, "kthread", ts, f, &comm, site);
    if flags & CLONE_FILES != 0 {
        crate::fs::files::share_table(cx, parent, tid);
    } else {
        crate::fs::files::copy_table(cx, parent, tid)?;
    }
    sched::wake(cx, tid)?;
    Ok(u64::from(pid))
}

/// `daemonize(name, …)`: another name, no signals, none of the caller's files, a child of kthreadd.
fn daemonize(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(1);
    let name = crate::printk::format::vsnprintf(cx, c.a[0], &mut args, 16)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let tid = sched::current_tid(cx);
    let ts = cx.sched.tasks[tid as usize].ts;
    sched::write_comm(cx, ts, &name)?;
    let task = &mut cx.sched.tasks[tid as usize];
    task.comm = name;
    task.allowed = 0;
    task.signals = 0;
    task.parent = 0;
    crate::fs::files::exit_files(cx, tid)?;
    Ok(0)
}
