//! In which contexts each spinlock is taken, as lockdep has it (kernel/locking/lockdep.c, mark_lock): one that an
//! interrupt takes must not be taken elsewhere with that interrupt on.

use crate::hash::Map;
use crate::{Cx, context, sched, trace};
use lkm_trace::{Event, Site};

/// For hard and for soft interrupts: who took the lock in one, and where it was taken with them on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Uses {
    inside: [Option<String>; 2],
    open: [Option<(Site, u32)>; 2],
    told: bool,
}

/// All locks, by class.
pub(crate) type State = Map<u64, Uses>;

const NAMES: [&str; 2] = ["hard interrupts", "softirqs"];
/// HARDIRQ_MASK.
const HARDIRQ: u32 = 0x000f_0000;
/// SOFTIRQ_MASK: being in one, or having them off.
const SOFTIRQ: u32 = 0x0000_ff00;

/// The running task takes a lock; its context has been entered.
pub(super) fn check(cx: &mut Cx, key: u64, function: &str) {
    let Some(tid) = sched::current(cx) else {
        return;
    };
    let class = cx.locks.class.get(&key).copied().unwrap_or(key);
    let count = context::preempt_count(cx);
    let hard = count & HARDIRQ != 0;
    let soft = count & context::SOFTIRQ != 0 && !hard;
    let irqs_on = !context::irqs_disabled(cx) && !hard;
    let now = [(hard, irqs_on), (soft, irqs_on && count & SOFTIRQ == 0)];
    let fresh = match cx.locks.usage.get(&class) {
        None => now.iter().any(|&(inside, open)| inside || open),
        Some(uses) => {
            !uses.told
                && (0..2).any(|i| {
                    now[i].0 && uses.inside[i].is_none() || now[i].1 && uses.open[i].is_none()
                })
        }
    };
    if !fresh {
        return;
    }
    let site = trace::site(cx);
    let name = crate::module::kallsyms::describe(cx, site.pc);
    let uses = cx.locks.usage.entry(class).or_default();
    for (index, (inside, open)) in now.into_iter().enumerate() {
        if inside {
            uses.inside[index].get_or_insert_with(|| name.clone());
        }
        if open {
            uses.open[index].get_or_insert_with(|| (site.clone(), tid));
        }
    }
    let bad = (0..2).find_map(|i| Some((i, uses.inside[i].clone()?, uses.open[i].clone()?)));
    let Some((index, inside, (site, tid))) = bad else {
        return;
    };
    uses.told = true;
    // Told where it is taken with them on: that is where it is wrong, whichever came first.
    let event = Event::Misuse {
        what: "irq-unsafe".into(),
        detail: format!("{} take it at {inside}, here they are on", NAMES[index]),
        key,
        function: function.into(),
        tid,
        site,
    };
    trace::emit(cx, event);
}
