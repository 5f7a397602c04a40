//! Broken kernel rules that the kernel side saw itself: most become a finding of one rule each.

use lkm_trace::Phase;

use super::access::lifetime;
use super::{Case, Draft};
use crate::ledger::Misuse;

/// Where a misuse goes: its name, the rule, and the sentence.
struct Row {
    what: &'static str,
    rule: &'static str,
    text: &'static str,
}

const fn row(what: &'static str, rule: &'static str, text: &'static str) -> Row {
    Row { what, rule, text }
}

/// The misuses that are a finding each. Locks and references have files of their own.
const ROWS: &[Row] = &[
    row(
        "double-free",
        "double-free",
        "was given memory that is freed already",
    ),
    row(
        "invalid-free",
        "invalid-free",
        "was given a pointer that no allocator gave",
    ),
    row(
        "redzone",
        "out-of-bounds",
        "found bytes overwritten outside of the object",
    ),
    row(
        "cache-not-empty",
        "cache-not-empty",
        "destroyed a cache that still has objects",
    ),
    row(
        "kthread-stop-exited",
        "kthread-stop-after-exit",
        "was given a thread that has ended and whose task is freed: nobody held a reference on it",
    ),
    row(
        "kthread-stop-twice",
        "kthread-stop-twice",
        "was given a thread that was stopped before and whose task is freed",
    ),
    row(
        "err-ptr-used",
        "err-ptr-unchecked",
        "was given an error pointer",
    ),
    row(
        "release-unheld",
        "release-unheld",
        "was given something that is not registered",
    ),
    row(
        "overflow",
        "out-of-bounds",
        "would access more bytes than the object has",
    ),
    row(
        "irq-unsafe",
        "irq-unsafe-lock",
        "takes a lock that interrupts take as well",
    ),
    row(
        "list-deleted",
        "use-after-free",
        "was given a list entry that was taken off its list before",
    ),
    row(
        "list-corruption",
        "list-corruption",
        "found a list that does not hold together",
    ),
    row(
        "no-release",
        "no-release",
        "put the last reference on a device that has no release function",
    ),
    row(
        "duplicate",
        "double-register",
        "was given something that is registered already",
    ),
    row(
        "double-init",
        "double-register",
        "initialised an object that is in use",
    ),
    row(
        "syscall",
        "raw-syscall",
        "executed a system call instruction",
    ),
    row("livelock", "livelock", "runs for ever"),
    row(
        "stack-overflow",
        "stack-overflow",
        "exhausted the kernel stack",
    ),
    row(
        "refcount",
        "refcount-misuse",
        "found a reference count that cannot be",
    ),
    row(
        "active-free",
        "use-after-free",
        "freed memory that something active is in",
    ),
    row(
        "name-lost",
        "memory-leak",
        "freed an object without its last put, and a string is lost that only that frees",
    ),
    row(
        "mapped-free",
        "use-after-free",
        "freed memory that a process has mapped",
    ),
    row(
        "state-edited",
        "forced-unload",
        "a module's struct module was edited by hand",
    ),
    row(
        "unload-forced",
        "forced-unload",
        "unloaded a module that is in use",
    ),
    row(
        "missing-owner",
        "missing-owner",
        "is given operations without an owner",
    ),
    row(
        "dangling-exit",
        "dangling-exit",
        "unloads a module that another module's exit points into",
    ),
];

pub(super) fn check(case: &mut Case<'_, '_>) {
    for misuse in &case.ledger.misuses {
        if misuse.what == "unrepeatable" {
            let place = case.at(&misuse.at).at;
            case.notes.push(format!(
                "not exactly repeatable: {} at {place}",
                misuse.detail
            ));
            continue;
        }
        let Some(row) = ROWS.iter().find(|r| r.what == misuse.what) else {
            continue;
        };
        if !ours(case, misuse) || case.full(row.rule) {
            continue;
        }
        if let Some(draft) = judge(case, misuse, row) {
            case.push(draft);
        }
    }
}

/// Misuses of the judged module's code, or of nobody's while it is the one that acts.
pub(super) fn ours(case: &Case<'_, '_>, misuse: &Misuse<'_>) -> bool {
    let excused = case.excused.iter().any(|&(tid, step)| {
        tid == misuse.at.tid && misuse.at.step >= step
            || misuse.what.starts_with("kthread-stop") && misuse.key == u64::from(tid)
    });
    if excused {
        return false;
    }
    misuse
        .at
        .life
        .is_none_or(|l| case.ledger.lives[l].name == case.ledger.judged_name())
}

fn judge(case: &Case<'_, '_>, misuse: &Misuse<'_>, row: &Row) -> Option<Draft> {
    let ledger = case.ledger;
    let mut draft = case.draft(row.rule, &misuse.at);
    draft.key = misuse.key;
    // A finer name is needed only where several misuses come under one rule.
    if ROWS.iter().filter(|r| r.rule == row.rule).count() > 1
        || matches!(
            misuse.what,
            "redzone" | "active-free" | "irq-unsafe" | "list-deleted"
        )
    {
        draft.detail = misuse.what.to_owned();
    }
    let who = if misuse.function.is_empty() {
        String::new()
    } else {
        format!("{} ", misuse.function)
    };
    let more = if misuse.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", misuse.detail)
    };
    let inside = match case.inside(&misuse.at) {
        name if name.is_empty() => String::new(),
        name => format!(" (in {name})"),
    };
    draft.message = format!("{who}{}{inside}{more}", row.text);
    case.doubt(&mut draft);
    match misuse.what {
        // A loop that waits for what a stub will never answer is the lab's, not the module's.
        "livelock" if ledger.is_stubbed(misuse.function) => return None,
        // A trap at the same instruction tells the same.
        "syscall"
            if ledger
                .faults
                .iter()
                .any(|f| f.kind == "syscall" && f.pc == misuse.key) =>
        {
            return None;
        }
        "stack-overflow"
            if ledger.faults.iter().any(|f| {
                f.kind == misuse.what && f.at.tid == misuse.at.tid && f.at.step > misuse.at.step
            }) =>
        {
            return None;
        }
        "syscall" if ledger.at_address(misuse.key).is_some() => {
            draft.place = case.code_place(misuse.key);
        }
        // An unregister row may be implied by another function that is not modelled: nothing certain then.
        "release-unheld" if !ledger.stubs.is_empty() => return None,
        "double-free" | "redzone" | "invalid-free" | "active-free" | "name-lost" => {
            if let Some(object) = ledger.object_at(misuse.key).filter(|_| misuse.key != 0) {
                lifetime(case, object, &mut draft);
            }
            if misuse.what == "name-lost" {
                draft.fix = "put the last reference (kobject_put, put_device) also where adding it failed; its release function frees it".to_owned();
            }
            if misuse.what == "active-free"
                && matches!(misuse.at.phase, Phase::Exit | Phase::AfterExit)
            {
                draft.fix = "stop the timer, work or thread before its memory is freed".to_owned();
            }
        }
        "kthread-stop-exited" | "kthread-stop-twice" => task_history(case, misuse, &mut draft),
        "err-ptr-used" => {
            if let Some(source) = ledger.err_ptrs.iter().rev().find(|e| {
                e.at.step < misuse.at.step && (misuse.key == 0 || e.value as u64 == misuse.key)
            }) {
                draft
                    .history
                    .push(case.step("answered", &source.at, source.function));
                draft.message = format!(
                    "{who}was given the error pointer {} that {} had answered",
                    source.value, source.function
                );
            }
        }
        _ => {}
    }
    Some(draft)
}

/// Where the thread was made, where it ended, where its task was freed.
fn task_history(case: &Case<'_, '_>, misuse: &Misuse<'_>, draft: &mut Draft) {
    let ledger = case.ledger;
    // The key is the number of the task; the name is a check on it.
    let task = u32::try_from(misuse.key)
        .ok()
        .and_then(|tid| ledger.tasks.get_key_value(&tid))
        .filter(|(_, t)| misuse.detail.is_empty() || misuse.detail.contains(t.comm));
    let Some((&tid, task)) = task else { return };
    draft.subject = Some(tid);
    draft.history.push(case.step("created", &task.made, ""));
    if let Some((at, _, value)) = &task.ended {
        let mut step = case.step("ended", at, "");
        if step.place.at.is_empty() {
            step.place = case.code_place(task.function);
        }
        step.what = format!("ended with {value}");
        draft.history.push(step);
    }
    let freed = task.freed.filter(|f| f.step < misuse.at.step);
    if let Some(at) = &freed {
        draft
            .history
            .push(case.step("freed", at, "put_task_struct"));
    }
    draft.message = format!(
        "kthread_stop was given the thread \"{}\", which {} and whose task {}: nobody held a reference on it",
        task.comm,
        if misuse.what == "kthread-stop-twice" {
            "was stopped before"
        } else {
            "has ended by itself"
        },
        if freed.is_some() {
            "is freed"
        } else {
            "is there only because its reaper has not come yet"
        }
    );
}
