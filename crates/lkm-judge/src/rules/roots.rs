//! Which finding explains which: one cause gives one root, and everything that follows from it points there.

use std::collections::HashMap;

use lkm_trace::Phase;

use super::access::into_gone;
use super::{Case, Draft};
use crate::finding::Finding;

/// Most steps of history kept when findings are merged.
const MAX_HISTORY: usize = 32;
/// Most findings in one report.
const MAX_FINDINGS: usize = 1000;

/// Most events between a misuse and what it leads to in the same call: a warning prints some twenty lines.
const NEAR: usize = 64;

/// Rules that can only be consequences when another root of the same life explains them.
fn is_left_behind(rule: &str) -> bool {
    matches!(
        rule,
        "memory-leak" | "left-registered" | "left-running" | "module-pinned"
    )
}

pub(super) fn link(case: &mut Case<'_, '_>) {
    same_call(case);
    after_oops(case);
    running_uses(case);
    into_freed_module(case);
    bug_of_the_count(case);
    undone_wrongly(case);
    out_of_a_cache(case);
    in_registered_use(case);
    freed_wrongly(case);
    active_in_freed(case);
    same_lock(case);
    later_generation(case);
    flatten(&mut case.drafts);
}

/// A fault, or a second misuse, inside the very call that was found to be wrong already.
fn same_call(case: &mut Case<'_, '_>) {
    let mut first: HashMap<(u32, u64), usize> = HashMap::new();
    let mut order: Vec<usize> = (0..case.drafts.len()).collect();
    order.sort_by_key(|&i| (case.drafts[i].step, i));
    for i in order {
        let d = &case.drafts[i];
        if is_left_behind(d.rule) {
            continue;
        }
        let site = case
            .ledger
            .faults
            .iter()
            .find(|f| f.at.step == d.step)
            .map_or(d.pc, |f| f.at.site.pc);
        if site == 0 {
            continue;
        }
        match first.get(&(d.tid, site)) {
            Some(&root)
                if case.drafts[root].step < d.step
                    && d.step - case.drafts[root].step <= NEAR
                    && case.drafts[root].rule != d.rule =>
            {
                let draft = &mut case.drafts[i];
                if draft.root.is_none() {
                    draft.root = Some(root);
                }
            }
            _ => {
                first.insert((d.tid, site), i);
            }
        }
    }
}

/// What a dead task held, and what a life that ended in an oops never gave back.
fn after_oops(case: &mut Case<'_, '_>) {
    let oopses: Vec<(usize, u32, Option<usize>, usize, Phase)> = case
        .drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| d.rule == "oops")
        .map(|(i, d)| (i, d.tid, d.life, d.step, d.phase))
        .collect();
    for (oops, tid, life, step, phase) in oopses {
        for i in 0..case.drafts.len() {
            let d = &case.drafts[i];
            if d.root.is_some() || i == oops || case.drafts[oops].root == Some(i) {
                continue;
            }
            let same_life = d.life == life && matches!(phase, Phase::Init | Phase::Exit);
            // A thread that died there has ended without being asked.
            let stopped = d.subject == Some(tid) && d.step > step;
            let caused = stopped
                || is_left_behind(d.rule)
                    && (d.tid == tid && d.step <= step && d.rule != "left-running" || same_life)
                || d.tid == tid
                    && d.step > step
                    && matches!(d.rule, "mutex-misuse" | "context-imbalance");
            if caused {
                case.drafts[i].root = Some(oops);
            }
        }
    }
}

/// Memory that something still running had taken is used, not lost.
fn running_uses(case: &mut Case<'_, '_>) {
    for left in &case.ledger.leftovers {
        let Some(root) = case
            .drafts
            .iter()
            .position(|d| d.rule == "left-running" && d.key == left.key && d.step == left.at.step)
        else {
            continue;
        };
        // A thread's own allocations: the thread is found by its function.
        let tids: Vec<u32> = case
            .ledger
            .tasks
            .iter()
            .filter(|(_, t)| left.kind == "kthread" && t.function == left.function)
            .map(|(&tid, _)| tid)
            .collect();
        // What the armed object itself lies in is in use as well.
        let inside = case
            .ledger
            .object_at(left.key)
            .map_or(0, |object| object.key);
        for d in &mut case.drafts {
            if d.root.is_none()
                && is_left_behind(d.rule)
                && d.rule != "left-running"
                && (tids.contains(&d.tid) || inside != 0 && d.key == inside)
            {
                d.root = Some(root);
            }
        }
    }
}

/// Execution of a module that has gone follows from what was left pointing there.
fn into_freed_module(case: &mut Case<'_, '_>) {
    for fault in &case.ledger.faults {
        let target = if fault.exec { fault.address } else { fault.pc };
        let freed = into_gone(fault)
            || case
                .ledger
                .at_address(target)
                .is_some_and(|l| case.ledger.lives[l].gone.is_some_and(|g| g < fault.at.step));
        if !freed {
            continue;
        }
        let root = [
            "left-running",
            "left-registered",
            "missing-owner",
            "dangling-exit",
            "forced-unload",
        ]
        .iter()
        .find_map(|rule| {
            case.drafts
                .iter()
                .position(|d| d.rule == *rule && d.root.is_none())
        });
        let Some(root) = root else { continue };
        for d in &mut case.drafts {
            if d.step == fault.at.step && d.root.is_none() {
                d.root = Some(root);
            }
        }
    }
}

/// What a function undoes, as the part of its name that it shares with the one that does it:
/// `chrdev` for unregister_chrdev and __register_chrdev.
fn stem(function: &str) -> Option<&str> {
    let at = function.find("register")?;
    let tail = function[at + "register".len()..].trim_matches('_');
    let head = function[..at].trim_end_matches("un").trim_end_matches("de");
    let head = head.trim_matches('_');
    Some(if tail.is_empty() { head } else { tail }).filter(|s| s.len() > 2)
}

/// An unregister call that hit nothing is why the thing itself is left: one finding, told where it was registered.
fn undone_wrongly(case: &mut Case<'_, '_>) {
    for i in 0..case.drafts.len() {
        if case.drafts[i].rule != "release-unheld" || case.drafts[i].root.is_some() {
            continue;
        }
        let step = case.drafts[i].step;
        let misuse = case.ledger.misuses.iter().find(|m| m.at.step == step);
        let Some(stem) = misuse.and_then(|m| stem(m.function)) else {
            continue;
        };
        let left = case.drafts.iter().position(|d| {
            d.rule == "left-registered"
                && d.root.is_none()
                && d.life == case.drafts[i].life
                && d.history
                    .iter()
                    .any(|h| self::stem(&h.function) == Some(stem))
        });
        case.drafts[i].root = left;
    }
}

/// What still ran in memory that was freed runs on, and touches it: that it was freed is told.
fn active_in_freed(case: &mut Case<'_, '_>) {
    let freed: Vec<(usize, u64, usize)> = case
        .drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| {
            d.rule == "use-after-free" && d.detail == "active-free" && d.root.is_none()
        })
        .map(|(root, d)| (root, d.key, d.step))
        .collect();
    for (root, key, step) in freed {
        let size = case
            .ledger
            .object_at(key)
            .map_or(1, |object| object.size.max(1));
        for d in &mut case.drafts {
            let inside = d.key >= key && d.key - key < size && d.step > step;
            let later =
                d.rule == "left-running" || d.rule == "use-after-free" && d.detail.is_empty();
            if inside && later && d.root.is_none() {
                d.root = Some(root);
            }
        }
    }
}

/// What was given to the wrong free, or at the wrong address, is lost because of that.
fn freed_wrongly(case: &mut Case<'_, '_>) {
    let wrong: Vec<(usize, u64)> = case
        .drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| d.rule == "invalid-free" && d.root.is_none() && d.key != 0)
        .map(|(root, d)| (root, d.key))
        .collect();
    for d in &mut case.drafts {
        if d.rule == "memory-leak" && d.root.is_none() {
            d.root = wrong
                .iter()
                .find(|(_, key)| *key == d.key)
                .map(|(root, _)| *root);
        }
    }
}

/// Memory with something in it that is still registered is in use, not lost: the registration is what is told.
fn in_registered_use(case: &mut Case<'_, '_>) {
    let registered: Vec<(usize, u64, Option<usize>)> = case
        .drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| d.rule == "left-registered" && d.root.is_none() && d.key != 0)
        .map(|(root, d)| (root, d.key, d.life))
        .collect();
    for d in &mut case.drafts {
        if d.rule != "memory-leak" || d.root.is_some() || d.key == 0 {
            continue;
        }
        let size = case
            .ledger
            .objects
            .iter()
            .rev()
            .find(|o| o.key == d.key && o.made.step == d.step)
            .map_or(0, |o| o.size);
        d.root = registered
            .iter()
            .find(|(_, key, life)| *life == d.life && *key >= d.key && *key - d.key < size.max(1))
            .map(|(root, ..)| *root);
    }
}

/// An object that its cache still has when it is destroyed is told with the cache.
fn out_of_a_cache(case: &mut Case<'_, '_>) {
    let caches: Vec<(usize, Option<usize>)> = case
        .drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| d.rule == "cache-not-empty" && d.root.is_none())
        .map(|(root, d)| (root, d.life))
        .collect();
    for d in &mut case.drafts {
        let Some(&(root, _)) = caches.iter().find(|(_, life)| *life == d.life) else {
            continue;
        };
        let from_cache = d
            .history
            .iter()
            .any(|h| h.function.starts_with("kmem_cache_alloc"));
        if d.rule == "memory-leak" && d.root.is_none() && from_cache {
            d.root = Some(root);
        }
    }
}

/// The loader's own BUG over a count below its base follows from the put that took it there.
fn bug_of_the_count(case: &mut Case<'_, '_>) {
    let Some(root) = case
        .drafts
        .iter()
        .position(|d| d.rule == "module-ref-underflow" && d.root.is_none())
    else {
        return;
    };
    for fault in &case.ledger.faults {
        if fault.kind == "bug" && fault.about.contains("module_ref") {
            for d in &mut case.drafts {
                if d.step == fault.at.step && d.root.is_none() {
                    d.root = Some(root);
                }
            }
        }
    }
}

/// A mutex that one task keeps and another gives back is one mistake, seen at the return of the first and at the
/// unlock of the second.
fn same_lock(case: &mut Case<'_, '_>) {
    for i in 0..case.drafts.len() {
        let d = &case.drafts[i];
        if d.detail != "held-at-exit" || d.key == 0 || d.root.is_some() {
            continue;
        }
        let other = case.drafts.iter().position(|o| {
            o.rule == d.rule && o.key == d.key && o.detail == "unlock-by-other" && o.root.is_none()
        });
        case.drafts[i].root = other;
    }
}

/// What goes wrong only in a later load follows from what the first one left.
fn later_generation(case: &mut Case<'_, '_>) {
    let Some((first, _)) = case.ledger.judged().next() else {
        return;
    };
    let Some(root) = case
        .drafts
        .iter()
        .position(|d| d.life == Some(first) && d.root.is_none() && is_left_behind(d.rule))
    else {
        return;
    };
    let known: Vec<(&str, String)> = case
        .drafts
        .iter()
        .filter(|d| d.life == Some(first))
        .map(|d| (d.rule, d.place.at.clone()))
        .collect();
    for d in &mut case.drafts {
        let later = d.life.is_some_and(|l| l > first);
        if later && d.root.is_none() && !known.contains(&(d.rule, d.place.at.clone())) {
            d.root = Some(root);
        }
    }
}

/// Points every consequence at the end of its chain of causes.
fn flatten(drafts: &mut [Draft]) {
    for i in 0..drafts.len() {
        let mut root = drafts[i].root;
        let mut hops = 0;
        while let Some(r) = root {
            hops += 1;
            match drafts[r].root {
                Some(next) if next != i && hops <= drafts.len() => root = Some(next),
                _ => break,
            }
        }
        drafts[i].root = root.filter(|&r| r != i);
    }
}

/// Merges what is the same, puts roots before what follows from them, and numbers the findings. `loads` are the
/// steps at which the module was loaded: what each load does once is counted once.
pub(super) fn gather(drafts: Vec<Draft>, loads: &[usize]) -> Vec<Finding> {
    let load_of = |step: usize| loads.iter().filter(|&&at| at <= step).count();
    let mut times: HashMap<(usize, usize), u64> = HashMap::new();
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by_key(|&i| {
        let d = &drafts[i];
        let cause = d.root.map_or(d.step, |r| drafts[r].step);
        (cause, d.root.unwrap_or(i), d.root.is_some(), d.step, i)
    });
    let mut number = vec![usize::MAX; drafts.len()];
    let mut seen: HashMap<(&'static str, String, String, Option<usize>), usize> = HashMap::new();
    let mut findings: Vec<Finding> = Vec::new();
    for &i in &order {
        let d = &drafts[i];
        let root = d.root.map(|r| number[r]).filter(|&r| r != usize::MAX);
        let key = (d.rule, d.place.at.clone(), d.detail.clone(), root);
        if let Some(&known) = seen.get(&key) {
            number[i] = known;
            let finding = &mut findings[known];
            let here = times.entry((known, load_of(d.step))).or_default();
            *here += 1;
            finding.count = finding.count.max(*here);
            let room = MAX_HISTORY.saturating_sub(finding.history.len());
            for step in d.history.iter().take(room) {
                if !finding.history.contains(step) {
                    finding.history.push(step.clone());
                }
            }
            continue;
        }
        if findings.len() >= MAX_FINDINGS {
            break;
        }
        number[i] = findings.len();
        seen.insert(key, findings.len());
        times.insert((findings.len(), load_of(d.step)), 1);
        findings.push(Finding {
            id: findings.len(),
            rule: d.rule,
            detail: d.detail.clone(),
            phase: d.phase,
            step: d.step,
            message: d.message.clone(),
            place: d.place.clone(),
            trace: d.trace.clone(),
            history: d.history.iter().take(MAX_HISTORY).cloned().collect(),
            fix: d.fix.clone(),
            confidence: d.confidence,
            through: d.through.clone(),
            count: 1,
            replay: None,
            root,
        });
    }
    findings
}
