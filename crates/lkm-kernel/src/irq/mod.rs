//! Interrupt lines (kernel/irq/manage.c): who has requested which. No device raises one here by itself.

pub(crate) mod managed;
pub(crate) mod more;
pub(crate) mod tasklet;

use crate::abi::{Call, R, errno, neg};
use crate::table::{Fails, Row, behaves};
use crate::{Cx, audit, context, trace};
use std::collections::BTreeMap;

pub(crate) const ROWS: &[Row] = &[
    behaves("request_threaded_irq", request_threaded_irq)
        .fails(Fails::Errno(errno::EBUSY))
        .sleeps(),
    behaves("request_any_context_irq", request_any_context_irq)
        .fails(Fails::Errno(errno::EBUSY))
        .sleeps(),
    behaves("free_irq", free_irq).sleeps(),
    behaves("disable_irq", disable_irq),
    behaves("disable_irq_nosync", disable_irq),
    behaves("disable_hardirq", disable_hardirq),
    behaves("enable_irq", enable_irq),
    behaves("synchronize_irq", nothing),
    behaves("irq_set_irq_wake", nothing),
    behaves("irq_set_irq_type", nothing),
    behaves("__irq_apply_affinity_hint", nothing),
    behaves("irq_set_affinity", nothing),
    behaves("irq_has_action", irq_has_action),
    behaves("generic_handle_irq", generic_handle_irq),
    behaves("generic_handle_irq_safe", generic_handle_irq),
    behaves("irq_wake_thread", nothing),
    behaves("probe_irq_on", nothing),
    behaves("probe_irq_off", nothing),
];

#[derive(Debug, Clone)]
struct Action {
    handler: u64,
    thread: u64,
    flags: u64,
    name: u64,
    dev: u64,
}

/// The lines that were requested.
#[derive(Default)]
pub struct State {
    lines: BTreeMap<u32, Vec<Action>>,
    depth: BTreeMap<u32, u32>,
}

/// Lines there are.
const NR_IRQS: u32 = 256;
const SHARED: u64 = 0x80;
const ONESHOT: u64 = 0x2000;
const PROBE_SHARED: u64 = 0x100;
const NO_AUTOEN: u64 = 0x8_0000;
/// Types of trigger: all sharers must agree.
const TRIGGERS: u64 = 0xf;
const WAKE_THREAD: u32 = 2;

fn key(irq: u32, dev: u64) -> u64 {
    if dev != 0 {
        dev
    } else {
        1 << 32 | u64::from(irq)
    }
}

fn request(cx: &mut Cx, irq: u32, action: Action) -> R {
    let shared = action.flags & SHARED != 0;
    if shared && action.dev == 0 || irq >= NR_IRQS {
        return Ok(neg(errno::EINVAL));
    }
    if action.handler == 0 && action.thread == 0 {
        return Ok(neg(errno::EINVAL));
    }
    if action.handler == 0 && action.flags & ONESHOT == 0 {
        let text = format!(
            "genirq: Threaded irq requested with handler=NULL and !ONESHOT for {} (irq {irq})\n",
            cx.text(action.name).unwrap_or_default()
        );
        crate::printk::log(cx, 3, &text);
        return Ok(neg(errno::EINVAL));
    }
    if let Some(first) = cx.irqs.lines.get(&irq).and_then(|l| l.first()).cloned() {
        let agree = first.flags & action.flags & SHARED != 0
            && first.flags & ONESHOT == action.flags & ONESHOT
            && (first.flags & TRIGGERS == action.flags & TRIGGERS
                || action.flags & TRIGGERS == 0
                || first.flags & TRIGGERS == 0);
        if !agree {
            if action.flags & PROBE_SHARED == 0 {
                let text = format!(
                    "genirq: Flags mismatch irq {irq}. {:08x} ({}) vs. {:08x} ({})\n",
                    action.flags as u32,
                    cx.text(action.name).unwrap_or_default(),
                    first.flags as u32,
                    cx.text(first.name).unwrap_or_default()
                );
                crate::printk::log(cx, 3, &text);
            }
            return Ok(neg(errno::EBUSY));
        }
    }
    let name = if action.name == 0 {
        String::new()
    } else {
        cx.text(action.name)?
    };
    let function = if action.handler != 0 {
        action.handler
    } else {
        action.thread
    };
    audit::arm(
        cx,
        "irq",
        key(irq, action.dev),
        function,
        &format!("{irq} {name}"),
    );
    if action.flags & NO_AUTOEN != 0 {
        *cx.irqs.depth.entry(irq).or_insert(0) += 1;
    }
    cx.irqs.lines.entry(irq).or_default().push(action);
    Ok(0)
}

fn request_threaded_irq(cx: &mut Cx, c: &Call) -> R {
    let [irq, handler, thread, flags, name, dev] = c.a;
    request(
        cx,
        irq as u32,
        Action {
            handler,
            thread,
            flags,
            name,
            dev,
        },
    )
}

fn request_any_context_irq(cx: &mut Cx, c: &Call) -> R {
    let [irq, handler, flags, name, dev, _] = c.a;
    request(
        cx,
        irq as u32,
        Action {
            handler,
            thread: 0,
            flags,
            name,
            dev,
        },
    )
}

/// The name it was requested with, NULL when it was not.
fn free_irq(cx: &mut Cx, c: &Call) -> R {
    let (irq, dev) = (c.a[0] as u32, c.a[1]);
    if context::preempt_count(cx) & context::IRQ_MASK != 0 {
        let text = format!("Trying to free IRQ {irq} from IRQ context!\n");
        crate::traps::warn(cx, &text, "__free_irq")?;
    }
    let found = cx.irqs.lines.get_mut(&irq).and_then(|actions| {
        let at = actions.iter().position(|a| a.dev == dev)?;
        Some(actions.remove(at))
    });
    let Some(action) = found else {
        trace::misuse(
            cx,
            "release-unheld",
            &format!("irq {irq}"),
            key(irq, dev),
            "free_irq",
        );
        let text = format!("Trying to free already-free IRQ {irq}\n");
        crate::traps::warn(cx, &text, "__free_irq")?;
        return Ok(0);
    };
    audit::disarm(cx, "irq", key(irq, dev));
    if cx.irqs.lines.get(&irq).is_some_and(Vec::is_empty) {
        cx.irqs.lines.remove(&irq);
        cx.irqs.depth.remove(&irq);
    }
    Ok(action.name)
}

fn disable_irq(cx: &mut Cx, c: &Call) -> R {
    *cx.irqs.depth.entry(c.a[0] as u32).or_insert(0) += 1;
    Ok(0)
}

fn disable_hardirq(cx: &mut Cx, c: &Call) -> R {
    disable_irq(cx, c)?;
    Ok(1)
}

fn enable_irq(cx: &mut Cx, c: &Call) -> R {
    let irq = c.a[0] as u32;
    match cx.irqs.depth.get_mut(&irq) {
        Some(depth) if *depth > 0 => *depth -= 1,
        _ => {
            let text = format!("Unbalanced enable for IRQ {irq}\n");
            crate::traps::warn(cx, &text, "__enable_irq")?;
        }
    }
    Ok(0)
}

fn nothing(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn irq_has_action(cx: &mut Cx, c: &Call) -> R {
    Ok(u64::from(cx.irqs.lines.contains_key(&(c.a[0] as u32))))
}

/// Raises a line by software: the handlers run here, in hard interrupt context.
fn generic_handle_irq(cx: &mut Cx, c: &Call) -> R {
    let irq = c.a[0] as u32;
    let Some(actions) = cx.irqs.lines.get(&irq).cloned() else {
        return Ok(neg(errno::EINVAL));
    };
    if cx.irqs.depth.get(&irq).is_some_and(|&d| d > 0) {
        return Ok(0);
    }
    let (_, flags) = context::save(cx);
    context::add(cx, context::HARDIRQ as i32);
    context::set_irqs(cx, false);
    let mut threads = Vec::new();
    for action in actions {
        let answer = if action.handler == 0 {
            WAKE_THREAD
        } else {
            cx.call_guest(action.handler, &[u64::from(irq), action.dev]) as u32
        };
        if answer == WAKE_THREAD && action.thread != 0 {
            threads.push((action.thread, action.dev));
        }
    }
    context::set_irqs(cx, flags & 0x200 != 0);
    context::add(cx, -(context::HARDIRQ as i32));
    for (thread, dev) in threads {
        crate::workqueue::spawn(
            cx,
            Box::new(move |cx: &mut Cx| {
                cx.call_guest(thread, &[u64::from(irq), dev]);
                Ok(0)
            }),
        )?;
    }
    Ok(0)
}
