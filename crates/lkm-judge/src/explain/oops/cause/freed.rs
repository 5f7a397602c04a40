//! Code that is not there any more: what called it says what was left behind.

use super::super::parse::{Access, Kind};
use super::{Found, Scene, found};

/// What called into a module that has gone.
const CALLERS: &[(&[&str], &str, &str)] = &[
    (
        &[
            "call_timer_fn",
            "run_timer_softirq",
            "expire_timers",
            "__run_timers",
        ],
        "left-running",
        "a timer",
    ),
    (
        &[
            "__hrtimer_run_queues",
            "hrtimer_run_queues",
            "hrtimer_interrupt",
        ],
        "left-running",
        "an hrtimer",
    ),
    (&["process_one_work"], "left-running", "a work item"),
    (
        &[
            "rcu_do_batch",
            "rcu_core",
            "rcu_process_callbacks",
            "__rcu_process_callbacks",
        ],
        "left-running",
        "an RCU callback",
    ),
    (
        &["tasklet_action", "tasklet_action_common"],
        "left-running",
        "a tasklet",
    ),
    (
        &[
            "__handle_irq_event_percpu",
            "handle_irq_event",
            "handle_irq_event_percpu",
        ],
        "left-running",
        "an interrupt handler",
    ),
    (
        &[
            "notifier_call_chain",
            "blocking_notifier_call_chain",
            "__blocking_notifier_call_chain",
            "raw_notifier_call_chain",
            "atomic_notifier_call_chain",
        ],
        "left-registered",
        "a notifier",
    ),
    (
        &["netlink_unicast", "netlink_rcv_skb"],
        "left-registered",
        "a netlink socket",
    ),
    (
        &[
            "chrdev_open",
            "misc_open",
            "do_dentry_open",
            "proc_reg_open",
            "proc_reg_read",
            "kernfs_fop_read_iter",
            "kernfs_fop_write_iter",
            "sysfs_kf_read",
            "sysfs_kf_write",
            "dev_attr_show",
            "kobj_attr_show",
            "debugfs_real_fops",
            "full_proxy_read",
            "seq_read",
            "seq_read_iter",
        ],
        "left-registered",
        "a file or attribute",
    ),
    (
        &[
            "vfs_read",
            "vfs_write",
            "__fput",
            "fput",
            "ksys_read",
            "vfs_ioctl",
            "do_iter_write",
            "ioctl",
        ],
        "missing-owner",
        "an open file",
    ),
    (
        &[
            "device_release",
            "kobject_put",
            "kobject_cleanup",
            "platform_probe",
            "really_probe",
            "device_add",
        ],
        "left-registered",
        "a device or driver",
    ),
    (
        &[
            "kthread",
            "ret_from_fork",
            "kernel_thread_helper",
            "ret_from_kernel_thread",
        ],
        "left-running",
        "a kernel thread",
    ),
];

/// Execution of, or a read from, a module that is not there any more.
pub(super) fn freed_module(s: &Scene<'_>) -> Option<Found> {
    let bare_address = s.oops.at.as_ref().is_some_and(|f| f.symbol.is_empty());
    let fetch = s.oops.access == Some(Access::Fetch);
    let null = s.oops.address.is_some_and(|a| a < 4096);
    if null || !(bare_address || fetch) || s.oops.kind != Kind::Fault {
        return None;
    }
    let Some((names, rule, what)) = CALLERS.iter().find(|(names, ..)| s.through(names)) else {
        return by_context(s);
    };
    let gone = if s.oops.last_unloaded.is_empty() {
        "a module that has gone".to_owned()
    } else {
        format!("{}, which was unloaded last", s.oops.last_unloaded)
    };
    let via = names
        .iter()
        .find(|n| s.through(&[n]))
        .copied()
        .unwrap_or("");
    found(
        rule,
        format!(
            "{what} called code that is not there any more, of {gone}: it was not stopped or unregistered before the module went"
        ),
        &[
            "the instruction pointer has no symbol: nothing is loaded at that address".to_owned(),
            format!("{via} in the chain is what calls such functions"),
        ],
    )
}

/// No caller is known, but a module went before: where it ran says what it can have been.
fn by_context(s: &Scene<'_>) -> Option<Found> {
    let jumped = s
        .oops
        .at
        .as_ref()
        .is_some_and(|f| f.symbol.is_empty() && f.offset == s.oops.address);
    if s.oops.last_unloaded.is_empty() || !jumped {
        return None;
    }
    let comm = &s.oops.comm;
    let interrupt = s.text.contains("<IRQ>")
        || ["swapper/", "ksoftirqd/"]
            .iter()
            .any(|idle| comm.starts_with(idle));
    let (rule, what) = if interrupt {
        (
            "left-running",
            "an interrupt or what comes after one (a timer, a tasklet, a handler)",
        )
    } else {
        ("left-registered", "something that was registered")
    };
    found(
        rule,
        format!(
            "{what} called code that is not there any more, probably of {}, which was unloaded last: it was not stopped or unregistered before the module went",
            s.oops.last_unloaded
        ),
        &["the instruction pointer is the address that faulted, and has no symbol: nothing is loaded there".to_owned()],
    )
}
