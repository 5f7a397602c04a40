//! Mutexes and their like against their rules, sleeping where it is not allowed, and callbacks that return
//! with another context than they were called in.

use super::misuse::ours;
use super::{Case, Draft};
use crate::ledger::Misuse;
use crate::locks::is_spinning;

pub(super) fn check(case: &mut Case<'_, '_>) {
    for misuse in &case.ledger.misuses {
        // A lock of the kernel's own that boot would have made is no fault of the module's.
        if !ours(case, misuse) || misuse.key != 0 && case.ledger.in_zeros(misuse.key) {
            continue;
        }
        let draft = match misuse.what {
            "unlock-by-other" | "unlock-unlocked" | "recursive" | "uninitialised"
            | "freed-held" | "in-atomic" | "lock-held" => lock(case, misuse),
            "sleep-in-atomic" | "schedule-in-atomic" => sleep(case, misuse),
            "preempt-imbalance" | "irq-imbalance" | "rcu-imbalance" => imbalance(case, misuse),
            _ => continue,
        };
        if let Some(mut draft) = draft
            && !case.full(draft.rule)
        {
            case.doubt(&mut draft);
            case.push(draft);
        }
    }
}

/// What the lock is called: by its events, else by the function that used it.
fn kind<'t>(case: &Case<'_, 't>, misuse: &Misuse<'t>) -> &'t str {
    let known = misuse
        .lock
        .map(|(_, held)| held.kind)
        .or_else(|| case.ledger.locks.kind(misuse.key));
    known.unwrap_or_else(|| {
        let names = [
            ("spin", "spinlock"),
            ("_lock_irq", "spinlock"),
            ("rwsem", "rwsem-write"),
            ("down_", "rwsem-write"),
            ("up_", "rwsem-write"),
            ("mutex", "mutex"),
        ];
        names
            .iter()
            .find(|(part, _)| misuse.function.contains(part) || misuse.detail.contains(part))
            .map_or("", |(_, kind)| kind)
    })
}

fn lock(case: &mut Case<'_, '_>, misuse: &Misuse<'_>) -> Option<Draft> {
    let kind = kind(case, misuse);
    let spinning = is_spinning(kind);
    let (rule, detail, text) = match misuse.what {
        "lock-held" if spinning => (
            "context-imbalance",
            "lock-held",
            format!("returned with a {kind} held: preemption stays off"),
        ),
        "unlock-unlocked" if spinning => (
            "context-imbalance",
            "unlock-unlocked",
            format!("released a {kind} that nobody holds"),
        ),
        "recursive" if spinning => (
            "deadlock",
            "recursive",
            format!("spins for ever on a {kind} that it holds itself"),
        ),
        "uninitialised" if kind.is_empty() => (
            "not-initialised",
            "",
            "used an object that was never initialised".to_owned(),
        ),
        "lock-held" => (
            "mutex-misuse",
            "held-at-exit",
            format!(
                "ended with a {} held (held-at-exit): nobody can take it again",
                shown(kind)
            ),
        ),
        "unlock-by-other" => (
            "mutex-misuse",
            "unlock-by-other",
            format!(
                "unlocked a {} that another task holds (unlock-by-other)",
                shown(kind)
            ),
        ),
        "unlock-unlocked" => (
            "mutex-misuse",
            "unlock-unlocked",
            format!(
                "unlocked a {} that nobody holds (unlock-unlocked)",
                shown(kind)
            ),
        ),
        "recursive" => (
            "mutex-misuse",
            "recursive",
            format!(
                "locks a {} that it holds already (recursive): it waits for itself",
                shown(kind)
            ),
        ),
        "uninitialised" => (
            "mutex-misuse",
            "uninitialised",
            format!(
                "used a {} that was never initialised (uninitialised)",
                shown(kind)
            ),
        ),
        "freed-held" => (
            "mutex-misuse",
            "freed-held",
            format!(
                "freed memory with a held {} in it (freed-held)",
                shown(kind)
            ),
        ),
        _ => (
            "mutex-misuse",
            "in-atomic",
            format!(
                "locks a {} where it must not sleep (in-atomic)",
                shown(kind)
            ),
        ),
    };
    // What preempt_count shows and which lock it is are one observation.
    if rule == "context-imbalance"
        && let Some(earlier) = same_return(case, misuse)
    {
        let step = taken(case, misuse);
        let draft = &mut case.drafts[earlier];
        draft.message.push_str(&format!("; {kind} still held"));
        draft.history.extend(step);
        return None;
    }
    let mut draft = case.draft(rule, &misuse.at);
    draft.key = misuse.key;
    draft.detail = detail.to_owned();
    draft.message = sentence(case, misuse, &text);
    draft.fix = advice(detail).unwrap_or(draft.fix.as_str()).to_owned();
    draft.history.extend(taken(case, misuse));
    Some(draft)
}

fn shown(kind: &str) -> &str {
    if kind.is_empty() { "mutex" } else { kind }
}

fn sentence(case: &Case<'_, '_>, misuse: &Misuse<'_>, text: &str) -> String {
    let inside = case.inside(&misuse.at);
    let who = match (inside.is_empty(), misuse.function) {
        (true, "") => "module code".to_owned(),
        (true, function) => function.to_owned(),
        (false, "") => inside,
        (false, function) if function == inside => inside,
        (false, function) => format!("{inside} ({function})"),
    };
    let more = if misuse.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", misuse.detail)
    };
    format!("{who} {text}{more}")
}

fn advice(detail: &str) -> Option<&'static str> {
    Some(match detail {
        "unlock-by-other" => {
            "unlock in the task that locked; hand over with a completion or a semaphore"
        }
        "recursive" => "split the function: one that locks, and one that expects the lock held",
        "in-atomic" => "use a spinlock, or move the work to a workqueue",
        "freed-held" => "unlock before the memory is freed",
        "held-at-exit" => "unlock on every path before the function returns",
        "uninitialised" => "call mutex_init() before anything can reach the lock",
        "unlock-unlocked" => "unlock once for each lock",
        _ => return None,
    })
}

/// Where the lock had been taken.
fn taken(case: &Case<'_, '_>, misuse: &Misuse<'_>) -> Option<crate::finding::Step> {
    misuse
        .lock
        .map(|(tid, held)| {
            let mut at = held.at;
            at.tid = tid;
            case.step("locked", &at, "")
        })
        .or_else(|| {
            case.ledger
                .locks
                .last(misuse.key)
                .map(|(op, at)| case.step(op.name(), at, ""))
        })
}

fn sleep(case: &mut Case<'_, '_>, misuse: &Misuse<'_>) -> Option<Draft> {
    // One call may both be about to sleep and then do so.
    let known = case.drafts.iter().any(|d| {
        d.rule == "sleep-in-atomic" && d.tid == misuse.at.tid && d.pc == misuse.at.site.pc
    });
    if known && misuse.what == "schedule-in-atomic" {
        return None;
    }
    let mut draft = case.draft("sleep-in-atomic", &misuse.at);
    draft.message = match misuse.atomic.last() {
        Some(held) => sentence(
            case,
            misuse,
            &format!("may sleep while a {} is held", held.kind),
        ),
        None => sentence(case, misuse, "may sleep in atomic context"),
    };
    for held in &misuse.atomic {
        draft.history.push(case.step("locked", &held.at, held.kind));
    }
    Some(draft)
}

fn imbalance(case: &mut Case<'_, '_>, misuse: &Misuse<'_>) -> Option<Draft> {
    let irq = misuse.what == "irq-imbalance";
    let rcu = misuse.what == "rcu-imbalance";
    if !rcu && let Some(earlier) = same_return(case, misuse) {
        let more = if irq {
            "; interrupts stay off"
        } else {
            "; preemption stays off"
        };
        let draft = &mut case.drafts[earlier];
        if !draft.message.contains(more.trim_start_matches("; ")) {
            draft.message.push_str(more);
        }
        return None;
    }
    let mut draft = case.draft("context-imbalance", &misuse.at);
    draft.detail = misuse.what.to_owned();
    // What was seen at no call is told of the function that returned.
    if case.ledger.at_address(misuse.at.site.pc).is_some() && misuse.at.site.stack.is_empty() {
        draft.place = case.code_place(misuse.at.site.pc - 1);
    }
    draft.message = sentence(
        case,
        misuse,
        if rcu {
            "returned with rcu_read_lock held: no grace period can end"
        } else if irq {
            "returned with interrupts off"
        } else {
            "returned with another preempt_count than it was called with"
        },
    );
    for held in &misuse.atomic {
        draft.history.push(case.step("locked", &held.at, held.kind));
    }
    Some(draft)
}

/// The draft that another observation of the same return has made.
fn same_return(case: &Case<'_, '_>, misuse: &Misuse<'_>) -> Option<usize> {
    case.drafts.iter().rposition(|d| {
        d.rule == "context-imbalance"
            && d.tid == misuse.at.tid
            && misuse.at.step.abs_diff(d.step) <= 4
    })
}
