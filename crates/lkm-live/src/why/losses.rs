//! What does not pin a module but points into it, or goes with it: interfaces, irqs,
//! timers, notifiers, devices, threads.

use std::fs;

use lkm_judge::why::Loss;

use crate::proc;
use crate::target::Target;
use crate::trees;
use crate::walk::{Kernel, Trouble};

/// The chains of the kernel that modules register on, with the type of their heads.
pub const CHAINS: &[(&str, &str)] = &[
    ("acpi_chain_head", "blocking_notifier_head"),
    ("crypto_chain", "blocking_notifier_head"),
    ("die_chain", "atomic_notifier_head"),
    ("fb_notifier_list", "blocking_notifier_head"),
    ("inet6addr_chain", "atomic_notifier_head"),
    ("inet6addr_validator_chain", "blocking_notifier_head"),
    ("inetaddr_chain", "blocking_notifier_head"),
    ("inetaddr_validator_chain", "blocking_notifier_head"),
    ("keyboard_notifier_list", "atomic_notifier_head"),
    ("module_notify_list", "blocking_notifier_head"),
    ("netdev_chain", "raw_notifier_head"),
    ("netevent_notif_chain", "atomic_notifier_head"),
    ("netlink_chain", "blocking_notifier_head"),
    ("oom_notify_list", "blocking_notifier_head"),
    ("panic_notifier_list", "atomic_notifier_head"),
    ("pm_chain_head", "blocking_notifier_head"),
    ("reboot_notifier_list", "blocking_notifier_head"),
    ("restart_handler_list", "atomic_notifier_head"),
    ("vt_notifier_list", "atomic_notifier_head"),
];

const IFF_UP: u32 = 1;

fn loss(kind: &str, object: String, effect: &str, fatal: bool) -> Loss {
    Loss {
        kind: kind.into(),
        object,
        effect: effect.into(),
        fatal,
    }
}

const IRQ: &str = "is handled by the module: safe only if its exit frees it";
const TIMER: &str = "fires into the module: safe only if its exit deletes it";
const NOTIFIER: &str = "calls the module: safe only if its exit unregisters it";
const THREAD: &str = "runs in the module: safe only if its exit stops it";

/// Network interfaces whose operations are the module's, in every namespace.
///
/// # Errors
/// When a list cannot be walked.
pub fn interfaces(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    let mut found = Vec::new();
    let head = kernel.symbol("net_namespace_list")?;
    let own = kernel.symbol("init_net")?;
    for namespace in kernel.list(head, "net", "list")? {
        let head = kernel.at(namespace, "net", "dev_base_head")?;
        for device in kernel.list(head, "net_device", "dev_list")? {
            let operations = kernel.ptr(device, "net_device", "netdev_ops")?;
            let link = kernel.ptr(device, "net_device", "rtnl_link_ops")?;
            if !target.covers(operations) && !target.covers(link) {
                continue;
            }
            let name = kernel
                .memory
                .text(kernel.at(device, "net_device", "name")?, 16)?;
            let up = kernel.u32(device, "net_device", "flags")? & IFF_UP != 0;
            let place = if namespace == own {
                ""
            } else {
                " (in another network namespace)"
            };
            let effect = if up {
                "disappears, with its addresses and routes: it is up"
            } else {
                "disappears (it is down)"
            };
            found.push(loss("interface", format!("{name}{place}"), effect, false));
        }
    }
    Ok(found)
}

/// Interrupts with a handler in the module.
///
/// # Errors
/// When the tree of descriptors cannot be walked.
pub fn interrupts(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    // Linux kernel commit 721255b9826b ("genirq: Use a maple tree for interrupt descriptor
    // management") (in v6.5) replaced the radix tree.
    let descriptors = match kernel.symbols.kernel("irq_desc_tree") {
        Some(tree) => trees::xarray(kernel, kernel.at(tree, "xarray", "xa_head")?)?,
        None => {
            let tree = kernel.symbol("sparse_irqs")?;
            trees::maple(kernel, kernel.at(tree, "maple_tree", "ma_root")?)?
        }
    };
    let mut found = Vec::new();
    for descriptor in descriptors {
        let mut action = kernel.ptr(descriptor, "irq_desc", "action")?;
        let mut length = 0;
        while action != 0 && length < 256 {
            let record = kernel.record("irqaction", action)?;
            if target.covers(record.ptr("handler")?) || target.covers(record.ptr("thread_fn")?) {
                let name = kernel.string(record.ptr("name")?).unwrap_or_default();
                let object = format!("{} ({name})", record.u32("irq")?);
                found.push(loss("irq", object, IRQ, true));
            }
            action = record.ptr("next")?;
            length += 1;
        }
    }
    Ok(found)
}

/// The addresses of a per-CPU variable, one for each possible processor.
fn per_cpu(kernel: &Kernel<'_>, name: &str) -> Result<Vec<u64>, Trouble> {
    each_cpu(kernel, kernel.symbol(name)?)
}

/// Where a per-CPU address is on each possible processor.
pub fn each_cpu(kernel: &Kernel<'_>, variable: u64) -> Result<Vec<u64>, Trouble> {
    let offsets = kernel.symbol("__per_cpu_offset")?;
    let count = u64::from(kernel.memory.u32(kernel.symbol("nr_cpu_ids")?)?.min(8192));
    let offsets = trees::words(kernel, offsets, count)?;
    Ok(offsets
        .iter()
        .map(|offset| variable.wrapping_add(*offset))
        .collect())
}

/// Armed timers whose function is the module's, also those of delayed work.
///
/// # Errors
/// When the wheels cannot be read.
pub fn timers(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    let mut found = Vec::new();
    let step = kernel.types.size("timer_base")?;
    let buckets = kernel.types.elements("timer_base", "vectors")?;
    let delayed = kernel.symbols.kernel("delayed_work_timer_fn");
    for (cpu, first) in per_cpu(kernel, "timer_bases")?.into_iter().enumerate() {
        // Two wheels, three since v6.9; what follows them is no wheel of this processor.
        for n in 0..3 {
            let base = first + n * step;
            let real = kernel.u32(base, "timer_base", "cpu")? as usize == cpu
                && kernel.ptr(base, "timer_base", "clk")? != 0;
            if n > 0 && !real {
                break;
            }
            let at = kernel.at(base, "timer_base", "vectors")?;
            for head in trees::words(kernel, at, buckets)? {
                wheel_slot(kernel, target, head, delayed, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn wheel_slot(
    kernel: &Kernel<'_>,
    target: &Target,
    head: u64,
    delayed: Option<u64>,
    found: &mut Vec<Loss>,
) -> Result<(), Trouble> {
    let mut node = head;
    let mut length = 0;
    while node != 0 && length < 10_000 {
        let timer = node - kernel.types.offset("timer_list", "entry")?;
        let function = kernel.ptr(timer, "timer_list", "function")?;
        let mut object = None;
        if target.covers(function) {
            object = kernel.symbols.in_module(function);
        } else if Some(function) == delayed {
            let work = timer - kernel.types.offset("delayed_work", "timer")?;
            let function = kernel.ptr(work, "delayed_work", "work.func")?;
            if target.covers(function) {
                let name = kernel.symbols.in_module(function).unwrap_or_default();
                object = Some(format!("{name} (delayed work)"));
            }
        }
        if let Some(function) = object {
            found.push(loss(
                "timer",
                described(kernel, target, timer, &function),
                TIMER,
                true,
            ));
        }
        node = kernel.memory.u64(node)?;
        length += 1;
    }
    Ok(())
}

/// `variable → function`, when the object itself has a name in the module.
fn described(kernel: &Kernel<'_>, target: &Target, object: u64, function: &str) -> String {
    match kernel
        .symbols
        .in_module(object)
        .filter(|_| target.covers(object))
    {
        Some(name) => format!("{name} → {function}"),
        None => format!("→ {function}"),
    }
}

/// Armed high-resolution timers whose function is the module's.
///
/// # Errors
/// When the trees cannot be walked.
pub fn high_resolution(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    let mut found = Vec::new();
    let step = kernel.types.size("hrtimer_clock_base")?;
    let clocks = kernel.types.elements("hrtimer_cpu_base", "clock_base")?;
    let to_timer = kernel.types.offset("hrtimer", "node.node")?;
    for base in per_cpu(kernel, "hrtimer_bases")? {
        let first = kernel.at(base, "hrtimer_cpu_base", "clock_base")?;
        for n in 0..clocks.min(16) {
            let clock = first + n * step;
            let root = kernel.at(
                clock,
                "hrtimer_clock_base",
                "active.rb_root.rb_root.rb_node",
            )?;
            for node in trees::red_black(kernel, root)? {
                let timer = node - to_timer;
                let function = kernel.ptr(timer, "hrtimer", "function")?;
                if target.covers(function) {
                    let name = kernel.symbols.in_module(function).unwrap_or_default();
                    found.push(loss(
                        "timer",
                        described(kernel, target, timer, &name),
                        TIMER,
                        true,
                    ));
                }
            }
        }
    }
    Ok(found)
}

/// Notifiers of the module on the kernel's well-known chains.
///
/// # Errors
/// When a chain cannot be walked.
pub fn notifiers(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    let mut found = Vec::new();
    for (symbol, kind) in CHAINS {
        let Some(head) = kernel.symbols.kernel(symbol) else {
            continue;
        };
        let head = kernel.at(head, kind, "head")?;
        for block in kernel.chain(head, "notifier_block", "next")? {
            let function = kernel.ptr(block, "notifier_block", "notifier_call")?;
            if target.covers(function) {
                let name = kernel.symbols.in_module(function).unwrap_or_default();
                let object = format!("{symbol}: {}", described(kernel, target, block, &name));
                found.push(loss("notifier", object, NOTIFIER, true));
            }
        }
    }
    Ok(found)
}

/// Devices that the module's drivers are bound to, from sysfs.
pub fn devices(module: &str) -> Vec<Loss> {
    let mut found = Vec::new();
    for driver in proc::names(format!("/sys/module/{module}/drivers")) {
        let path = format!("/sys/module/{module}/drivers/{driver}");
        for entry in proc::names(&path) {
            let is_device = entry != "module"
                && fs::symlink_metadata(format!("{path}/{entry}")).is_ok_and(|m| m.is_symlink());
            if is_device {
                let object = format!("{entry} (driver {driver})");
                found.push(loss("device", object, "loses its driver", false));
            }
        }
    }
    found
}

/// Threads that run in the module's text.
pub fn threads(module: &str, stacks: &[proc::Stack]) -> Vec<Loss> {
    let mark = format!("[{module}]");
    stacks
        .iter()
        .filter_map(|stack| {
            let line = stack.text.lines().find(|line| line.contains(&mark))?;
            let place = line.split("] ").nth(1).unwrap_or(line);
            let place = place.split('/').next().unwrap_or(place);
            let object = format!("{} ({}) in {place}", stack.tid, stack.name);
            Some(loss("thread", object, THREAD, true))
        })
        .collect()
}
