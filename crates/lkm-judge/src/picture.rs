//! The life of a module as a picture shows it: phases, reference count, threads, and what was held from where to where.

use std::collections::BTreeMap;

use lkm_trace::{Event, Phase, TaskEnd, TaskKind, Trace};

use crate::ledger::Ledger;
use crate::symbols::Symbols;
use crate::verdict::About;

/// Most lanes of tasks.
const MAX_LANES: usize = 24;
/// Most bars of objects; those that were never given back come first.
const MAX_BARS: usize = 40;
/// Most marks on the time axis.
const MAX_MARKS: usize = 400;

/// A phase of the module's life, from the step where it begins to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// The first step.
    pub from: usize,
    /// The step behind it.
    pub to: usize,
    /// Which phase.
    pub phase: Phase,
    /// Which loading of the module, from 1.
    pub load: usize,
}

/// A task: a process inside the module's system calls, or a thread that its code made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// `comm/pid`.
    pub name: String,
    /// Whether it is a thread of the kernel's.
    pub kthread: bool,
    /// Made at this step.
    pub from: usize,
    /// Its end and how; None: it still was there.
    pub ended: Option<(usize, TaskEnd)>,
    /// Its task structure went here.
    pub freed: Option<usize>,
    /// When it was on the processor: from a step to another.
    pub runs: Vec<(usize, usize)>,
}

/// Something that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What it is: `slab`, `timer`, `miscdevice`…
    pub kind: String,
    /// Its name, where it has one.
    pub detail: String,
    /// Where it was taken.
    pub at: String,
    /// Taken at this step.
    pub from: usize,
    /// Given back at this one; None: never.
    pub to: Option<usize>,
}

/// What is drawn. Steps are numbers of events, as in a report's `refcount` and in its findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The phases, in order.
    pub bands: Vec<Band>,
    /// Tasks, in the order they were made.
    pub lanes: Vec<Lane>,
    /// Objects, in the order they were taken.
    pub bars: Vec<Bar>,
    /// How many objects there were beside those in `bars`.
    pub more_bars: usize,
    /// The steps that the axis shows, rising: something drawn begins or ends there.
    pub marks: Vec<usize>,
    /// Number of events of the run.
    pub end: usize,
    /// What repeats the run: a report's findings that carry it were seen in this run.
    pub replay: Option<String>,
}

impl Picture {
    /// What a run's trace shows of the judged module.
    pub fn of(trace: &Trace, symbols: &dyn Symbols, about: &About) -> Picture {
        let ledger = Ledger::read(trace, &about.module);
        let mut picture = Picture {
            replay: about.replay.clone(),
            bands: bands(trace, &about.module),
            lanes: lanes(&ledger, trace),
            end: trace.events.len(),
            ..Picture::default()
        };
        picture.take_bars(&ledger, symbols);
        picture.take_marks(&ledger);
        picture
    }

    fn take_bars(&mut self, ledger: &Ledger<'_>, symbols: &dyn Symbols) {
        let mut ours: Vec<_> = ledger
            .objects
            .iter()
            .filter(|o| ledger.is_ours(&o.made))
            .collect();
        ours.sort_by_key(|o| (o.released.is_some(), o.made.step));
        self.more_bars = ours.len().saturating_sub(MAX_BARS);
        ours.truncate(MAX_BARS);
        ours.sort_by_key(|o| o.made.step);
        self.bars = ours
            .into_iter()
            .map(|o| Bar {
                kind: o.kind.to_owned(),
                detail: o.detail.to_owned(),
                at: symbols.return_name(o.made.site.pc).unwrap_or_default(),
                from: o.made.step,
                to: o.released.as_ref().map(|(at, _)| at.step),
            })
            .collect();
    }

    /// Everything that begins or ends; of too many, evenly spread ones.
    fn take_marks(&mut self, ledger: &Ledger<'_>) {
        let mut marks = vec![0, self.end];
        marks.extend(self.bands.iter().map(|b| b.from));
        for lane in &self.lanes {
            marks.push(lane.from);
            marks.extend(lane.ended.map(|(step, _)| step));
            marks.extend(lane.freed);
        }
        for bar in &self.bars {
            marks.push(bar.from);
            marks.extend(bar.to);
        }
        let counts = ledger
            .refs
            .iter()
            .filter(|r| r.module == ledger.judged_name());
        marks.extend(counts.map(|r| r.at.step));
        marks.sort_unstable();
        marks.dedup();
        if marks.len() > MAX_MARKS {
            let last = marks.len() - 1;
            marks = (0..MAX_MARKS)
                .map(|i| marks[i * last / (MAX_MARKS - 1)])
                .collect();
        }
        self.marks = marks;
    }
}

fn bands(trace: &Trace, module: &str) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let mut load = 0;
    let end = trace.events.len();
    for (step, event) in trace.events.iter().enumerate() {
        let phase = match event {
            Event::Module { name, .. } if name == module => {
                load += 1;
                Phase::Load
            }
            Event::Phase { module: of, phase } if of == module => *phase,
            _ => continue,
        };
        if let Some(last) = bands.last_mut() {
            if last.phase == phase && last.load == load {
                continue;
            }
            last.to = step;
        }
        bands.push(Band {
            from: step,
            to: end,
            phase,
            load: load.max(1),
        });
    }
    bands.truncate(MAX_MARKS);
    bands
}

/// The tasks that entered the module's init or exit.
fn actors(trace: &Trace, module: &str) -> Vec<u32> {
    let mut running = 0;
    let mut actors = Vec::new();
    for event in &trace.events {
        match event {
            Event::Switch { tid } => running = *tid,
            Event::Phase {
                module: of,
                phase: Phase::Init | Phase::Exit,
            } if of == module && !actors.contains(&running) && actors.len() < MAX_LANES => {
                actors.push(running);
            }
            _ => {}
        }
    }
    actors
}

/// The tasks that the module's code made, and those that were inside its init or exit.
fn lanes(ledger: &Ledger<'_>, trace: &Trace) -> Vec<Lane> {
    let actors = actors(trace, ledger.judged_name());
    let mut lanes: BTreeMap<u32, Lane> = ledger
        .tasks
        .iter()
        .filter(|(tid, task)| ledger.is_ours(&task.made) || actors.contains(tid))
        .take(MAX_LANES)
        .map(|(&tid, task)| {
            let lane = Lane {
                name: ledger.task_name(tid),
                kthread: task.kind != TaskKind::User,
                from: task.made.step,
                ended: task.ended.as_ref().map(|(at, how, _)| (at.step, *how)),
                freed: task.freed.as_ref().map(|at| at.step),
                runs: Vec::new(),
            };
            (tid, lane)
        })
        .collect();
    let mut since: Option<(u32, usize)> = None;
    let end = trace.events.len();
    let switches = trace.events.iter().enumerate();
    let switches = switches.filter_map(|(step, event)| match event {
        Event::Switch { tid } => Some((step, Some(*tid))),
        _ => None,
    });
    for (step, tid) in switches.chain(std::iter::once((end, None))) {
        if let Some((running, from)) = since.take()
            && let Some(lane) = lanes.get_mut(&running)
            && lane.runs.len() < MAX_MARKS
        {
            lane.runs.push((from, step));
        }
        since = tid.map(|tid| (tid, step));
    }
    let mut lanes: Vec<Lane> = lanes.into_values().collect();
    lanes.sort_by_key(|l| l.from);
    lanes
}
