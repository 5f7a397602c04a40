//! request_module (kernel/module/kmod.c; kernel/kmod.c before 5.13): the limits of both generations, and modprobe
//! as the helper that answers.

use crate::abi::{Call, R, errno::*};
use crate::printk::dev::Limit;
use crate::profile::RequestLimit;
use crate::sched::wait::{Woken, wait_at, wake_at};
use crate::table::{Row, behaves};
use crate::{Cx, printk, sched, trace, umh};
use lkm_trace::Event;

pub(crate) const ROWS: &[Row] = &[behaves("__request_module", request_module).sleeps()];

/// MAX_KMOD_CONCURRENT.
const MAX_CONCURRENT: u32 = 50;
/// MAX_KMOD_ALL_BUSY_TIMEOUT, seconds.
const BUSY_TIMEOUT: u64 = 5;
/// Where throttled requests sleep (`kmod_wq`).
const KMOD_WQ: u64 = 2;
/// Messages of the runaway kind that are ever printed.
const MAX_RUNAWAY: u32 = 5;

/// The state.
pub struct State {
    /// kernel.modprobe.
    pub path: String,
    /// Requests under way.
    pub concurrent: u32,
    /// max_threads: half of it is a limit too, before 4.13.
    pub max_threads: u32,
    runaway: u32,
    /// The limits of the three warnings, each its own.
    limits: [Limit; 3],
}

/// The warnings of pr_warn_ratelimited.
#[derive(Clone, Copy)]
enum Warning {
    Throttling,
    Busy,
    Killed,
}

impl Default for State {
    fn default() -> State {
        State {
            path: "/sbin/modprobe".into(),
            concurrent: 0,
            max_threads: 7000,
            runaway: 0,
            limits: Default::default(),
        }
    }
}

fn request_module(cx: &mut Cx, c: &Call) -> R {
    let mut args = c.va(2);
    let name = printk::format::vsnprintf(cx, c.a[1], &mut args, 512)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(i64::from(request(cx, &name, c.a[0] & 0xff != 0)?) as u64)
}

/// `__request_module`: 0, a negative errno, or the raw wait status of modprobe.
pub fn request(cx: &mut Cx, name: &str, wait: bool) -> R<i32> {
    let result = checked(cx, name, wait)?;
    let (tid, site) = (sched::current_tid(cx), trace::site(cx));
    let event = Event::Autoload {
        name: name.into(),
        wait,
        result: i64::from(result),
        tid,
        site,
    };
    trace::emit(cx, event);
    Ok(result)
}

fn checked(cx: &mut Cx, name: &str, wait: bool) -> R<i32> {
    if cx.kmod.path.is_empty() {
        return Ok(cx.profile.empty_modprobe as i32);
    }
    if name.len() >= super::NAME_LEN {
        return Ok(-ENAMETOOLONG);
    }
    let limit = cx.profile.request_limit;
    let refused = match limit {
        RequestLimit::Refuse => refuse(cx, name),
        RequestLimit::Throttle | RequestLimit::Semaphore => throttle(cx, name)?,
    };
    if refused != 0 {
        return Ok(refused);
    }
    let result = call_modprobe(cx, name, wait);
    // An oops of the caller does not end here: the slot is only lost with it.
    cx.kmod.concurrent -= 1;
    if limit != RequestLimit::Refuse {
        wake_at(cx, KMOD_WQ, usize::MAX)?;
    }
    result
}

/// Up to 4.12: over the limit is an error at once.
fn refuse(cx: &mut Cx, name: &str) -> i32 {
    let limit = (cx.kmod.max_threads / 2).min(MAX_CONCURRENT);
    if cx.kmod.concurrent < limit {
        cx.kmod.concurrent += 1;
        return 0;
    }
    if cx.kmod.runaway < MAX_RUNAWAY {
        cx.kmod.runaway += 1;
        let text = format!("request_module: runaway loop modprobe {name}\n");
        printk::log(cx, 3, &text);
    }
    -ENOMEM
}

/// From 4.13 on: over the limit waits, five seconds at most; since 6.4 without a word, and not to be killed
/// (down_timeout).
fn throttle(cx: &mut Cx, name: &str) -> R<i32> {
    if cx.kmod.concurrent < MAX_CONCURRENT {
        cx.kmod.concurrent += 1;
        return Ok(0);
    }
    let mut state = sched::UNINTERRUPTIBLE;
    if cx.profile.request_limit == RequestLimit::Throttle {
        state |= sched::WAKEKILL;
        warn(
            cx,
            Warning::Throttling,
            &format!(
                "request_module: kmod_concurrent_max (0) close to 0 (max_modprobes: {MAX_CONCURRENT}), for module {name}, throttling..."
            ),
        );
    }
    let until = cx.clock.now + BUSY_TIMEOUT * 1_000_000_000;
    loop {
        let woken = wait_at(cx, KMOD_WQ, state, Some(until), "__request_module")?;
        if cx.kmod.concurrent < MAX_CONCURRENT {
            cx.kmod.concurrent += 1;
            return Ok(0);
        }
        match woken {
            Woken::Normally => {}
            Woken::Timeout => {
                warn(
                    cx,
                    Warning::Busy,
                    &format!(
                        "request_module: modprobe {name} cannot be processed, kmod busy with {MAX_CONCURRENT} threads for more than {BUSY_TIMEOUT} seconds now"
                    ),
                );
                return Ok(-ETIME);
            }
            Woken::Signal => {
                let text = format!("request_module: sigkill sent for modprobe {name}, giving up");
                warn(cx, Warning::Killed, &text);
                return Ok(-ERESTARTSYS);
            }
        }
    }
}

/// pr_warn_ratelimited: ten in five seconds, and how many there were beyond that. The texts have no newline, so readers
/// of the log see each when the next message comes.
fn warn(cx: &mut Cx, which: Warning, text: &str) {
    let (now, interval) = (crate::time::jiffies(cx), 5_000_000_000 / sched::JIFFY);
    let (pass, missed) = cx.kmod.limits[which as usize].pass(now, interval, 10);
    printk::dev::suppressed(cx, "__request_module", missed);
    if pass {
        printk::log(cx, 4, text);
    }
}

/// call_modprobe.
fn call_modprobe(cx: &mut Cx, name: &str, wait: bool) -> R<i32> {
    let path = cx.kmod.path.clone();
    let argv = [path.as_str(), "-q", "--", name];
    let envp = ["HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"];
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    let info = umh::setup(cx, &path, owned(&argv), owned(&envp))?;
    let mode = if wait { umh::WAIT_PROC } else { umh::WAIT_EXEC };
    umh::exec(cx, info, mode | umh::KILLABLE, "__request_module")
}
