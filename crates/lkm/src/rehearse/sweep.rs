//! The runs of one rehearsal: a plain one, one for each call that can fail, and some with the tasks in another order.

use super::replay::{self, Bound};
use super::run::{self, Lab, Ran};
use lkm_judge::Report;
use lkm_kernel::rehearse::{Answers, Plan};
use lkm_trace::{End, Event, Trace};
use std::collections::BTreeMap;

/// What is tried beside the plain run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    /// Each call that can fail fails once.
    pub faults: bool,
    /// Runs with the tasks in another order.
    pub schedules: u32,
}

/// Most runs of the fault sweep.
const MAX_FAULTS: usize = 96;
/// Events of a plain run above which it is the only one.
const MAX_EVENTS: usize = 100_000;
/// How often one place of the module's is made to fail, when a loop comes by it again.
const SAME_PLACE: usize = 3;

/// Rehearses by `sweep`; the report stands for all runs. The plain run comes with it, unless the module was refused.
pub(super) fn sweep(
    lab: &mut Lab,
    plan: &Plan,
    sweep: Sweep,
    dmesg: bool,
) -> Result<(Report, Option<Ran>), String> {
    if let Some(report) = lab.refused(plan) {
        return Ok((report, None));
    }
    let bound = Bound::new(plan, &lab.identity());
    let mut run = |answers: Answers, dmesg: bool| -> Result<(Ran, Report), String> {
        let plan = Plan {
            answers,
            ..plan.clone()
        };
        let ran = lab.trace(&plan, dmesg)?;
        let token = bound.token(&replay::answers_of(&ran.trace));
        if run::traced() {
            eprintln!("replay: {token}");
        }
        let report = lab.judge(&plan, &ran, Some(token));
        Ok((ran, report))
    };
    let (plain, mut report) = run(Answers::Plain, dmesg)?;
    if !worthwhile(&plain) {
        let tried = "the plain run was cut short or is very long: no other was tried";
        if sweep.faults || sweep.schedules > 0 {
            report.notes.push(tried.to_owned());
        }
        return Ok((report, Some(plain)));
    }
    if sweep.faults {
        let points = points(&plain.trace);
        let some = &points[..points.len().min(MAX_FAULTS)];
        if some.len() < points.len() {
            report.notes.push(format!(
                "{} of {} calls that can fail were made to fail",
                some.len(),
                points.len()
            ));
        }
        for &number in some {
            let (_, failed) = run(Answers::List(vec![(number, 1)]), false)?;
            lkm_judge::merge(&mut report, failed);
        }
    }
    // One order of one task is the order there is.
    if switches(&plain.trace) > 0 {
        for number in 1..=u64::from(sweep.schedules) {
            let (_, other) = run(Answers::Explore(number), false)?;
            lkm_judge::merge(&mut report, other);
        }
    }
    Ok((report, Some(plain)))
}

/// Whether other runs would be like this one but for what they change: it came to its end, and is not endless.
fn worthwhile(plain: &Ran) -> bool {
    plain.trace.malformed.is_none()
        && plain.trace.events.len() <= MAX_EVENTS
        && matches!(
            plain.trace.events.last(),
            Some(Event::End {
                how: End::Complete | End::Panic,
                ..
            })
        )
}

/// Repeats the run of a token.
pub(super) fn again(
    lab: &mut Lab,
    plan: &Plan,
    token: &str,
    dmesg: bool,
) -> Result<(Report, Option<Ran>), String> {
    if let Some(report) = lab.refused(plan) {
        return Ok((report, None));
    }
    let bound = Bound::new(plan, &lab.identity());
    let answers = bound.answers(token).map_err(|unfit| unfit.to_string())?;
    let plan = Plan {
        answers: replay::source(answers),
        ..plan.clone()
    };
    let ran = lab.trace(&plan, dmesg)?;
    let token = bound.token(&replay::answers_of(&ran.trace));
    Ok((lab.judge(&plan, &ran, Some(token)), Some(ran)))
}

/// The questions whose answer 1 makes a call fail, up to the first unload: a second load asks the same again.
fn points(trace: &Trace) -> Vec<u64> {
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for event in &trace.events {
        match event {
            Event::Point { number, site, .. } => {
                let times = seen.entry(site.pc).or_default();
                *times += 1;
                if *times <= SAME_PLACE {
                    points.push(*number);
                }
            }
            Event::UnloadResult { .. } => break,
            _ => {}
        }
    }
    points
}

/// How often the run had more than one task to choose from.
fn switches(trace: &Trace) -> u64 {
    let asked = trace.events.iter().rev().find_map(|event| match event {
        Event::Asked { switches, .. } => Some(*switches),
        _ => None,
    });
    asked.unwrap_or(0)
}
