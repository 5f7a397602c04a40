//! What is still held when a module has gone: memory, registrations, and whatever can still run its code.

use std::collections::HashSet;

use lkm_trace::{Class, Phase};

use super::{Case, Draft};
use crate::finding::Confidence;
use crate::kinds::{Nature, nature};
use crate::ledger::{Life, Object};

pub(super) fn check(case: &mut Case<'_, '_>) {
    running(case);
    objects(case);
}

/// Found by the audit: something that points into module code.
fn running(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    for left in &ledger.leftovers {
        let owner = ledger.at_address(left.function).or(left.at.life);
        let rule = if crate::kinds::is_registered(left.kind) {
            "left-registered"
        } else {
            "left-running"
        };
        if owner.is_some_and(|l| ledger.lives[l].name != ledger.judged_name()) || case.full(rule) {
            continue;
        }
        let mut draft = case.draft(rule, &left.at);
        draft.life = owner;
        draft.phase = Phase::AfterExit;
        draft.key = left.key;
        draft.detail = left.kind.to_owned();
        let name = if left.kind == "kthread" {
            "kernel thread"
        } else {
            left.kind
        };
        let about = if left.detail.is_empty() {
            String::new()
        } else {
            format!(" \"{}\"", left.detail)
        };
        draft.message = format!(
            "{name}{about} is left behind: it will run {}, which is no longer there",
            case.function(left.function)
        );
        draft.fix = stop_advice(left.kind).to_owned();
        draft.history.push(case.step("started", &left.at, ""));
        case.doubt(&mut draft);
        case.push(draft);
    }
}

fn stop_advice(kind: &str) -> &'static str {
    match kind {
        "kthread" => {
            "stop it with kthread_stop() in exit; a thread that ends by itself must do so with kthread_complete_and_exit() while exit waits"
        }
        "timer" => "call del_timer_sync() (timer_shutdown_sync() if it re-arms itself) in exit",
        "hrtimer" => "call hrtimer_cancel() in exit",
        "work" => "call cancel_work_sync() in exit, or destroy its workqueue",
        "delayed work" => "call cancel_delayed_work_sync() in exit",
        "tasklet" => "call tasklet_kill() in exit",
        "irq" => "call free_irq() in exit",
        "rcu callback" => "call rcu_barrier() in exit",
        _ => super::table::fix("left-running"),
    }
}

fn objects(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let running: HashSet<u64> = ledger.leftovers.iter().map(|l| l.key).collect();
    let mut given = 0usize;
    for object in &ledger.objects {
        let Some(owner) = object.made.life else {
            continue;
        };
        let life = &ledger.lives[owner];
        if !outlives(object, owner, life) {
            continue;
        }
        if life.name != ledger.judged_name() || !ended(life) {
            continue;
        }
        let nature = nature(object.kind);
        // What still runs is told by its own rule.
        if nature == Nature::Own || running.contains(&object.key) && nature != Nature::Memory {
            continue;
        }
        if object.given.is_some() {
            given += 1;
            continue;
        }
        let draft = leak(case, object, life, nature);
        if !case.full(draft.rule) {
            case.push(draft);
        }
    }
    if given > 0 {
        case.notes.push(format!(
            "{given} objects were handed to functions that are not modelled, and are not judged"
        ));
    }
}

/// Whether an object was not given back by the life that took it. What a later load of the module, or another
/// module, happens to release was left behind all the same; the kernel's own deferred work may release in time.
fn outlives(object: &Object<'_>, owner: usize, life: &Life<'_>) -> bool {
    let Some((at, _)) = &object.released else {
        return true;
    };
    at.life.is_some_and(|by| by != owner) && life.gone.is_some_and(|gone| at.step > gone)
}

/// Whether a life is over in a way that should have left nothing: it was unloaded, or its load failed.
fn ended(life: &Life<'_>) -> bool {
    life.gone.is_some() && life.exit != Some("fault")
}

fn leak(case: &Case<'_, '_>, object: &Object<'_>, life: &Life<'_>, nature: Nature) -> Draft {
    let rule = match nature {
        Nature::Memory | Nature::Reference => "memory-leak",
        Nature::Pin => "module-pinned",
        Nature::Thread => "left-running",
        _ => "left-registered",
    };
    let failed = life.init.is_some_and(|(_, v)| v < 0);
    let mut draft = case.draft(rule, &object.made);
    draft.phase = if failed {
        Phase::Init
    } else {
        Phase::AfterExit
    };
    draft.key = object.key;
    draft.detail = object.kind.to_owned();
    let inside = match case.inside(&object.made) {
        name if name.is_empty() => String::new(),
        name => format!(" in {name}"),
    };
    let after = if failed { "failed init" } else { "exit" };
    let name = if object.detail.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", object.detail)
    };
    draft.message = match nature {
        Nature::Memory if object.size == 0 => format!(
            "what {}{inside} allocated ({}{name}) is not freed after {after}",
            object.function, object.kind
        ),
        Nature::Memory => format!(
            "{} bytes ({}{name}) from {}{inside} are not freed after {after}",
            object.size, object.kind, object.function
        ),
        Nature::Reference => format!(
            "a reference ({}{name}) taken by {}{inside} is not put after {after}: what it counts is never freed",
            object.kind, object.function
        ),
        Nature::Pin => format!(
            "{}{name}, taken by {}{inside}, is not given back after {after}: the module that owns it stays pinned",
            object.kind, object.function
        ),
        Nature::Thread => format!(
            "{}{name}, started by {}{inside}, still runs after {after}: its next work is code that has gone",
            object.kind, object.function
        ),
        _ => format!(
            "{}{name} is still registered after {after} (by {}{inside}): the next user of it calls into code that has gone",
            object.kind, object.function
        ),
    };
    if failed {
        draft.fix = format!(
            "undo it on the error path of init: {}",
            super::table::fix(rule)
        );
    }
    draft
        .history
        .push(case.step(verb(nature), &object.made, object.function));
    if matches!(object.class, Class::Stubbed | Class::Unknown) {
        draft.confidence = Confidence::Low;
        draft.through = Some(object.function.to_owned());
    } else if let Some(stub) =
        case.ledger
            .stub_between(object.made.step, case.ledger.steps, object.made.life)
    {
        draft.confidence = Confidence::Low;
        draft.through = Some(stub.to_owned());
    }
    draft
}

fn verb(nature: Nature) -> &'static str {
    match nature {
        Nature::Memory => "created",
        Nature::Reference | Nature::Pin => "taken",
        _ => "registered",
    }
}
