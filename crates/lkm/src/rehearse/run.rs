//! One run: a kernel booted once in this process, a confined child for each run, its record judged here.

use super::layouts::{self, Layouts};
use crate::lab::modprobe::{self, Disk};
use lkm_judge::picture::Picture;
use lkm_judge::{About, Report, RunSymbols};
use lkm_kernel::Cx;
use lkm_kernel::profile::Profile;
use lkm_kernel::rehearse::Plan;
use lkm_machine::fork;
use lkm_object::elf::Elf;
use lkm_object::module::ModuleFile;
use lkm_trace::{Event, Trace};
use std::rc::Rc;
use std::time::Duration;

/// Wall-clock time a run may take.
const WALL: Duration = Duration::from_secs(60);
/// Memory a run may map beside the guest's.
const MEMORY: u64 = 2 << 30;

/// Whether the events of each run are printed.
pub(crate) fn traced() -> bool {
    std::env::var_os("LKM_TRACE").is_some()
}

/// A kernel that runs are forked from.
pub(crate) struct Lab {
    cx: Cx,
    profile: Profile,
    /// Whose layouts, for reports, and for tokens.
    layouts: String,
    identity: String,
}

/// The kernel release that a module was built for.
pub(crate) fn release_of(image: &[u8]) -> String {
    let vermagic = ModuleFile::parse(image)
        .map(|m| m.vermagic.to_owned())
        .unwrap_or_default();
    vermagic
        .split(' ')
        .next()
        .filter(|r| !r.is_empty())
        .unwrap_or("6.1.0")
        .to_owned()
}

impl Lab {
    /// Boots with the built-in layouts. At most once in a process, before any thread exists.
    pub(crate) fn new(profile: Profile, release: &str) -> Result<Lab, String> {
        Lab::with(profile, release, |_| {})
    }

    /// The same, with some of the kernel's options changed.
    pub(crate) fn with(
        profile: Profile,
        release: &str,
        change: impl FnOnce(&mut lkm_kernel::Options),
    ) -> Result<Lab, String> {
        let layouts = layouts::nearest(release, profile.name)?;
        Lab::on(profile, release, layouts, change)
    }

    /// The same, on layouts that were chosen.
    pub(crate) fn on(
        profile: Profile,
        release: &str,
        layouts: Layouts,
        change: impl FnOnce(&mut lkm_kernel::Options),
    ) -> Result<Lab, String> {
        if !fork::single_threaded() {
            return Err("internal error: the lab must start before any thread".into());
        }
        let mut options = lkm_kernel::Options {
            release: release.to_owned(),
            // The list of exports is that of 6.1; another kernel may have others.
            unknown_symbols: !release.starts_with("6.1."),
            crcs: layouts.crcs.clone(),
            ..lkm_kernel::Options::default()
        };
        change(&mut options);
        Ok(Lab {
            cx: lkm_kernel::boot(profile, options, &layouts)?,
            profile,
            layouts: layouts.told,
            identity: layouts.identity,
        })
    }

    /// The kernel itself, for a child that drives it line by line.
    pub(crate) fn kernel(&mut self) -> &mut Cx {
        &mut self.cx
    }

    /// Runs `body` in a confined child; what it recorded, and how it ended.
    pub(crate) fn record(
        &mut self,
        body: impl FnOnce(&mut Cx, fork::Record),
    ) -> Result<(Trace, fork::Ended), String> {
        let limits = fork::Limits {
            wall: WALL,
            record: lkm_trace::MAX_TRACE,
            memory: MEMORY,
        };
        let cx = &mut self.cx;
        let outcome = fork::run(limits, |record| body(cx, record)).map_err(|e| e.to_string())?;
        let trace = lkm_trace::decode(&outcome.record);
        if traced() {
            for event in &trace.events {
                eprintln!("{event:?}");
            }
        }
        Ok((trace, outcome.ended))
    }

    /// What beside the modules and the options makes a run what it is: the rules, and whose layouts are used.
    pub(crate) fn identity(&self) -> String {
        format!(
            "{} {} {}",
            self.profile.name, self.cx.options.release, self.identity
        )
    }

    /// Runs a plan in a child and judges what it recorded.
    pub(crate) fn run(&mut self, plan: &Plan, dmesg: bool) -> Result<Report, String> {
        if let Some(report) = self.refused(plan) {
            return Ok(report);
        }
        let ran = self.trace(plan, dmesg)?;
        Ok(self.judge(plan, &ran, None))
    }

    /// The report of a plan with a module that the lab does not take.
    pub(crate) fn refused(&self, plan: &Plan) -> Option<Report> {
        let (input, reason) = std::iter::once(&plan.module)
            .chain(&plan.with)
            .find_map(|input| Some((input, lkm_object::unjudged(&input.image)?)))?;
        let reason = format!("{} is {reason}", input.name);
        Some(Report::refused(
            &plan.module.name,
            self.profile.name,
            &reason,
        ))
    }

    /// Runs a plan in a child.
    pub(crate) fn trace(&mut self, plan: &Plan, dmesg: bool) -> Result<Ran, String> {
        let inputs = std::iter::once(&plan.module).chain(&plan.with);
        let disk = Disk::new(inputs.map(|i| (format!("{}.ko", i.name), Rc::clone(&i.image))));
        let (trace, ended) = self.record(|cx, record| {
            cx.umh.helper = Some(modprobe::helper(disk));
            lkm_kernel::rehearse::run(cx, record, plan);
        })?;
        if dmesg {
            print_log(&trace);
        }
        Ok(Ran { trace, ended })
    }

    /// Judges a run of a plan.
    pub(crate) fn judge(&self, plan: &Plan, ran: &Ran, replay: Option<String>) -> Report {
        let about = self.about(plan, ran, replay);
        with_symbols(&ran.trace, plan, |symbols| {
            lkm_judge::judge(&ran.trace, symbols, &about)
        })
    }

    /// The picture of the life in a run of a plan.
    pub(crate) fn picture(&self, plan: &Plan, ran: &Ran) -> Picture {
        let about = self.about(plan, ran, None);
        with_symbols(&ran.trace, plan, |symbols| {
            Picture::of(&ran.trace, symbols, &about)
        })
    }

    fn about(&self, plan: &Plan, ran: &Ran, replay: Option<String>) -> About {
        About {
            module: plan.module.name.clone(),
            profile: self.profile.name.to_owned(),
            layouts: self.layouts.clone(),
            runs: 1,
            replay,
            cut_short: cut_short(&ran.ended),
        }
    }
}

/// What a run left.
pub(crate) struct Ran {
    /// What it recorded.
    pub trace: Trace,
    /// How its process ended.
    pub ended: fork::Ended,
}

/// Hands `then` the names of the addresses in a run, from the files of its modules.
fn with_symbols<T>(trace: &Trace, plan: &Plan, then: impl FnOnce(&RunSymbols<'_>) -> T) -> T {
    let mut elves: Vec<(&str, Elf<'_>)> = Vec::new();
    for input in std::iter::once(&plan.module).chain(&plan.with) {
        if let Ok(elf) = Elf::parse(&input.image) {
            elves.push((&input.name, elf));
        }
    }
    then(&RunSymbols::from_trace(trace, |name| {
        elves.iter().find(|(n, _)| *n == name).map(|(_, e)| e)
    }))
}

fn cut_short(ended: &fork::Ended) -> Option<String> {
    match ended {
        fork::Ended::Normally => None,
        fork::Ended::LabFailure(why) => Some(format!("lab failure: {why}")),
        fork::Ended::Signal(signal) => Some(format!("the child was killed by signal {signal}")),
        fork::Ended::TimedOut => Some("the child did not end in time".into()),
    }
}

fn print_log(trace: &Trace) {
    for event in &trace.events {
        if let Event::Printk { text, .. } = event {
            eprint!("{text}");
            if !text.ends_with('\n') {
                eprintln!();
            }
        }
    }
}
