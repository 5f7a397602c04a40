//! Asynchronous calls (kernel/async.c): run by workers, in the order of their cookies as far as anybody waits.

use crate::Cx;
use crate::abi::{Call, R};
use crate::sched::wait::{wait_at, wake_at};
use crate::sched::{self, Tid, UNINTERRUPTIBLE};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("async_schedule_node", async_schedule_node),
    behaves("async_schedule_node_domain", async_schedule_node_domain),
    behaves("async_schedule_dev_nocall", async_schedule_dev_nocall),
    behaves("async_synchronize_full", fn_synchronize_full).sleeps(),
    behaves("async_synchronize_full_domain", synchronize_domain).sleeps(),
    behaves("async_synchronize_cookie", synchronize_cookie).sleeps(),
    behaves("async_synchronize_cookie_domain", synchronize_cookie_domain).sleeps(),
    behaves("current_is_async", current_is_async),
];

/// Calls that have not ended.
#[derive(Default)]
pub struct State {
    next: u64,
    /// Cookie, domain (0: the default one), function, task when it runs.
    open: Vec<(u64, u64, u64, Option<Tid>)>,
}

const DONE: u64 = 5;

/// What a call does when its turn comes; it gets its cookie.
type Job = Box<dyn FnOnce(&mut Cx, u64) -> R<()>>;

fn start(cx: &mut Cx, func: u64, data: u64, domain: u64) -> R {
    let cookie = cx.jobs.next + 1;
    crate::audit::arm(cx, "async call", cookie, func, "");
    let job: Job = Box::new(move |cx: &mut Cx, cookie| {
        crate::audit::running(cx, "async call", cookie);
        cx.call_guest(func, &[data, cookie]);
        crate::audit::ran(cx, "async call", cookie);
        Ok(())
    });
    queue(cx, func, domain, job)
}

/// Runs kernel code as an asynchronous call.
pub(crate) fn run(cx: &mut Cx, body: impl FnOnce(&mut Cx) -> R<()> + 'static) -> R<()> {
    queue(cx, 0, 0, Box::new(move |cx: &mut Cx, _| body(cx)))?;
    Ok(())
}

fn queue(cx: &mut Cx, func: u64, domain: u64, job: Job) -> R {
    cx.jobs.next += 1;
    let cookie = cx.jobs.next;
    cx.jobs.open.push((cookie, domain, func, None));
    crate::workqueue::spawn(
        cx,
        Box::new(move |cx: &mut Cx| {
            let tid = sched::current_tid(cx);
            if let Some(entry) = cx.jobs.open.iter_mut().find(|e| e.0 == cookie) {
                entry.3 = Some(tid);
            }
            sched::entered(cx, "async_run_entry_fn");
            job(cx, cookie)?;
            sched::left(cx);
            cx.jobs.open.retain(|e| e.0 != cookie);
            wake_at(cx, DONE, usize::MAX)?;
            Ok(0)
        }),
    )?;
    Ok(cookie)
}

fn async_schedule_node(cx: &mut Cx, c: &Call) -> R {
    start(cx, c.a[0], c.a[1], 0)
}

fn async_schedule_node_domain(cx: &mut Cx, c: &Call) -> R {
    start(cx, c.a[0], c.a[1], c.a[3])
}

fn async_schedule_dev_nocall(cx: &mut Cx, c: &Call) -> R {
    start(cx, c.a[0], c.a[1], 0)?;
    Ok(1)
}

fn wait(cx: &mut Cx, open: impl Fn(&(u64, u64, u64, Option<Tid>)) -> bool) -> R {
    while cx.jobs.open.iter().any(&open) {
        wait_at(cx, DONE, UNINTERRUPTIBLE, None, "async_synchronize_full")?;
    }
    Ok(0)
}

/// Waits for every call (end of a module's init, and unload).
pub(crate) fn synchronize_full(cx: &mut Cx) -> R {
    wait(cx, |_| true)
}

fn fn_synchronize_full(cx: &mut Cx, _: &Call) -> R {
    synchronize_full(cx)
}

fn synchronize_domain(cx: &mut Cx, c: &Call) -> R {
    let domain = c.a[0];
    wait(cx, |e| e.1 == domain)
}

fn synchronize_cookie(cx: &mut Cx, c: &Call) -> R {
    let cookie = c.a[0];
    wait(cx, |e| e.1 == 0 && e.0 < cookie)
}

fn synchronize_cookie_domain(cx: &mut Cx, c: &Call) -> R {
    let [cookie, domain, ..] = c.a;
    wait(cx, |e| e.1 == domain && e.0 < cookie)
}

fn current_is_async(cx: &mut Cx, _: &Call) -> R {
    let tid = sched::current_tid(cx);
    Ok(u64::from(cx.jobs.open.iter().any(|e| e.3 == Some(tid))))
}
