//! Tasks that wait for ever: an exit that hangs, an init that never returns, and tasks that wait for each other.

use lkm_trace::{End, Phase, TaskEnd, TaskKind};

use super::{Case, Draft};
use crate::ledger::{Blocked, Life};

/// Longest chain of waiting tasks that is followed.
const MAX_CHAIN: usize = 32;

pub(super) fn check(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    // A task may be seen blocked more than once; the last sight counts.
    let mut last: Vec<&Blocked<'_>> = Vec::new();
    for blocked in ledger.blocked.iter().rev().take(512) {
        if !last.iter().any(|b| b.at.tid == blocked.at.tid) {
            last.push(blocked);
        }
    }
    last.reverse();
    let mut told = Vec::new();
    for &blocked in &last {
        let inside = ledger
            .judged()
            .filter(|(_, l)| l.actor == Some(blocked.at.tid) && l.gone.is_none())
            .last();
        match inside {
            Some((index, life)) if life.exit == Some("hang") || life.phase == Phase::Exit => {
                if life.exit != Some("done") {
                    let draft = unload(case, blocked, index, &last);
                    case.push(draft);
                }
            }
            Some((index, life)) if life.init.is_none() && life.load.is_none() => {
                let draft = init(case, blocked, index, &last);
                case.push(draft);
            }
            _ => among_tasks(case, blocked, &last, &mut told),
        }
    }
    silent_hang(case);
}

/// Who has to act before a blocked task can go on: the holder of its lock, or the thread it stops.
fn awaited(case: &Case<'_, '_>, blocked: &Blocked<'_>) -> Option<u32> {
    let ledger = case.ledger;
    if blocked.on != 0
        && let Some((tid, _)) = ledger.locks.holder(blocked.on)
    {
        return Some(tid);
    }
    if blocked.function.contains("kthread") || blocked.detail.contains("kthread") {
        return ledger
            .tasks
            .iter()
            .rev()
            .find(|(_, t)| blocked.detail.contains(&format!("{}/{}", t.comm, t.pid)))
            .map(|(&tid, _)| tid);
    }
    None
}

/// The chain of tasks from a blocked one, up to the end or to where it closes.
fn chain(case: &Case<'_, '_>, from: &Blocked<'_>, all: &[&Blocked<'_>]) -> (Vec<u32>, bool) {
    let mut tids = vec![from.at.tid];
    let mut at = from;
    while let Some(next) = awaited(case, at) {
        if tids.contains(&next) {
            return (tids, true);
        }
        tids.push(next);
        if tids.len() > MAX_CHAIN {
            break;
        }
        match all.iter().find(|b| b.at.tid == next) {
            Some(b) => at = b,
            None => break,
        }
    }
    (tids, false)
}

fn waits(case: &Case<'_, '_>, blocked: &Blocked<'_>) -> String {
    let inside = case.inside(&blocked.at);
    let place = if inside.is_empty() {
        String::new()
    } else {
        format!(" in {inside}")
    };
    let what = if blocked.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", blocked.detail)
    };
    let killable = if blocked.interruptible {
        ", until a signal comes"
    } else if blocked.killable {
        ", until it is killed"
    } else {
        ", and cannot be killed"
    };
    format!(
        "waits for ever in {}{what}, called{place}{killable}",
        blocked.function
    )
}

/// What the others of a chain are doing, as history.
fn others(case: &Case<'_, '_>, draft: &mut Draft, tids: &[u32], all: &[&Blocked<'_>]) {
    let ledger = case.ledger;
    for &tid in tids {
        if let Some(b) = all.iter().find(|b| b.at.tid == tid) {
            if b.on != 0
                && let Some((holder, held)) = ledger.locks.holder(b.on)
            {
                let mut at = held.at;
                at.tid = holder;
                draft.history.push(case.step("locked", &at, held.kind));
            }
            draft.history.push(case.step("waits", &b.at, b.function));
        } else if let Some(task) = ledger.tasks.get(&tid) {
            let mut at = task.made;
            at.tid = tid;
            draft.history.push(case.step("created", &at, ""));
        }
    }
}

fn unload(case: &Case<'_, '_>, blocked: &Blocked<'_>, life: usize, all: &[&Blocked<'_>]) -> Draft {
    let (tids, closed) = chain(case, blocked, all);
    let mut draft = base(case, "unload-hangs", blocked, life, Phase::Exit);
    draft.message = format!("exit {}", waits(case, blocked));
    if closed {
        draft.detail = "deadlock".to_owned();
        draft
            .message
            .push_str(", and what it waits for waits for a lock that exit holds");
        draft.fix =
            "release the lock before waiting for the thread or the work that takes it".to_owned();
    } else if let Some(&tid) = tids.get(1)
        && awaited_is_thread(blocked)
    {
        draft.message.push_str(&format!(
            ": {} does not test kthread_should_stop() where it is",
            case.ledger.task_name(tid)
        ));
    } else if blocked.on != 0 || !awaited_is_thread(blocked) {
        draft.fix = "let exit wait only for what the module itself will bring about".to_owned();
    }
    others(case, &mut draft, &tids, all);
    draft.root = explained(case, blocked, &tids);
    draft
}

fn awaited_is_thread(blocked: &Blocked<'_>) -> bool {
    blocked.function.contains("kthread_stop") || blocked.function.contains("kthread_park")
}

fn init(case: &Case<'_, '_>, blocked: &Blocked<'_>, life: usize, all: &[&Blocked<'_>]) -> Draft {
    let (tids, _) = chain(case, blocked, all);
    let autoload =
        blocked.function.contains("request_module") || blocked.function.contains("usermodehelper");
    let rule = if autoload {
        "autoload-deadlock"
    } else {
        "deadlock"
    };
    let mut draft = base(case, rule, blocked, life, Phase::Init);
    draft.message = format!(
        "init {}: insmod never returns, and the module stays COMING",
        waits(case, blocked)
    );
    others(case, &mut draft, &tids, all);
    draft.root = explained(case, blocked, &tids);
    draft
}

/// Threads and processes that wait for a lock which is never released.
fn among_tasks(
    case: &mut Case<'_, '_>,
    blocked: &Blocked<'_>,
    all: &[&Blocked<'_>],
    told: &mut Vec<Vec<u32>>,
) {
    let ledger = case.ledger;
    let Some((holder, held)) = ledger.locks.holder(blocked.on).filter(|_| blocked.on != 0) else {
        return;
    };
    let (tids, closed) = chain(case, blocked, all);
    let orphan =
        held.orphaned.is_some() || ledger.tasks.get(&holder).is_some_and(|t| t.ended.is_some());
    if !closed && !orphan {
        return;
    }
    // A circle is told once, and not at all when exit or init is in it: that is told there.
    let mut key = tids.clone();
    key.sort_unstable();
    let in_call = tids.iter().any(|tid| {
        ledger
            .judged()
            .any(|(_, l)| l.actor == Some(*tid) && l.gone.is_none() && busy(l))
    });
    if told.contains(&key) || closed && in_call {
        return;
    }
    told.push(key);
    let mut draft = case.draft("deadlock", &blocked.at);
    draft.key = blocked.on;
    draft.message = if closed {
        format!(
            "{} tasks wait for each other's locks: {} {}",
            tids.len(),
            ledger.task_name(blocked.at.tid),
            waits(case, blocked)
        )
    } else {
        format!(
            "{} {} for a {} that {} took before it ended",
            ledger.task_name(blocked.at.tid),
            waits(case, blocked),
            held.kind,
            ledger.task_name(holder)
        )
    };
    others(case, &mut draft, &tids, all);
    draft.root = explained(case, blocked, &tids);
    case.doubt(&mut draft);
    case.push(draft);
}

/// Whether a life is inside init or exit at the end of the run.
fn busy(life: &Life<'_>) -> bool {
    life.exit == Some("hang")
        || life.phase == Phase::Exit && life.exit.is_none()
        || life.init.is_none() && life.load.is_none()
}

fn base(
    case: &Case<'_, '_>,
    rule: &'static str,
    blocked: &Blocked<'_>,
    life: usize,
    phase: Phase,
) -> Draft {
    let mut draft = case.draft(rule, &blocked.at);
    draft.life = Some(life);
    draft.phase = phase;
    draft.key = blocked.on;
    case.doubt(&mut draft);
    draft
}

fn waits_for_works(blocked: &Blocked<'_>) -> bool {
    let f = blocked.function;
    f.contains("work") && !f.contains("kthread")
}

/// An earlier finding that explains why the chain cannot move: a dead holder, a misused lock, a loop, a
/// lock order that came true.
fn explained(case: &Case<'_, '_>, blocked: &Blocked<'_>, tids: &[u32]) -> Option<usize> {
    let ledger = case.ledger;
    let holder = ledger.locks.holder(blocked.on).map(|(tid, _)| tid);
    let dead = |tid: u32| {
        ledger
            .tasks
            .get(&tid)
            .is_some_and(|t| matches!(t.ended, Some((_, TaskEnd::Oops, _))))
    };
    case.drafts.iter().position(|d| match d.rule {
        "mutex-misuse" => d.key == blocked.on && d.key != 0,
        // Who waits for works waits for a worker: one that died with a work will not finish it.
        "oops"
            if waits_for_works(blocked)
                && ledger
                    .tasks
                    .get(&d.tid)
                    .is_some_and(|t| t.kind == TaskKind::Worker) =>
        {
            dead(d.tid)
        }
        "oops" => tids.iter().chain(&holder).any(|&t| t == d.tid && dead(t)),
        "livelock" => tids[1..].contains(&d.tid) || d.tid == blocked.at.tid,
        "deadlock" => tids[1..].contains(&d.tid),
        "lock-order" => d
            .history
            .iter()
            .any(|s| !s.place.at.is_empty() && s.place.at == case.at(&blocked.at).at),
        _ => false,
    })
}

/// The kernel side says that exit hangs, and no blocked task tells why.
fn silent_hang(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    for (index, life) in ledger.judged() {
        let told = case
            .drafts
            .iter()
            .any(|d| d.rule == "unload-hangs" && d.life == Some(index));
        let labs_own = ledger
            .misuses
            .iter()
            .any(|m| m.what == "livelock" && ledger.is_stubbed(m.function));
        let complete = matches!(ledger.end, Some((End::Complete, _)));
        if life.exit != Some("hang") || told || labs_own || !complete {
            continue;
        }
        let root = case.drafts.iter().position(|d| d.rule == "livelock");
        let at = crate::ledger::Moment {
            step: ledger.steps,
            phase: Phase::Exit,
            life: Some(index),
            tid: life.actor.unwrap_or(0),
            site: &NOWHERE,
        };
        let mut draft = case.draft("unload-hangs", &at);
        draft.message = "exit did not return".to_owned();
        draft.root = root;
        case.doubt(&mut draft);
        case.push(draft);
    }
}

static NOWHERE: lkm_trace::Site = lkm_trace::Site {
    pc: 0,
    stack: Vec::new(),
};
