//! The third depth: stage after stage through the kernel's structures, until every
//! reference has an owner.

use std::collections::BTreeSet;

use lkm_judge::why::{Limit, Reference, Why};

use super::files::{Files, Holder, Task};
use super::{Live, crypto, files, filters, losses, mapped, sockets, storage, terminals, traffic};
use crate::proc;
use crate::target::Target;
use crate::trees;
use crate::types::Types;
use crate::walk::{Kernel, Trouble};

/// Takes a stage's references in; a stage that failed is said.
fn take(why: &mut Why, what: &str, found: Result<Vec<Reference>, Trouble>) {
    match found {
        Ok(found) => why.refs.extend(found),
        Err(trouble) => {
            why.limits.push(Limit {
                what: what.into(),
                reason: trouble.to_string(),
            });
        }
    }
    why.settle();
}

fn open(why: &Why) -> bool {
    why.unexplained > 0
}

/// The types of a module that has types of its own, when it is loaded.
fn types_of(live: &Live, loaded: &BTreeSet<String>, module: &str) -> Option<Types> {
    loaded
        .contains(module)
        .then(|| live.types.module(module).ok())
        .flatten()
}

/// Looks for owners of the module's references, and for what it would leave behind.
pub fn look(why: &mut Why, live: &Live, target: &Target) {
    if target.permanent() && target.state == 0 && !why.pinned {
        super::permanent(why);
    }
    let kernel = live.kernel();
    if open(why) && target.state != 2 {
        references(why, live, &kernel, target);
    }
    let stages: [(&str, Result<_, Trouble>); 5] = [
        ("interfaces", losses::interfaces(&kernel, target)),
        ("irqs", losses::interrupts(&kernel, target)),
        ("timers", losses::timers(&kernel, target)),
        (
            "high-resolution timers",
            losses::high_resolution(&kernel, target),
        ),
        ("notifier chains", losses::notifiers(&kernel, target)),
    ];
    for (what, found) in stages {
        match found {
            Ok(found) => why.not_pinned.extend(found),
            Err(trouble) => {
                why.limits.push(Limit {
                    what: what.into(),
                    reason: trouble.to_string(),
                });
            }
        }
    }
}

fn references(why: &mut Why, live: &Live, kernel: &Kernel<'_>, target: &Target) {
    let loaded: BTreeSet<String> = proc::modules()
        .unwrap_or_default()
        .into_iter()
        .map(|m| m.name)
        .collect();
    let mut open_files = Files::default();
    let tasks = match files::tasks(kernel) {
        Ok(tasks) => tasks,
        Err(trouble) => {
            why.limits.push(Limit {
                what: "tasks".into(),
                reason: trouble.to_string(),
            });
            Vec::new()
        }
    };
    let result = open_files.tables(kernel, target, &tasks);
    take(why, "open files", result.map(|()| open_files.references()));
    if open(why) {
        why.refs.extend(mapped::sound(&target.name, &open_files));
        let who = |terminal: u64| terminal_users(kernel, &open_files, terminal);
        let found = terminals::references(kernel, target, &open_files.terminals, who);
        take(why, "terminals", found);
    }
    storage_stage(why, kernel, target, &open_files);
    if open(why) {
        let found = crypto::walk(kernel, target);
        let found = found.map(|found| users_of_algorithms(kernel, &open_files, found));
        take(why, "algorithms", found);
    }
    let all = if open(why) {
        sockets::all(kernel, &open_files)
    } else {
        Ok(Vec::new())
    };
    match all {
        Ok(all) => {
            let alg = types_of(live, &loaded, "af_alg");
            let vsock = types_of(live, &loaded, "vsock");
            let extra = sockets::Extra {
                alg: alg.as_ref().map(|types| kernel.with(types)),
                vsock: vsock.as_ref().map(|types| kernel.with(types)),
            };
            if open(why) {
                let found = sockets::references(kernel, target, &open_files, &all, &extra);
                take(why, "sockets", found);
            }
            if open(why) {
                take(
                    why,
                    "sockets of the kernel",
                    sockets::kernel_sockets(kernel, target, &all),
                );
            }
            if open(why) {
                let found = sockets::default_congestion(kernel, target);
                take(why, "the default congestion control", found);
            }
            if open(why) {
                let before: BTreeSet<u64> = open_files.pinning.keys().copied().collect();
                let result = sockets::in_flight(kernel, target, &mut open_files);
                take(
                    why,
                    "descriptors in flight",
                    new(result, &open_files, &before),
                );
            }
        }
        Err(trouble) => {
            why.limits.push(Limit {
                what: "sockets".into(),
                reason: trouble.to_string(),
            });
        }
    }
    if open(why) {
        let before: BTreeSet<u64> = open_files.pinning.keys().copied().collect();
        let result = mappings(kernel, target, &tasks, &mut open_files);
        take(why, "mappings", new(result, &open_files, &before));
    }
    if open(why) {
        tables(why, live, kernel, target, &loaded);
    }
}

/// The references that a further look at files has added.
fn new(
    result: Result<(), Trouble>,
    files: &Files,
    before: &BTreeSet<u64>,
) -> Result<Vec<Reference>, Trouble> {
    result?;
    let fresh = files.pinning.keys().zip(files.references());
    Ok(fresh
        .filter(|(file, _)| !before.contains(file))
        .map(|(_, r)| r)
        .collect())
}

fn storage_stage(why: &mut Why, kernel: &Kernel<'_>, target: &Target, files: &Files) {
    if !open(why) {
        return;
    }
    let blocks = match storage::super_blocks(kernel) {
        Ok(blocks) => blocks,
        Err(trouble) => {
            why.limits.push(Limit {
                what: "mounts".into(),
                reason: trouble.to_string(),
            });
            Vec::new()
        }
    };
    // The mounts of all namespaces are read only when there is something to name by them.
    let mut mounts = None;
    if blocks.iter().any(|s| s.owner == target.address) {
        let mounts = mounts.get_or_insert_with(proc::mounts);
        take(why, "mounts", Ok(storage::mounted(target, &blocks, mounts)));
    }
    if open(why) {
        why.refs.extend(storage::loops(&target.name));
        why.settle();
    }
    if open(why) {
        let found = storage::disks(kernel, target, files, &blocks, || {
            mounts.get_or_insert_with(proc::mounts).clone()
        });
        take(why, "block devices", found);
    }
}

/// Users that are found by asking their subsystem: each only when the module has what is
/// asked for.
fn tables(
    why: &mut Why,
    live: &Live,
    kernel: &Kernel<'_>,
    target: &Target,
    loaded: &BTreeSet<String>,
) {
    match traffic::Kinds::walk(kernel, target) {
        Ok(kinds) if kinds.is_empty() => {}
        Ok(kinds) => take(
            why,
            "traffic control",
            Ok(traffic::references(&kinds, &proc::networks())),
        ),
        Err(trouble) => take(why, "traffic control", Err(trouble)),
    }
    let nftables = types_of(live, loaded, "nf_tables");
    let xtables = types_of(live, loaded, "x_tables");
    if open(why) && (nftables.is_some() || xtables.is_some()) {
        let nftables = nftables.as_ref().map(|types| kernel.with(types));
        let xtables = xtables.as_ref().map(|types| kernel.with(types));
        let found = filters::Kinds::walk(target, nftables.as_ref(), xtables.as_ref());
        let found = found.map(|k| filters::references(&k, &target.name, &proc::networks()));
        take(why, "packet filters", found);
    }
    if open(why)
        && let Some(types) = types_of(live, loaded, "dm_mod")
    {
        let types = mapped::target_types(&kernel.with(&types), target);
        let found = types.map(|t| mapped::device_mapper(&target.name, &t).unwrap_or_default());
        take(why, "device mapper", found);
    }
    if open(why)
        && let Some(types) = types_of(live, loaded, "md_mod")
    {
        let found = mapped::personalities(&kernel.with(&types), target);
        take(
            why,
            "software RAID",
            found.map(|names| mapped::arrays(&names)),
        );
    }
}

/// Nothing leads from an algorithm back to its users; the likeliest are named.
fn users_of_algorithms(
    kernel: &Kernel<'_>,
    files: &Files,
    mut found: Vec<Reference>,
) -> Vec<Reference> {
    if found.is_empty() {
        return found;
    }
    let pids: BTreeSet<i32> = sockets::all(kernel, files)
        .unwrap_or_default()
        .iter()
        .filter(|s| s.family == sockets::AF_ALG)
        .filter_map(|s| files.sockets.get(&s.socket))
        .flat_map(|file| files.pids(*file))
        .collect();
    if !pids.is_empty() {
        let who: Vec<String> = pids.iter().map(|p| proc::describe(*p, "pid")).collect();
        let numbers: Vec<String> = pids.iter().map(ToString::to_string).collect();
        for reference in &mut found {
            reference.holder = format!("AF_ALG sockets, likely, of {}", who.join(", "));
            reference.release = format!(
                "close the sockets, or end who has them: kill {}",
                numbers.join(" ")
            );
        }
    }
    found
}

/// Who has a terminal open.
fn terminal_users(kernel: &Kernel<'_>, files: &Files, terminal: u64) -> (String, Vec<i32>) {
    for file in files.holders.keys() {
        let Ok(private) = kernel.ptr(*file, "file", "private_data") else {
            continue;
        };
        let Ok(operations) = kernel.ptr(*file, "file", "f_op") else {
            continue;
        };
        let is_terminal = Some(operations) == kernel.symbols.kernel("tty_fops")
            || Some(operations) == kernel.symbols.kernel("console_fops");
        if is_terminal
            && private != 0
            && kernel.ptr(private, "tty_file_private", "tty") == Ok(terminal)
        {
            return (files.who(*file), files.pids(*file));
        }
    }
    ("the other end of it is open".into(), Vec::new())
}

/// Takes in the files that are mapped, each address space once.
fn mappings(
    kernel: &Kernel<'_>,
    target: &Target,
    tasks: &[Task],
    files: &mut Files,
) -> Result<(), Trouble> {
    let mut seen = BTreeSet::new();
    for task in tasks.iter().filter(|t| t.mm != 0) {
        if !seen.insert(task.mm) {
            continue;
        }
        match mapped_files(kernel, task.mm) {
            Ok(found) => {
                for file in found {
                    if !files.holders.contains_key(&file) {
                        files.add(kernel, target, file, Holder::Mapping(task.pid))?;
                    }
                }
            }
            // The process has ended since.
            Err(Trouble::Moved(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// The distinct files of an address space. Linux kernel commit 763ecb035029 ("mm: remove the
/// vma linked list") (in v6.1) left the maple tree alone.
fn mapped_files(kernel: &Kernel<'_>, mm: u64) -> Result<BTreeSet<u64>, Trouble> {
    let areas = if kernel.types.has("mm_struct", "mm_mt") {
        trees::maple(kernel, kernel.at(mm, "mm_struct", "mm_mt.ma_root")?)?
    } else {
        kernel.chain(
            kernel.at(mm, "mm_struct", "mmap")?,
            "vm_area_struct",
            "vm_next",
        )?
    };
    let mut found = BTreeSet::new();
    for area in areas {
        match kernel.ptr(area, "vm_area_struct", "vm_file") {
            Ok(0) | Err(Trouble::Moved(_)) => {}
            Ok(file) => {
                found.insert(file);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}
