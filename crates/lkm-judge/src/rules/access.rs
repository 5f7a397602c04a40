//! Faults: what the address was says which rule; the oops, and a module left behind, follow from it.

use lkm_trace::{Phase, TaskKind};

use super::{Case, Draft};
use crate::finding::Confidence;
use crate::ledger::{Fault, Object};

/// Most faults of a run that are judged; a kernel would not survive as many.
const MAX_FAULTS: usize = 64;

/// Events between an answer and a fault that leave no doubt.
const JUST: usize = 6;
/// How many answered calls before a fault are looked at.
const MAX_STUBS: usize = 32;

/// What a faulting address turned out to be.
struct Cause {
    rule: &'static str,
    detail: &'static str,
    /// The end of the sentence "module code read …".
    what: String,
}

pub(super) fn check(case: &mut Case<'_, '_>) {
    for fault in case.ledger.faults.iter().take(MAX_FAULTS) {
        if fault.is_labs_own() {
            continue;
        }
        if !concerns_us(case, fault) {
            let place = case.code_place(fault.pc).at;
            case.notes.push(format!(
                "module {} faulted at {place}; it is not the one judged",
                fault.module
            ));
            continue;
        }
        if fault.kind == "warn" {
            let place = fault_place(case, fault);
            let told = case.ledger.misuses.iter().any(|m| {
                m.at.tid == fault.at.tid
                    && m.at.site.pc == fault.at.site.pc
                    && m.at.step < fault.at.step
            });
            if !told {
                case.notes.push(format!(
                    "a kernel warning was raised at {place}: {}",
                    fault.about
                ));
            }
            continue;
        }
        let found = cause(case, fault);
        if found.as_ref().is_none_or(|c| c.rule == "wild-access")
            && let Some(stub) = follows_stub(case, fault)
        {
            case.notes.push(format!(
                "a fault at {} is not judged: it comes of what {stub} answered, which is not modelled",
                fault_place(case, fault)
            ));
            continue;
        }
        let cause = match found {
            Some(cause) => {
                let draft = specific(case, fault, cause);
                Some(case.push(draft))
            }
            None => left_running(case, fault),
        };
        let oops = oops(case, fault, cause);
        wedged(case, fault, cause.unwrap_or(oops));
    }
}

/// Whether the judged module has a part in a fault: its code, a caller of it, or its init or exit.
fn concerns_us(case: &Case<'_, '_>, fault: &Fault<'_>) -> bool {
    let ledger = case.ledger;
    if fault.module == ledger.judged_name() || fault.module.is_empty() {
        return true;
    }
    std::iter::once(&fault.pc)
        .chain(std::iter::once(&fault.at.site.pc))
        .chain(&fault.at.site.stack)
        .filter_map(|&pc| ledger.at_address(pc))
        .any(|l| ledger.lives[l].name == ledger.judged_name())
}

/// The faults that are not judged, by task and step.
pub(super) fn excused(case: &Case<'_, '_>) -> Vec<(u32, usize)> {
    let faults = case.ledger.faults.iter().take(MAX_FAULTS);
    faults
        .filter(|f| !f.is_labs_own() && f.fatal && f.kind != "warn" && concerns_us(case, f))
        .filter(|f| cause(case, f).is_none_or(|c| c.rule == "wild-access"))
        .filter(|f| follows_stub(case, f).is_some())
        .map(|f| (f.at.tid, f.at.step))
        .collect()
}

/// A function without a model that the faulting code has just been answered by: called by the same task in the
/// same function, or in another module's code that is not the one judged.
fn follows_stub<'t>(case: &Case<'_, 't>, fault: &Fault<'t>) -> Option<&'t str> {
    let ledger = case.ledger;
    if !matches!(fault.kind, "page-fault" | "general-protection" | "divide") {
        return None;
    }
    // Who stops a thread that such a fault has ended meets what it left.
    if fault.function.contains("kthread_stop") && !case.excused.is_empty() {
        return ledger.stubs.first().map(|s| s.1);
    }
    let place = super::symbol(&fault_place(case, fault));
    let foreign = ledger
        .at_address(fault.pc)
        .or(fault.at.life)
        .filter(|&l| ledger.lives[l].name != ledger.judged_name());
    ledger
        .stubs
        .iter()
        .rev()
        .skip_while(|s| s.0 > fault.at.step)
        .filter(|s| s.3 == fault.at.tid)
        .take(MAX_STUBS)
        .find(|s| {
            let there = case.call_place(s.4.pc).at;
            super::symbol(&there) == place
                || foreign.is_some() && s.2 == foreign
                || fault.at.step - s.0 <= JUST
        })
        .map(|s| s.1)
}

/// The place to name: the instruction in module text, or the call that went into the kernel.
fn fault_place(case: &Case<'_, '_>, fault: &Fault<'_>) -> String {
    if case.ledger.at_address(fault.pc).is_some() {
        return case.code_place(fault.pc).at;
    }
    case.at(&fault.at).at
}

fn placed(case: &Case<'_, '_>, fault: &Fault<'_>, rule: &'static str) -> Draft {
    let mut draft = case.draft(rule, &fault.at);
    draft.phase = fault.at.phase;
    if case.ledger.at_address(fault.pc).is_some() {
        draft.place = case.code_place(fault.pc);
        if fault.at.site.pc != fault.pc {
            draft.trace.insert(0, draft.place.at.clone());
        }
    }
    draft.pc = fault.pc;
    draft.key = fault.object;
    case.doubt(&mut draft);
    // What was read from such a variable would have been something else on a kernel that has booted.
    if draft.confidence == Confidence::High
        && let Some((name, ..)) = case.ledger.zeros.first()
    {
        draft.confidence = Confidence::Low;
        draft.through = Some(format!("the variable {name}"));
    }
    draft
}

/// Whether an access went into the memory of a module that is not there any more.
pub(super) fn into_gone(fault: &Fault<'_>) -> bool {
    fault.about.starts_with("memory of unloaded module")
}

/// Reads what the machine said about an address. None: nothing finer than an oops.
fn cause(case: &Case<'_, '_>, fault: &Fault<'_>) -> Option<Cause> {
    let about = fault.about;
    let cause = |rule, detail, what: String| Some(Cause { rule, detail, what });
    if fault.kind == "syscall" {
        return cause(
            "raw-syscall",
            "",
            "a system call instruction; it was not carried out".into(),
        );
    }
    if matches!(fault.kind, "double-fault" | "stack-overflow")
        || about.contains("stack") && about.contains("guard")
    {
        return cause("stack-overflow", "", "beyond the end of its stack".into());
    }
    if !matches!(fault.kind, "page-fault" | "general-protection") {
        return None;
    }
    let errno = (fault.address as i64).wrapping_neg();
    if about.starts_with("error pointer") || (1..4096).contains(&errno) {
        let value = match about.strip_prefix("error pointer") {
            Some(v) if !v.trim().is_empty() => v.trim().to_owned(),
            _ => format!("-{errno}"),
        };
        return cause(
            "err-ptr-unchecked",
            "",
            format!("through the error pointer {value}"),
        );
    }
    if into_gone(fault) {
        return None;
    }
    if about.starts_with("freed") {
        return cause("use-after-free", "", format!("{about}, which is freed")).map(|c| Cause {
            what: c
                .what
                .replacen("freed object", "an object", 1)
                .replacen("freed ", "a ", 1),
            ..c
        });
    }
    if about.starts_with("guard") || about.starts_with("outside of") {
        let what = match case.ledger.object_at(fault.object) {
            Some(o) if fault.address >= o.key.saturating_add(o.size) => format!(
                "byte {} of a {} object of {} bytes",
                fault.address - o.key,
                o.kind,
                o.size
            ),
            Some(o) if fault.address < o.key => format!(
                "{} bytes before a {} object of {} bytes",
                o.key - fault.address,
                o.kind,
                o.size
            ),
            _ => format!("outside an object ({about})"),
        };
        return cause("out-of-bounds", "", what);
    }
    if about.starts_with("init section") {
        return cause(
            "init-section-use",
            "",
            format!("{about}, which is freed after init"),
        );
    }
    if about.contains("poison") {
        return cause(
            "use-after-free",
            "list-poison",
            format!("{about}: the entry was deleted from its list before"),
        );
    }
    if about.starts_with("memory of module") {
        return cause("wild-access", "read-only", about.to_owned());
    }
    if about.starts_with("null") || fault.address < 4096 && fault.kind == "page-fault" {
        return None;
    }
    if about.starts_with("user memory") {
        return cause(
            "wild-access",
            "user-pointer",
            format!(
                "the user's address {:#x} without copy_from_user or copy_to_user",
                fault.address
            ),
        );
    }
    let what = if about.is_empty() || about == "nothing" {
        format!("address {:#x}, where nothing is", fault.address)
    } else {
        format!("address {:#x} ({about})", fault.address)
    };
    cause("wild-access", "", what)
}

fn verb(fault: &Fault<'_>) -> &'static str {
    if fault.exec || fault.kind == "syscall" {
        "executed"
    } else if fault.write {
        "wrote"
    } else {
        "read"
    }
}

fn specific(case: &Case<'_, '_>, fault: &Fault<'_>, cause: Cause) -> Draft {
    let mut draft = placed(case, fault, cause.rule);
    let inside = super::symbol(&draft.place.at);
    let by = if fault.function.is_empty() && inside.is_empty() {
        let task = case.ledger.task_name(fault.at.tid);
        format!("the kernel's own code (in {task})")
    } else if fault.function.is_empty() {
        inside
    } else if inside.is_empty() {
        fault.function.to_owned()
    } else {
        format!("{}, called by {inside},", fault.function)
    };
    draft.detail = cause.detail.to_owned();
    draft.message = format!("{by} {} {}", verb(fault), cause.what);
    if let Some(object) = case
        .ledger
        .object_at(fault.object)
        .filter(|_| fault.object != 0)
    {
        lifetime(case, object, &mut draft);
    }
    if cause.rule == "err-ptr-unchecked" {
        let named = fault.about.strip_prefix("error pointer");
        let named = named.and_then(|v| v.trim().parse::<i64>().ok());
        let value = named.unwrap_or(fault.address as i64) as f64;
        let source = case.ledger.err_ptrs.iter().rev().find(|e| {
            e.at.step < fault.at.step
                && (e.value as f64 - value).abs() < 4096.0
                && case.ledger.is_ours(&e.at)
        });
        if let Some(source) = source {
            draft.message = format!(
                "{by} {} through the error pointer {} that {} had answered",
                verb(fault),
                source.value,
                source.function
            );
            draft
                .history
                .push(case.step("answered", &source.at, source.function));
        }
    }
    draft
}

/// Adds where an object was made and freed.
pub(super) fn lifetime(case: &Case<'_, '_>, object: &Object<'_>, draft: &mut Draft) {
    draft
        .history
        .push(case.step("created", &object.made, object.function));
    if let Some((at, function)) = &object.released {
        draft.history.push(case.step("freed", at, function));
    }
}

fn oops(case: &mut Case<'_, '_>, fault: &Fault<'_>, cause: Option<usize>) -> usize {
    let mut draft = placed(case, fault, "oops");
    let task = case.ledger.task_name(fault.at.tid);
    let inside = if fault.function.is_empty() {
        String::new()
    } else {
        format!(" in {}, called", fault.function)
    };
    let what = match fault.kind {
        "page-fault" if fault.address < 4096 => format!(
            "NULL pointer dereference: {} address {:#x}",
            verb(fault)
                .replace("wrote", "write to")
                .replace("read", "read of")
                .replace("executed", "jump to"),
            fault.address
        ),
        "page-fault" => format!("page fault at {:#x}", fault.address),
        "bug" => "BUG()".to_owned(),
        "divide" => "divide error".to_owned(),
        "invalid-opcode" => "invalid opcode".to_owned(),
        "general-protection" => "general protection fault".to_owned(),
        "double-fault" => "double fault".to_owned(),
        other => other.to_owned(),
    };
    // A thread of the module's may die while another task is inside of init or exit.
    let actor = fault
        .at
        .life
        .and_then(|l| case.ledger.lives[l].actor)
        .is_none_or(|actor| actor == fault.at.tid);
    let left = match fault.at.phase {
        _ if !actor => "; the task dies where it is, with what it holds",
        Phase::Init => "; init never returns, no cleanup runs",
        Phase::Exit => "; exit never returns, what it had not undone stays",
        _ => "; the task dies where it is, with what it holds",
    };
    let who = if task.is_empty() {
        String::new()
    } else {
        format!(" of {task}")
    };
    draft.message = format!("{what}{inside} at {}{who}{left}", draft.place.at);
    if !fault.about.is_empty() && cause.is_none() {
        draft.detail = fault.about.to_owned();
    }
    draft.root = cause;
    case.push(draft)
}

/// An oops in init or exit leaves the module COMING or GOING for ever.
fn wedged(case: &mut Case<'_, '_>, fault: &Fault<'_>, root: usize) {
    if !fault.fatal || !matches!(fault.at.phase, Phase::Init | Phase::Exit | Phase::Load) {
        return;
    }
    let ledger = case.ledger;
    // A thread or a timer that dies while init runs kills only itself.
    if ledger
        .tasks
        .get(&fault.at.tid)
        .is_some_and(|t| t.kind != TaskKind::User)
    {
        return;
    }
    let acting = ledger
        .judged()
        .filter(|(_, l)| l.placed < fault.at.step)
        .last();
    let Some((index, life)) = acting else { return };
    let waits_state = life.state.is_none_or(|s| s == 1 || s == 2);
    if life.gone.is_some() || !waits_state || life.actor.is_some_and(|a| a != fault.at.tid) {
        return;
    }
    let (state, shown) = if fault.at.phase == Phase::Exit {
        ("GOING", "Unloading")
    } else {
        ("COMING", "Loading")
    };
    let mut draft = placed(case, fault, "wedged-module");
    draft.life = Some(index);
    draft.detail = state.to_owned();
    draft.message = format!(
        "{} stays {state} ({shown} in /proc/modules): the task that was inside its {} is dead, and it can never be unloaded",
        ledger.judged_name(),
        if state == "GOING" { "exit" } else { "init" }
    );
    draft.root = Some(root);
    draft.confidence = case.drafts[root].confidence;
    case.push(draft);
}

/// Code of a module that has gone was run: by a thread, a timer or an interrupt that was left behind. Where the
/// audit has told it already, that is the cause.
fn left_running(case: &mut Case<'_, '_>, fault: &Fault<'_>) -> Option<usize> {
    let ledger = case.ledger;
    if !into_gone(fault) || !fault.exec {
        return None;
    }
    let life = ledger.at_address(fault.address);
    let told = ledger
        .leftovers
        .iter()
        .any(|l| life.is_some() && ledger.at_address(l.function) == life);
    let task = ledger.tasks.get(&fault.at.tid)?;
    if told || task.kind == TaskKind::User {
        return None;
    }
    let mut draft = placed(case, fault, "left-running");
    draft.life = life;
    draft.message = if task.kind == TaskKind::Kthread {
        draft.place = case.at(&task.made);
        draft.detail = "kthread".to_owned();
        draft.history.push(case.step("started", &task.made, ""));
        format!(
            "kernel thread \"{}\" is left behind: it went on in {}, which is no longer there",
            task.comm,
            case.function(fault.pc)
        )
    } else {
        draft.detail = task.kind.name().to_owned();
        format!(
            "{} ran in {} context, in a module that is no longer there: a timer, work item or interrupt handler is left behind",
            case.function(fault.pc),
            task.kind.name()
        )
    };
    Some(case.push(draft))
}
