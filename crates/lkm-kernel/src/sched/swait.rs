//! Simple wait queues (kernel/sched/swait.c): like wait queues, with tasks only.

use crate::Cx;
use crate::abi::{Call, R, errno, neg};
use crate::sched::{self, NORMAL, RUNNING};
use crate::table::{Row, behaves};
use crate::util::{list_add_tail, list_del_init, list_entries, list_init};

pub(crate) const ROWS: &[Row] = &[
    behaves("__init_swait_queue_head", init_head),
    behaves("swake_up_one", swake_up_one),
    behaves("swake_up_all", swake_up_all),
    behaves("swake_up_locked", swake_up_one),
    behaves("prepare_to_swait_exclusive", prepare),
    behaves("prepare_to_swait_event", prepare_event),
    behaves("finish_swait", finish),
];

fn init_head(cx: &mut Cx, c: &Call) -> R {
    cx.w32(c.a[0], 0)?;
    list_init(cx, c.a[0] + cx.off.swqh_list)?;
    Ok(0)
}

fn wake(cx: &mut Cx, head: u64, count: usize) -> R {
    let nodes = list_entries(cx, head + cx.off.swqh_list)?;
    for node in nodes.into_iter().take(count) {
        let task = cx.r64(node - cx.off.swq_list + cx.off.swq_task)?;
        if let Some(tid) = sched::by_struct(cx, task) {
            sched::wake_state(cx, tid, NORMAL)?;
        }
        list_del_init(cx, node)?;
    }
    Ok(0)
}

fn swake_up_one(cx: &mut Cx, c: &Call) -> R {
    wake(cx, c.a[0], 1)
}

fn swake_up_all(cx: &mut Cx, c: &Call) -> R {
    wake(cx, c.a[0], usize::MAX)
}

fn link(cx: &mut Cx, head: u64, wait: u64) -> R<()> {
    let ts = cx.sched.tasks[sched::current_tid(cx) as usize].ts;
    cx.w64(wait + cx.off.swq_task, ts)?;
    let node = wait + cx.off.swq_list;
    if cx.r64(node)? == node {
        list_add_tail(cx, node, head + cx.off.swqh_list)?;
    }
    Ok(())
}

fn prepare(cx: &mut Cx, c: &Call) -> R {
    link(cx, c.a[0], c.a[1])?;
    sched::set_state(cx, c.a[2] as u32)?;
    Ok(0)
}

fn prepare_event(cx: &mut Cx, c: &Call) -> R {
    let tid = sched::current_tid(cx);
    if sched::interrupted(cx, tid, c.a[2] as u32) {
        list_del_init(cx, c.a[1] + cx.off.swq_list)?;
        return Ok(neg(errno::ERESTARTSYS));
    }
    prepare(cx, c)
}

fn finish(cx: &mut Cx, c: &Call) -> R {
    sched::set_state(cx, RUNNING)?;
    let node = c.a[1] + cx.off.swq_list;
    if cx.r64(node)? != node {
        list_del_init(cx, node)?;
    }
    Ok(0)
}
