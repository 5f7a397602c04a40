//! The module's reference count: who holds it at the end, who put too much, and references on itself.

use lkm_trace::{Phase, TaskEnd, TaskKind};

use super::Case;
use crate::ledger::{FileEvent, RefChange};

const EAGAIN: i64 = -11;
/// Most references on other modules that are followed.
const MAX_OPEN: usize = 1024;

/// Whether a change was made by calling try_module_get, __module_get or module_put by hand.
fn by_hand(why: &str) -> bool {
    matches!(
        why,
        "try_module_get" | "__module_get" | "module_put" | "module_get"
    )
}

pub(super) fn check(case: &mut Case<'_, '_>) {
    underflow(case);
    pinned(case);
    pins_others(case);
    self_get(case);
    self_put(case);
}

fn underflow(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    for misuse in ledger.misuses.iter() {
        if !matches!(misuse.what, "put-underflow" | "symbol-put")
            || case.full("module-ref-underflow")
        {
            continue;
        }
        let mut draft = case.draft("module-ref-underflow", &misuse.at);
        draft.detail = misuse.what.to_owned();
        draft.message = if misuse.what == "symbol-put" {
            format!("symbol_put of a symbol that was not got: {}", misuse.detail)
        } else {
            format!(
                "module_put in {} without a reference to put {}",
                case.inside(&misuse.at),
                misuse.detail
            )
            .trim_end()
            .to_owned()
        };
        draft.key = misuse.key;
        case.doubt(&mut draft);
        case.push(draft);
    }
}

/// Replays the changes of the newest life and answers those references that were taken and never put.
fn outstanding<'a, 't>(case: &Case<'a, 't>, from: usize) -> Vec<&'a RefChange<'t>> {
    let mut open: Vec<&RefChange<'t>> = Vec::new();
    for change in case.ledger.refs.iter() {
        if change.module != case.ledger.judged_name() || change.at.step < from {
            continue;
        }
        for _ in 0..change.delta.unsigned_abs().min(64) {
            if change.delta > 0 {
                open.push(change);
                continue;
            }
            let same = |o: &&&RefChange<'_>| change.key != 0 && o.key == change.key;
            let like =
                |o: &&&RefChange<'_>| o.why == change.why || by_hand(o.why) && by_hand(change.why);
            let found = open
                .iter()
                .enumerate()
                .rev()
                .find(|(_, o)| same(o))
                .or_else(|| open.iter().enumerate().rev().find(|(_, o)| like(o)))
                .map(|(i, _)| i)
                .or(open.len().checked_sub(1));
            if let Some(index) = found {
                open.remove(index);
            }
        }
    }
    open
}

fn pinned(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let lives: Vec<_> = ledger
        .judged()
        .map(|(i, l)| (i, l.placed, l.gone, l.unload.last().copied(), l.state))
        .collect();
    for (index, placed, gone, unload, _) in lives {
        if gone.is_some() {
            continue;
        }
        let open = outstanding(case, placed);
        if !matches!(unload, Some((_, EAGAIN))) {
            for change in &open {
                left_open(case, index, change);
            }
            continue;
        }
        // The loader's own hold stands for a load that never ended: another rule tells that.
        for change in open.iter().filter(|c| c.why != "init") {
            if case.full("module-pinned") {
                break;
            }
            let mut draft = case.draft("module-pinned", &change.at);
            draft.life = Some(index);
            draft.key = change.key;
            draft.detail = change.why.to_owned();
            draft.phase = Phase::Use;
            let holder = if change.holder.is_empty() {
                String::new()
            } else {
                format!(" by {}", change.holder)
            };
            draft.message = format!(
                "delete_module answers EWOULDBLOCK: a reference ({}) taken in {} is still held{holder}",
                change.why,
                case.inside(&change.at)
            );
            draft
                .history
                .push(case.step("taken", &change.at, change.why));
            let same = |f: &&FileEvent<'_>| {
                change.key != 0
                    && f.file == change.key
                    && (f.module.is_empty() || f.module == ledger.judged_name())
            };
            for file in ledger.files.iter().filter(same).take(8) {
                draft.history.push(case.step(file.how, &file.at, file.what));
            }
            if let Some(inherited) = ledger
                .files
                .iter()
                .rev()
                .filter(same)
                .find(|f| f.how == "inherited")
            {
                draft.detail = "inherited-file".to_owned();
                draft.message = format!(
                    "delete_module answers EWOULDBLOCK: {} holds an inherited {} as descriptor {}, and with it the module",
                    ledger.task_name(inherited.at.tid),
                    inherited.what,
                    inherited.fd
                );
                draft.fix = "make the thread with kthread_run, which inherits nothing; or close its files in the thread".to_owned();
            }
            case.doubt(&mut draft);
            case.push(draft);
        }
    }
}

/// A process has ended without closing a file, and a kernel thread that shares its table keeps it open. Nobody needs
/// to try an unload to know that: the file had its chance to go.
fn left_open(case: &mut Case<'_, '_>, life: usize, change: &RefChange<'_>) {
    let ledger = case.ledger;
    let of = |f: &&FileEvent<'_>| change.key != 0 && f.file == change.key;
    let Some(left) = ledger
        .files
        .iter()
        .rev()
        .filter(of)
        .find(|f| f.how == "left")
    else {
        return;
    };
    if case.full("module-pinned") {
        return;
    }
    let mut draft = case.draft("module-pinned", &change.at);
    draft.life = Some(life);
    draft.key = change.key;
    draft.detail = "shared-table".to_owned();
    draft.phase = Phase::Use;
    let sharer = ledger
        .files
        .iter()
        .rev()
        .filter(of)
        .find(|f| f.how == "inherited" && f.at.tid != left.at.tid);
    let thread = sharer.map_or("a kernel thread".to_owned(), |f| {
        format!("the kernel thread {}", ledger.task_name(f.at.tid))
    });
    draft.message = format!(
        "{} has ended without closing its files, and {thread} shares its table (CLONE_FILES): {} stays open as descriptor {}, and with it the module",
        ledger.task_name(left.at.tid),
        left.what,
        left.fd
    );
    draft.fix =
        "make the thread with kthread_run, which shares nothing; or close its files in the thread"
            .to_owned();
    draft
        .history
        .push(case.step("taken", &change.at, change.why));
    for file in ledger.files.iter().filter(of).take(8) {
        draft.history.push(case.step(file.how, &file.at, file.what));
    }
    case.doubt(&mut draft);
    case.push(draft);
}

/// References on other modules that the judged one took by call, and kept when it went.
fn pins_others(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let mut open: Vec<&RefChange<'_>> = Vec::new();
    for change in &ledger.refs {
        if change.module == ledger.judged_name() {
            continue;
        }
        if change.delta > 0 && ledger.is_ours(&change.at) && open.len() < MAX_OPEN {
            open.push(change);
        } else if change.delta < 0 {
            let same = |o: &&RefChange<'_>| o.module == change.module && o.key == change.key;
            let like = |o: &&RefChange<'_>| o.module == change.module && change.key == 0;
            let found = open
                .iter()
                .rposition(same)
                .or_else(|| open.iter().rposition(like));
            if let Some(index) = found {
                open.remove(index);
            }
        }
    }
    for change in open {
        let over = change
            .at
            .life
            .is_some_and(|l| ledger.lives[l].gone.is_some());
        if !over || case.full("module-pinned") {
            continue;
        }
        let mut draft = case.draft("module-pinned", &change.at);
        draft.key = change.key;
        draft.phase = Phase::AfterExit;
        draft.detail = change.why.to_owned();
        let what = if change.holder.is_empty() {
            String::new()
        } else {
            format!(" of {}", change.holder)
        };
        draft.message = format!(
            "{} stays pinned: {}{what} in {} was never given back",
            change.module,
            change.why,
            case.inside(&change.at)
        );
        draft
            .history
            .push(case.step("taken", &change.at, change.why));
        case.doubt(&mut draft);
        case.push(draft);
    }
}

/// A reference on itself, taken from zero outside of init, by a task that nothing holds the module for.
fn self_get(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    for misuse in ledger.misuses.iter().filter(|m| m.what == "self-get") {
        if case.full("self-module-get") || !ledger.is_ours(&misuse.at) {
            continue;
        }
        let life = misuse.at.life;
        let change = ledger.refs.iter().rev().find(|r| {
            r.delta > 0
                && r.module == ledger.judged_name()
                && r.at.tid == misuse.at.tid
                && r.at.step.abs_diff(misuse.at.step) <= 2
        });
        // In init the loader holds the module; above zero another reference does.
        if misuse.at.phase != Phase::Use || change.is_some_and(|c| c.value > 1) {
            continue;
        }
        let mut draft = case.draft("self-module-get", &misuse.at);
        draft.life = life;
        draft.detail = misuse.detail.to_owned();
        draft.message = format!(
            "{} took a reference on itself while nobody held it: the module may go before the call, and after the put that ends it",
            ledger.judged_name()
        );
        case.doubt(&mut draft);
        case.push(draft);
    }
}

/// The last reference on itself, given back by a thread of the module's that then returns, and that nothing waits for:
/// what is left of its function may have gone.
fn self_put(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let name = ledger.judged_name();
    let waited = |f: &str| ledger.called.contains_key(f);
    if waited("kthread_stop") || waited("kthread_stop_put") {
        return;
    }
    for put in ledger
        .refs
        .iter()
        .filter(|r| r.delta < 0 && r.value == 0 && r.module == name && r.why == "module_put")
    {
        let from_thread = ledger.tasks.get(&put.at.tid).filter(|t| {
            t.kind == TaskKind::Kthread
                && ledger.at_address(t.function) == put.at.life
                && t.ended
                    .as_ref()
                    .is_some_and(|e| matches!(e.1, TaskEnd::Returned))
        });
        // A put that is a jump leaves nothing behind it.
        let last = case.at(&put.at).at.ends_with("(tail call)");
        let Some(thread) = from_thread.filter(|_| put.at.phase == Phase::Use && !last) else {
            continue;
        };
        if case.full("self-module-get") || case.drafts.iter().any(|d| d.rule == "self-module-get") {
            return;
        }
        let mut draft = case.draft("self-module-get", &put.at);
        draft.message = format!(
            "the thread \"{}\" gives back the last reference on {name} and goes on: {name} may be unloaded before its function has returned",
            thread.comm
        );
        case.doubt(&mut draft);
        case.push(draft);
    }
}
