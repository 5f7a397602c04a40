//! request_module: too many at once, and code that goes on as if the answer were always good.

use lkm_trace::Phase;

use super::{Case, Draft, symbol};
use crate::finding::Confidence;
use crate::ledger::{Autoload, Fault};

const ENOMEM: i64 = -12;
const ETIME: i64 = -62;
/// Accesses below this went through a NULL pointer.
const NULL_PAGE: u64 = 4096;
/// Most requests that are looked at; a loop of them is told by another rule.
const MAX_REQUESTS: usize = 256;

pub(super) fn check(case: &mut Case<'_, '_>) {
    runaway(case);
    ignored(case);
}

fn runaway(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    let refused: Vec<&Autoload<'_>> = ledger
        .autoloads
        .iter()
        .filter(|a| matches!(a.result, ENOMEM | ETIME) && ledger.is_ours(&a.at))
        .collect();
    let Some(first) = refused.first() else {
        return;
    };
    let mut draft = case.draft("autoload-runaway", &first.at);
    draft.message = format!(
        "request_module(\"{}\") was refused with {} because too many requests were under way ({} refused){}",
        first.name,
        if first.result == ENOMEM {
            "-ENOMEM"
        } else {
            "-ETIME"
        },
        refused.len(),
        if first.wait {
            ""
        } else {
            "; nobody waits for them"
        }
    );
    case.doubt(&mut draft);
    case.push(draft);
}

/// What an answer of request_module says, in words.
fn answer(request: &Autoload<'_>) -> String {
    match request.result {
        0 if request.wait => "answered 0, which only says that modprobe ended well".to_owned(),
        0 => "answered 0, which only says that modprobe was started".to_owned(),
        n @ 1.. if n & 0x7f != 0 => {
            format!("answered {n}: modprobe was killed by signal {}", n & 0x7f)
        }
        n @ 1.. => format!("answered {n}: modprobe ended with exit status {}", n >> 8),
        n => format!("failed with {n}"),
    }
}

/// A request that did not bring what it named, and code behind it that takes it for granted: the same function, or
/// one that it called or returned to with nothing, follows a NULL pointer; or init passes modprobe's exit status on.
fn ignored(case: &mut Case<'_, '_>) {
    let ledger = case.ledger;
    for request in ledger.autoloads.iter().take(MAX_REQUESTS) {
        if !ledger.is_ours(&request.at) || case.full("autoload-result-ignored") {
            continue;
        }
        let next = ledger
            .autoloads
            .iter()
            .find(|a| a.at.tid == request.at.tid && a.at.step > request.at.step)
            .map_or(usize::MAX, |a| a.at.step);
        let used = ledger.faults.iter().find(|f| {
            f.at.tid == request.at.tid
                && f.at.step > request.at.step
                && f.at.step < next
                && f.kind == "page-fault"
                && f.address < NULL_PAGE
                && !f.about.starts_with("error pointer")
                && shares_function(case, request, f)
        });
        if let Some(fault) = used {
            tell_used(case, request, fault);
        } else if request.result > 0 {
            passed_on(case, request);
        }
    }
}

/// Whether a function of the module's that made the request is on the stack of the fault.
fn shares_function(case: &Case<'_, '_>, request: &Autoload<'_>, fault: &Fault<'_>) -> bool {
    let inside = case.inside(&request.at);
    let frames = std::iter::once(&fault.pc)
        .chain(std::iter::once(&fault.at.site.pc))
        .chain(&fault.at.site.stack);
    !inside.is_empty()
        && frames
            .filter(|&&pc| pc != 0)
            .any(|&pc| symbol(&case.code_place(pc).at) == inside)
}

fn tell_used(case: &mut Case<'_, '_>, request: &Autoload<'_>, fault: &Fault<'_>) {
    let mut draft = about(case, request);
    draft.message = format!(
        "request_module(\"{}\") {}; the code goes on, and {} NULL where it takes for granted what was to come",
        request.name,
        answer(request),
        match (fault.exec, fault.write) {
            (true, _) => "calls",
            (_, true) => "writes through",
            _ => "reads through",
        }
    );
    draft
        .history
        .push(case.step("used", &fault.at, fault.function));
    // 0 does not say that nothing came: the pointer may be another one.
    if request.result == 0 {
        draft.confidence = Confidence::Low;
    }
    let (step, tid) = (fault.at.step, fault.at.tid);
    let root = case.push(draft);
    for d in &mut case.drafts {
        if d.step == step && d.tid == tid && d.root.is_none() {
            d.root = Some(root);
        }
    }
}

/// Init returned what the request answered, as if it were 0 or an errno.
fn passed_on(case: &mut Case<'_, '_>, request: &Autoload<'_>) {
    let ledger = case.ledger;
    if request.at.phase != Phase::Init {
        return;
    }
    let Some(life) = request.at.life else { return };
    let Some((step, _)) = ledger.lives[life]
        .init
        .filter(|&(step, value)| step > request.at.step && value == request.result)
    else {
        return;
    };
    let mut draft = about(case, request);
    draft.message = format!(
        "request_module(\"{}\") {}; init returns that as if it were an errno, and the module is loaded without what it asked for",
        request.name,
        answer(request)
    );
    let root = case.push(draft);
    for d in &mut case.drafts {
        if d.rule == "init-return-value" && d.step == step && d.root.is_none() {
            d.root = Some(root);
        }
    }
}

fn about(case: &Case<'_, '_>, request: &Autoload<'_>) -> Draft {
    let mut draft = case.draft("autoload-result-ignored", &request.at);
    request.name.clone_into(&mut draft.detail);
    case.doubt(&mut draft);
    draft
}
