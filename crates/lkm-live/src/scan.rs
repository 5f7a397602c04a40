//! What a module left behind: pointers into it from the kernel's data, from per-CPU data
//! and from other modules, without the bookkeeping that every module has.

use std::collections::BTreeSet;

use lkm_judge::why::Loss;

use crate::target::{self, Target};
use crate::trees;
use crate::walk::{Kernel, Trouble, is_kernel_pointer};
use crate::why::losses;

/// Data of the kernel that points into every module, or into whatever was there before.
const BOOKKEEPING: &[&str] = &[
    "modules",
    "mod_tree",
    "module_bug_list",
    "cur_orc_table",
    "cur_orc_ip_table",
    "exec_summary_regs",
    "last_unloaded_module",
    // A piece of bss that the kernel has given back: anybody's memory by now.
    "__start_bss_decrypted_unused",
];

/// Pieces in which memory is read.
const PIECE: usize = 1 << 18;

/// A mutex of the kernel that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its symbol.
    pub name: String,
    /// Where it is.
    pub address: u64,
    /// Its owner: the address of a `struct task_struct`.
    pub owner: u64,
    /// The owner is in the list of tasks. The memory of a dead task may have been given
    /// to a new one, so this alone does not say that it will be given back.
    pub alive: bool,
}

impl Held {
    /// True when the same owner still holds it.
    pub fn still(&self, kernel: &Kernel<'_>) -> bool {
        kernel
            .memory
            .u64(self.address)
            .is_ok_and(|word| word & !7 == self.owner)
    }
}

/// What one pass over the kernel's data found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Pointers into the module.
    pub pointers: Vec<Loss>,
    /// Mutexes that are held.
    pub held: Vec<Held>,
}

/// Scans the kernel's data. All of the kernel's symbols must have been kept.
///
/// # Errors
/// When a symbol is missing or the structures cannot be read.
pub fn scan(kernel: &Kernel<'_>, target: &Target, tasks: &BTreeSet<u64>) -> Result<Scan, Trouble> {
    let mut found = Scan::default();
    for (start, end) in [("_sdata", "_edata"), ("__bss_start", "__bss_stop")] {
        let (start, end) = (edge(kernel, start)?, edge(kernel, end)?);
        piecewise(kernel, start, end, |address, bytes| {
            words(address, bytes, target, |at, value| {
                if let Some(loss) = pointer(kernel, target, at, at, value) {
                    found.pointers.push(loss);
                }
            });
            held(kernel, address, bytes, tasks, &mut found.held);
        });
    }
    let (start, end) = (
        edge(kernel, "__per_cpu_start")?,
        edge(kernel, "__per_cpu_end")?,
    );
    for (cpu, own) in losses::each_cpu(kernel, start)?.into_iter().enumerate() {
        piecewise(kernel, own, own + (end - start), |address, bytes| {
            words(address, bytes, target, |at, value| {
                let named = at - own + start;
                if let Some(mut loss) = pointer(kernel, target, at, named, value) {
                    loss.object = format!("{} of processor {cpu}", loss.object);
                    found.pointers.push(loss);
                }
            });
        });
    }
    others(kernel, target, &mut found)?;
    Ok(found)
}

fn edge(kernel: &Kernel<'_>, name: &str) -> Result<u64, Trouble> {
    kernel.symbol(name)
}

fn piecewise(kernel: &Kernel<'_>, start: u64, end: u64, mut look: impl FnMut(u64, &[u8])) {
    let mut at = start;
    let mut buffer = vec![0; PIECE];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        // A hole (freed init data) is not an error.
        if kernel.memory.read(at, &mut buffer[..length]).is_ok() {
            look(at, &buffer[..length]);
        }
        at += length as u64;
    }
}

/// Words of a piece that point into the module.
fn words(address: u64, bytes: &[u8], target: &Target, mut hit: impl FnMut(u64, u64)) {
    for (n, word) in bytes.chunks_exact(8).enumerate() {
        let value = word.try_into().map_or(0, u64::from_ne_bytes);
        if target.covers(value) {
            hit(address + n as u64 * 8, value);
        }
    }
}

/// A pointer at `at`, whose place is called by the symbol that covers `named`.
fn pointer(kernel: &Kernel<'_>, target: &Target, at: u64, named: u64, value: u64) -> Option<Loss> {
    if target.covers(at) {
        return None;
    }
    let place = kernel
        .symbols
        .in_kernel(named)
        .unwrap_or_else(|| format!("{at:#x}"));
    let symbol = place.split('+').next().unwrap_or(&place);
    if BOOKKEEPING.contains(&symbol) {
        return None;
    }
    let what = kernel
        .symbols
        .in_module(value)
        .unwrap_or_else(|| format!("{value:#x}"));
    Some(loss(kernel, symbol, &place, &what))
}

fn loss(kernel: &Kernel<'_>, symbol: &str, place: &str, what: &str) -> Loss {
    let object = what.split('+').next().unwrap_or(what);
    let call = undo(kernel, symbol).map_or_else(String::new, |call| {
        format!("; usually undone by --cleanup '{call}({object})'")
    });
    Loss {
        kind: "pointer".into(),
        object: format!("{place} → {what}"),
        effect: format!("still points into the module{call}"),
        fatal: true,
    }
}

/// The call that takes an object out of a well-known list.
fn undo(kernel: &Kernel<'_>, symbol: &str) -> Option<&'static str> {
    const CALLS: &[(&str, &str)] = &[
        ("misc_list", "misc_deregister"),
        ("netdev_chain", "unregister_netdevice_notifier"),
        ("reboot_notifier_list", "unregister_reboot_notifier"),
        ("inetaddr_chain", "unregister_inetaddr_notifier"),
        ("inet6addr_chain", "unregister_inet6addr_notifier"),
        ("module_notify_list", "unregister_module_notifier"),
        ("keyboard_notifier_list", "unregister_keyboard_notifier"),
        ("die_chain", "unregister_die_notifier"),
        ("pm_chain_head", "unregister_pm_notifier"),
        ("oom_notify_list", "unregister_oom_notifier"),
        ("netevent_notif_chain", "unregister_netevent_notifier"),
        ("vt_notifier_list", "unregister_vt_notifier"),
        ("fb_notifier_list", "fb_unregister_client"),
        ("netlink_chain", "netlink_unregister_notifier"),
        ("file_systems", "unregister_filesystem"),
        ("formats", "unregister_binfmt"),
        ("hrtimer_bases", "hrtimer_cancel"),
    ];
    if symbol == "timer_bases" {
        // Renamed in 6.2, and the old name is inline where the new one was taken over.
        let names = ["timer_delete_sync", "del_timer_sync"];
        return names
            .into_iter()
            .find(|n| !kernel.symbols.kernel_all(n).is_empty());
    }
    CALLS
        .iter()
        .find(|(list, _)| *list == symbol)
        .map(|(_, call)| *call)
}

/// Pointers from the data of other modules, but for what links modules to each other.
/// Their read-only parts still name their own init, whose memory may be this module's now.
fn others(kernel: &Kernel<'_>, target: &Target, found: &mut Scan) -> Result<(), Trouble> {
    let own_size = kernel.types.size("module")?;
    for address in target::all(kernel)? {
        if address == target.address {
            continue;
        }
        let other = target::read(kernel, address)?;
        for (start, size) in &other.data {
            piecewise(kernel, *start, start + size, |at, bytes| {
                words(at, bytes, target, |at, value| {
                    if at >= address && at < address + own_size {
                        return;
                    }
                    let what = kernel.symbols.in_module(value);
                    let what = what.unwrap_or_else(|| format!("{value:#x}"));
                    let place = kernel.symbols.in_kernel(at);
                    let place = place.unwrap_or_else(|| format!("{at:#x} [{}]", other.name));
                    // Every module's data names its own init, whose memory may be this
                    // module's by now.
                    if place.contains("addressable_init_module") {
                        return;
                    }
                    found.pointers.push(loss(kernel, "", &place, &what));
                });
            });
        }
    }
    Ok(())
}

/// Mutexes in a piece: a word that could be the owner, lock words, and a list of waiters,
/// at a symbol that is called a mutex or a lock.
fn held(
    kernel: &Kernel<'_>,
    address: u64,
    bytes: &[u8],
    tasks: &BTreeSet<u64>,
    found: &mut Vec<Held>,
) {
    let Ok(list) = kernel.types.offset("mutex", "wait_list") else {
        return;
    };
    let list = usize::try_from(list).unwrap_or(usize::MAX);
    let word = |at: usize| {
        let bytes = bytes.get(at..at.saturating_add(8))?;
        bytes.try_into().ok().map(u64::from_ne_bytes)
    };
    for at in (0..bytes.len()).step_by(8) {
        let here = address + at as u64;
        let Some(owner) = word(at).map(|w| w & !7) else {
            continue;
        };
        // A task is aligned to a cache line, as no list in static data need be.
        if !is_kernel_pointer(owner) || owner & 0x3f != 0 {
            continue;
        }
        let head = here + list as u64;
        let list = at.saturating_add(list);
        let (Some(next), Some(previous)) = (word(list), word(list.saturating_add(8))) else {
            continue;
        };
        let idle = next == head && previous == head && word(at + 8) == Some(0);
        // The first waiter links back.
        let waited_for = || {
            next != head
                && is_kernel_pointer(next)
                && is_kernel_pointer(previous)
                && kernel.memory.u64(next + 8) == Ok(head)
        };
        if !idle && !waited_for() {
            continue;
        }
        let Some(name) = kernel.symbols.in_kernel(here) else {
            continue;
        };
        let is_mutex = name.split('_').any(|word| word.ends_with("mutex"));
        if !name.contains('+') && (is_mutex || idle && name.split('_').any(|w| w == "lock")) {
            found.push(Held {
                name,
                address: here,
                owner,
                alive: tasks.contains(&owner),
            });
        }
    }
}

/// Everything that is left of a module whose exit will not run: pointers, and what the
/// walks know of timers, notifiers, interrupts and interfaces.
///
/// # Errors
/// When the kernel cannot be scanned.
pub fn leftovers(
    kernel: &Kernel<'_>,
    target: &Target,
    tasks: &BTreeSet<u64>,
) -> Result<(Vec<Loss>, Vec<Held>), Trouble> {
    let scanned = scan(kernel, target, tasks)?;
    let mut all = scanned.pointers;
    let mut add = |found: Vec<Loss>| {
        for loss in found {
            // An image pointer to the same chain or wheel says it already, and more.
            let chain = loss.object.split(':').next().unwrap_or("").to_string();
            if !all
                .iter()
                .any(|l| l.object.starts_with(&chain) && loss.kind == "notifier")
            {
                all.push(loss);
            }
        }
    };
    add(trees_of_timers(kernel, target)?);
    add(losses::notifiers(kernel, target)?);
    add(losses::interrupts(kernel, target)?);
    add(losses::interfaces(kernel, target)?);
    Ok((all, scanned.held))
}

fn trees_of_timers(kernel: &Kernel<'_>, target: &Target) -> Result<Vec<Loss>, Trouble> {
    let mut found = losses::timers(kernel, target)?;
    found.extend(losses::high_resolution(kernel, target)?);
    Ok(found)
}

/// Entries of the table of loads in progress that no live task has on its stack: what a
/// load that died has left there. The next load of the same file would wait for it, and
/// the next that meets its bucket would read freed memory. Linux kernel commit 9b9879fc0327
/// ("modules: catch concurrent module loads, treat them as idempotent") (in v6.5).
///
/// # Errors
/// When the table cannot be read.
pub fn dead_loads(kernel: &Kernel<'_>, stacks: &[u64]) -> Result<Vec<(u64, u64)>, Trouble> {
    let Some(table) = kernel.symbols.kernel("idem_hash") else {
        return Ok(Vec::new());
    };
    /// `THREAD_SIZE` of x86-64 without KASAN.
    const THREAD_SIZE: u64 = 16 << 10;
    const BUCKETS: u64 = 256;
    let mut found = Vec::new();
    for (n, first) in trees::words(kernel, table, BUCKETS)?
        .into_iter()
        .enumerate()
    {
        let (mut place, mut node) = (table + n as u64 * 8, first);
        let mut length = 0;
        while node != 0 && length < 1000 {
            let alive = stacks.iter().any(|s| node >= *s && node - *s < THREAD_SIZE);
            if !alive {
                found.push((place, node));
                break;
            }
            place = node;
            node = kernel.memory.u64(node)?;
            length += 1;
        }
    }
    Ok(found)
}
