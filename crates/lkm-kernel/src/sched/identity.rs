//! Who a task is to code that headers inline: its credentials, its namespaces, its limits, its group and its parent
//! (include/linux/cred.h, nsproxy.h, sched/signal.h). One set for all tasks, but for the user they run as.

use super::Tid;
use crate::abi::{Call, R};
use crate::layout::NONE;
use crate::table::{Row, behaves};
use crate::{Cx, data};

pub(crate) const ROWS: &[Row] = &[
    behaves("capable", capable),
    behaves("ns_capable", capable),
    behaves("ns_capable_noaudit", capable),
    behaves("file_ns_capable", capable),
];

/// Bytes that hold any kernel's struct cred, nsproxy, user_namespace or user_struct.
const STRUCTURE: u64 = 1024;
/// Bytes that hold any kernel's struct signal_struct.
const SIGNALS: u64 = 2048;
/// RLIM_NLIMITS.
const LIMITS: u64 = 16;
/// All capabilities there are (CAP_LAST_CAP is 40).
const ALL: u64 = (1 << 41) - 1;
/// The user that owns nothing.
const NOBODY: u32 = 65_534;

/// The state of this file.
#[derive(Default)]
pub struct State {
    user_ns: u64,
    root: u64,
    nobody: u64,
    nsproxy: u64,
    signal: u64,
    init: u64,
}

fn set(cx: &Cx, at: u64, member: u64, value: u64) -> R<()> {
    if member != NONE {
        cx.w64(at + member, value)?;
    }
    Ok(())
}

/// Makes what all tasks share.
pub(crate) fn boot(cx: &mut Cx) -> R<()> {
    let off = cx.off;
    let user_ns = data::alloc(cx, STRUCTURE, 64)?;
    cx.identity.user_ns = user_ns;
    cx.identity.root = credentials(cx, 0, ALL)?;
    cx.identity.nobody = credentials(cx, NOBODY, 0)?;
    let nsproxy = data::alloc(cx, STRUCTURE, 64)?;
    let net = crate::net::variable(cx, "init_net")?.unwrap_or(0);
    set(cx, nsproxy, off.nsproxy_net_ns, net)?;
    let signal = data::alloc(cx, SIGNALS, 64)?;
    if off.signal_rlim != NONE {
        cx.fill(signal + off.signal_rlim, 0xff, 16 * LIMITS)?;
    }
    cx.identity.nsproxy = nsproxy;
    cx.identity.signal = signal;
    let init = data::alloc(cx, off.task_size, 64)?;
    super::write_comm(cx, init, "swapper/0")?;
    cx.identity.init = init;
    give(cx, init)
}

/// A struct cred of a user with these capabilities, in the first user namespace.
fn credentials(cx: &mut Cx, user: u32, capabilities: u64) -> R<u64> {
    let off = cx.off;
    let cred = data::alloc(cx, STRUCTURE, 64)?;
    // More references than anybody will put.
    cx.w32(cred, 1 << 20)?;
    if off.cred_uid != NONE {
        // uid, gid, and the saved, effective and file system ones.
        for index in 0..8 {
            cx.w32(cred + off.cred_uid + 4 * index, user)?;
        }
    }
    for member in [
        off.cred_cap_permitted,
        off.cred_cap_effective,
        off.cred_cap_bset,
    ] {
        set(cx, cred, member, capabilities)?;
    }
    let owner = data::alloc(cx, STRUCTURE, 64)?;
    let groups = data::alloc(cx, 64, 8)?;
    cx.w32(groups, 1 << 20)?;
    set(cx, cred, off.cred_user, owner)?;
    set(cx, cred, off.cred_group_info, groups)?;
    set(cx, cred, off.cred_user_ns, cx.identity.user_ns)?;
    Ok(cred)
}

/// `init_user_ns` and `init_task`.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    Ok(match name {
        "init_user_ns" if cx.identity.user_ns != 0 => Some(cx.identity.user_ns),
        "init_task" if cx.identity.init != 0 => Some(cx.identity.init),
        _ => None,
    })
}

/// Fills in a new task's pointers.
pub(super) fn give(cx: &Cx, ts: u64) -> R<()> {
    let (off, own) = (cx.off, &cx.identity);
    for (member, value) in [
        (off.task_cred, own.root),
        (off.task_real_cred, own.root),
        (off.task_nsproxy, own.nsproxy),
        (off.task_signal, own.signal),
        (off.task_group_leader, ts),
        (off.task_real_parent, own.init),
        (off.task_parent, own.init),
    ] {
        set(cx, ts, member, value)?;
    }
    Ok(())
}

/// Whether a task runs as root; what it makes does as well.
pub fn become_user(cx: &mut Cx, tid: Tid, root: bool) -> R<()> {
    let cred = of(cx, root);
    let task = &mut cx.sched.tasks[tid as usize];
    task.capable = root;
    let (ts, off) = (task.ts, cx.off);
    set(cx, ts, off.task_cred, cred)?;
    set(cx, ts, off.task_real_cred, cred)
}

/// The credentials of a user.
fn of(cx: &Cx, root: bool) -> u64 {
    if root {
        cx.identity.root
    } else {
        cx.identity.nobody
    }
}

/// Whether the running task is root's; interrupts are.
fn is_root(cx: &Cx) -> bool {
    super::current(cx).is_none_or(|tid| cx.sched.tasks[tid as usize].capable)
}

/// Writes into a struct file who opens it.
pub(crate) fn sign(cx: &Cx, file: u64) -> R<()> {
    set(cx, file, cx.off.file_f_cred, of(cx, is_root(cx)))
}

/// Root has all capabilities, everybody else none.
fn capable(cx: &mut Cx, _: &Call) -> R {
    Ok(u64::from(is_root(cx)))
}
