//! What stands in the way of freeing a stuck module, looked at before anything is done.

use std::collections::BTreeSet;
use std::time::Duration;

use lkm_judge::why::{Unload, Why};

use crate::proc::{self, Stack};
use crate::scan::Held;
use crate::sys;
use crate::walk::Kernel;
use crate::why::state;

/// Things of the machine that forbid loading a rescue module at all.
pub fn machine() -> Vec<String> {
    let mut found = Vec::new();
    if !cfg!(target_arch = "x86_64") {
        found.push("the rescue module exists for x86-64 only".into());
    }
    if !sys::is_root() {
        found.push("this needs root".into());
    }
    if proc::line("/proc/sys/kernel/modules_disabled").as_deref() == Some("1") {
        found.push(
            "kernel.modules_disabled is 1: no module can be loaded or unloaded until a reboot"
                .into(),
        );
    }
    let lockdown = proc::line("/sys/kernel/security/lockdown").unwrap_or_default();
    for level in ["integrity", "confidentiality"] {
        if lockdown.contains(&format!("[{level}]")) {
            found.push(format!(
                "the kernel is locked down ({level}): the rescue module is not signed and cannot be loaded; reboot"
            ));
        }
    }
    if proc::line("/sys/module/module/parameters/sig_enforce").as_deref() == Some("Y") {
        found.push(
            "signatures are enforced (module.sig_enforce): the rescue module is not signed; reboot"
                .into(),
        );
    }
    found
}

/// Users, holders and live tasks: none of them may be there.
pub fn users(report: &mut Unload, why: &Why, stacks: &[Stack]) {
    let name = &why.module;
    for r in why.refs.iter().filter(|r| r.kind != "init") {
        let advice = if r.release.is_empty() {
            String::new()
        } else {
            format!("; release: {}", r.release)
        };
        report.refusals.push(format!(
            "{} × {} {} is in real use by {}{advice}",
            r.count, r.kind, r.object, r.holder
        ));
    }
    let busy: BTreeSet<i32> = if why.state == "live" {
        BTreeSet::new()
    } else {
        state::busy(name, &why.state, stacks)
            .iter()
            .map(|s| s.tid)
            .collect()
    };
    for stack in stacks.iter().filter(|s| busy.contains(&s.tid)) {
        report.refusals.push(format!(
            "thread {} ({}) is still at work in it, state {}: wait, it may finish",
            stack.tid, stack.name, stack.state
        ));
    }
    let mark = format!("[{name}]");
    for stack in stacks
        .iter()
        .filter(|s| s.text.contains(&mark) && !busy.contains(&s.tid))
    {
        report.refusals.push(format!(
            "thread {} ({}) runs in its text: it would go on in freed memory; stop it first",
            stack.tid, stack.name
        ));
    }
    if std::path::Path::new(&format!("/sys/kernel/livepatch/{name}")).exists() {
        report
            .refusals
            .push("it is a live patch: disable it instead".into());
    }
}

/// Locks that nobody will ever give back.
pub fn locks(report: &mut Unload, kernel: &Kernel<'_>, stacks: &[Stack], held: &[Held]) {
    let waiting: Vec<&Stack> = stacks
        .iter()
        .filter(|s| s.state == 'D' && on_lock(&s.text))
        .collect();
    if waiting.is_empty() && held.is_empty() {
        return;
    }
    // A lock is held for a moment all the time: only those that still wait are stuck.
    std::thread::sleep(Duration::from_millis(500));
    for lock in held.iter().filter(|lock| lock.still(kernel)) {
        let who = if lock.alive {
            "does not get on"
        } else {
            "is dead"
        };
        report.refusals.push(format!(
            "{} is held by a task that {who}: unloading would wait for it for ever; reboot",
            lock.name
        ));
    }
    let again = proc::stacks(on_lock).unwrap_or_default();
    for stack in waiting {
        if again
            .iter()
            .any(|s| s.tid == stack.tid && s.text == stack.text)
        {
            let place = stack
                .text
                .lines()
                .nth(1)
                .unwrap_or("")
                .trim_start_matches("[<0>] ");
            report.refusals.push(format!(
                "thread {} ({}) waits for a lock in {place} and does not get on: if the dead task holds it, unloading would hang as well; reboot",
                stack.tid, stack.name
            ));
        }
    }
}

/// A kernel stack of a task that waits for a lock.
pub fn on_lock(stack: &str) -> bool {
    ["__mutex_lock", "rwsem_down", "__down", "__ww_mutex_lock"]
        .iter()
        .any(|name| stack.lines().take(4).any(|line| line.contains(name)))
}

/// Dangers that do not forbid it.
pub fn warnings(report: &mut Unload) {
    if proc::line("/proc/sys/kernel/panic_on_oops").as_deref() == Some("1") {
        report
            .warnings
            .push("kernel.panic_on_oops is 1: a mistake here ends in a reboot".into());
    }
    report.warnings.push(
        "what its init or exit allocated and did not free stays lost; the kernel is tainted: reboot when convenient".into(),
    );
}
