//! One run: a kernel booted once in this process, a confined child for each run, its record judged here.

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

/// Types of the built-in tables, as the kernel asks for them.
struct Types<'a>(&'a dyn lkm_object::types::Types);

impl lkm_kernel::layout::Types for Types<'_> {
    fn struct_size(&self, name: &str) -> Option<u64> {
        self.0.struct_size(name)
    }
    fn offset_of(&self, name: &str, path: &str) -> Option<u64> {
        self.0.offset_of(name, path)
    }
}

/// A kernel that runs are forked from.
pub(crate) struct Lab {
    cx: Cx,
    profile: Profile,
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
    /// Boots. At most once in a process, before any thread exists.
    pub(crate) fn new(profile: Profile, release: &str) -> Result<Lab, String> {
        Lab::with(profile, release, |_| {})
    }

    /// The same, with some of the kernel's options changed.
    pub(crate) fn with(
        profile: Profile,
        release: &str,
        change: impl FnOnce(&mut lkm_kernel::Options),
    ) -> Result<Lab, String> {
        if !fork::single_threaded() {
            return Err("internal error: the lab must start before any thread".into());
        }
        let types = lkm_object::builtin::builtin(release)
            .or_else(|| lkm_object::builtin::builtin(profile.name))
            .or_else(|| lkm_object::builtin::builtin("6.1"))
            .ok_or_else(|| format!("no type information for kernel {release}"))?;
        let mut options = lkm_kernel::Options {
            release: release.to_owned(),
            // The list of exports is that of 6.1; another kernel may have others.
            unknown_symbols: !release.starts_with("6.1."),
            ..lkm_kernel::Options::default()
        };
        change(&mut options);
        Ok(Lab {
            cx: lkm_kernel::boot(profile, options, &Types(types))?,
            profile,
        })
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
        if std::env::var_os("LKM_TRACE").is_some() {
            for event in &trace.events {
                eprintln!("{event:?}");
            }
        }
        Ok((trace, outcome.ended))
    }

    /// Runs a plan in a child and judges what it recorded.
    pub(crate) fn run(&mut self, plan: &Plan, dmesg: bool) -> Result<Report, String> {
        if let Some(report) = self.refused(plan) {
            return Ok(report);
        }
        let (trace, about) = self.go(plan, dmesg)?;
        Ok(with_symbols(&trace, plan, |symbols| {
            lkm_judge::judge(&trace, symbols, &about)
        }))
    }

    /// The same, with the picture of the module's life.
    pub(crate) fn draw(&mut self, plan: &Plan, dmesg: bool) -> Result<(Report, Picture), String> {
        if let Some(report) = self.refused(plan) {
            return Ok((report, Picture::default()));
        }
        let (trace, about) = self.go(plan, dmesg)?;
        Ok(with_symbols(&trace, plan, |symbols| {
            let picture = Picture::of(&trace, symbols, &about);
            (lkm_judge::judge(&trace, symbols, &about), picture)
        }))
    }

    /// The report of a plan with a module that the lab does not take.
    fn refused(&self, plan: &Plan) -> Option<Report> {
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

    fn go(&mut self, plan: &Plan, dmesg: bool) -> Result<(Trace, About), String> {
        let inputs = std::iter::once(&plan.module).chain(&plan.with);
        let disk = Disk::new(inputs.map(|i| (format!("{}.ko", i.name), Rc::clone(&i.image))));
        let (trace, ended) = self.record(|cx, record| {
            cx.umh.helper = Some(modprobe::helper(disk));
            lkm_kernel::rehearse::run(cx, record, plan);
        })?;
        if dmesg {
            print_log(&trace);
        }
        let about = About {
            module: plan.module.name.clone(),
            profile: self.profile.name.to_owned(),
            runs: 1,
            replay: None,
            cut_short: cut_short(ended),
        };
        Ok((trace, about))
    }
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

fn cut_short(ended: fork::Ended) -> Option<String> {
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
