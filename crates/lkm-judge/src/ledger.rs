//! The books of a run: every object, task, lock, reference and fault with where and when, gathered in one pass over the trace.

use std::collections::{BTreeMap, HashMap};

use lkm_trace::{Class, End, Phase, Site, TaskEnd, TaskKind};

use crate::kinds::{Nature, nature};
use crate::locks::{Held, Locks};

mod read;

/// When and where something happened.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'t> {
    /// Number of the event in the trace.
    pub step: usize,
    /// Phase of the module that acted, or of the judged one where nobody's code did.
    pub phase: Phase,
    /// The innermost module whose code acted: index into [`Ledger::lives`].
    pub life: Option<usize>,
    pub tid: u32,
    pub site: &'t Site,
}

/// One placement of a module, from its loading until it is gone.
#[derive(Debug)]
pub struct Life<'t> {
    pub name: &'t str,
    pub sections: &'t [(String, u64, u64)],
    pub placed: usize,
    pub phase: Phase,
    /// The last state seen; 255 when gone.
    pub state: Option<u32>,
    pub load: Option<i64>,
    pub init: Option<(usize, i64)>,
    pub exit: Option<&'t str>,
    /// Each delete_module's answer.
    pub unload: Vec<(usize, i64)>,
    /// The step at which it was gone.
    pub gone: Option<usize>,
    /// The task that was inside init or exit.
    pub actor: Option<u32>,
}

impl Life<'_> {
    /// Whether an address lies in one of its sections.
    pub fn contains(&self, addr: u64) -> bool {
        self.section(addr).is_some()
    }

    /// The section an address lies in.
    pub fn section(&self, addr: u64) -> Option<&str> {
        self.sections
            .iter()
            .find(|(_, start, size)| addr >= *start && addr - start < *size)
            .map(|(name, ..)| name.as_str())
    }
}

/// Something that was taken or registered.
#[derive(Debug)]
pub struct Object<'t> {
    pub kind: &'t str,
    pub key: u64,
    pub size: u64,
    pub detail: &'t str,
    pub function: &'t str,
    pub class: Class,
    pub made: Moment<'t>,
    pub released: Option<(Moment<'t>, &'t str)>,
    /// A stubbed function it was handed to after it was made: it may have been given away there.
    pub given: Option<&'t str>,
}

/// A task of the run.
#[derive(Debug)]
pub struct Task<'t> {
    pub comm: &'t str,
    pub pid: u32,
    pub kind: TaskKind,
    pub function: u64,
    pub made: Moment<'t>,
    pub ended: Option<(Moment<'t>, TaskEnd, i64)>,
    pub freed: Option<Moment<'t>>,
}

/// A change of a module's reference count.
#[derive(Debug)]
pub struct RefChange<'t> {
    pub module: &'t str,
    pub delta: i64,
    pub value: i64,
    pub why: &'t str,
    pub key: u64,
    pub holder: &'t str,
    pub at: Moment<'t>,
}

/// A trap of guest code.
#[derive(Debug)]
pub struct Fault<'t> {
    pub kind: &'t str,
    pub module: &'t str,
    pub pc: u64,
    pub address: u64,
    pub write: bool,
    pub exec: bool,
    pub about: &'t str,
    pub object: u64,
    pub function: &'t str,
    pub fatal: bool,
    pub at: Moment<'t>,
}

impl Fault<'_> {
    /// Whether the lab itself could not go on: no fault of the module's.
    pub fn is_labs_own(&self) -> bool {
        self.kind == "bug" && self.about.starts_with("lab:")
    }
}

/// A broken rule that the kernel side saw.
#[derive(Debug)]
pub struct Misuse<'t> {
    pub what: &'t str,
    pub detail: &'t str,
    pub key: u64,
    pub function: &'t str,
    pub at: Moment<'t>,
    /// The lock it is about as it was held then, with its holder.
    pub lock: Option<(u32, Held<'t>)>,
    /// The locks the task held then that forbid to sleep.
    pub atomic: Vec<Held<'t>>,
}

/// Something that can still run module code after it should not.
#[derive(Debug)]
pub struct Leftover<'t> {
    pub kind: &'t str,
    pub key: u64,
    pub function: u64,
    pub detail: &'t str,
    pub at: Moment<'t>,
}

/// A task that waits for ever.
#[derive(Debug)]
pub struct Blocked<'t> {
    pub function: &'t str,
    pub detail: &'t str,
    pub on: u64,
    pub interruptible: bool,
    pub killable: bool,
    pub at: Moment<'t>,
}

/// An error pointer that was answered.
#[derive(Debug)]
pub struct ErrPtr<'t> {
    pub function: &'t str,
    pub value: i64,
    pub at: Moment<'t>,
}

/// A request for a module by the kernel.
#[derive(Debug)]
pub struct Autoload<'t> {
    pub name: &'t str,
    pub wait: bool,
    pub result: i64,
    pub at: Moment<'t>,
}

/// What a file table was seen to hold.
#[derive(Debug)]
pub struct FileEvent<'t> {
    pub file: u64,
    pub fd: u32,
    pub what: &'t str,
    pub module: &'t str,
    pub how: &'t str,
    pub at: Moment<'t>,
}

/// Everything a run's trace tells, put in order.
#[derive(Debug, Default)]
pub struct Ledger<'t> {
    pub profile: &'t str,
    pub lives: Vec<Life<'t>>,
    pub objects: Vec<Object<'t>>,
    pub tasks: BTreeMap<u32, Task<'t>>,
    pub refs: Vec<RefChange<'t>>,
    pub faults: Vec<Fault<'t>>,
    pub misuses: Vec<Misuse<'t>>,
    pub leftovers: Vec<Leftover<'t>>,
    pub blocked: Vec<Blocked<'t>>,
    pub err_ptrs: Vec<ErrPtr<'t>>,
    pub autoloads: Vec<Autoload<'t>>,
    /// Calls that were made to fail, with the function's name.
    pub failures: Vec<(&'t str, Moment<'t>)>,
    pub files: Vec<FileEvent<'t>>,
    pub called: BTreeMap<&'t str, Class>,
    /// Variables of the kernel's that read as zeros here.
    pub zeros: Vec<(&'t str, u64, u64)>,
    /// Calls answered by prototype: step, function, life that called, task, and where.
    pub stubs: Vec<(usize, &'t str, Option<usize>, u32, &'t Site)>,
    pub locks: Locks<'t>,
    pub end: Option<(End, &'t str)>,
    /// Number of events.
    pub steps: usize,
    judged: &'t str,
    held: HashMap<(&'t str, u64), Vec<usize>>,
    /// Start address of each placed section: its end and life. The newest placement of an address wins.
    map: BTreeMap<u64, (u64, usize)>,
    names: HashMap<&'t str, usize>,
    current: u32,
    /// States of modules that are not placed yet.
    announced: HashMap<&'t str, u32>,
    /// The answer of a load of the judged module that was refused before it was placed.
    pub refused: Option<i64>,
}

impl<'t> Ledger<'t> {
    /// The judged module's lives, in order.
    pub fn judged(&self) -> impl Iterator<Item = (usize, &Life<'t>)> {
        self.lives
            .iter()
            .enumerate()
            .filter(|(_, l)| l.name == self.judged)
    }

    /// The name of the judged module.
    pub fn judged_name(&self) -> &'t str {
        self.judged
    }

    /// Whether the module that acted at a moment is the judged one.
    pub fn is_ours(&self, at: &Moment<'_>) -> bool {
        at.life.is_some_and(|l| self.lives[l].name == self.judged)
    }

    /// The newest life with this name.
    pub fn life_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The newest module placed at an address, gone or not.
    pub fn at_address(&self, addr: u64) -> Option<usize> {
        let (_, &(end, life)) = self.map.range(..=addr).next_back()?;
        (addr < end).then_some(life)
    }

    /// Whether an address lies in a variable that boot would have initialised.
    pub fn in_zeros(&self, addr: u64) -> bool {
        self.zeros
            .iter()
            .any(|(_, at, size)| addr >= *at && addr - at < *size)
    }

    /// Whether a kernel function that was called has no model.
    pub fn is_stubbed(&self, function: &str) -> bool {
        matches!(
            self.called.get(function),
            Some(Class::Stubbed | Class::Unknown)
        )
    }

    /// `comm/pid` of a task.
    pub fn task_name(&self, tid: u32) -> String {
        self.tasks
            .get(&tid)
            .map(|t| format!("{}/{}", t.comm, t.pid))
            .unwrap_or_default()
    }

    /// The newest object that covers or covered an address, or has it as its key.
    pub fn object_at(&self, addr: u64) -> Option<&Object<'t>> {
        // What is registered by the address of its memory is not that memory.
        let memory = |o: &&Object<'_>| nature(o.kind) == Nature::Memory;
        let at = || self.objects.iter().rev().filter(|o| o.key == addr);
        at().find(memory).or_else(|| at().next()).or_else(|| {
            self.objects
                .iter()
                .rev()
                .find(|o| o.key <= addr && addr - o.key < o.size.max(1))
        })
    }

    /// The first stub that the module's life called before a step.
    pub fn stub_before(&self, step: usize, life: Option<usize>) -> Option<&'t str> {
        self.stubs
            .iter()
            .take_while(|s| s.0 < step)
            .find(|s| life.is_none() || s.2 == life || s.2.is_none())
            .map(|s| s.1)
    }

    /// A stub that a life called between two steps.
    pub fn stub_between(&self, from: usize, to: usize, life: Option<usize>) -> Option<&'t str> {
        let start = self.stubs.partition_point(|s| s.0 <= from);
        self.stubs[start..]
            .iter()
            .take_while(|s| s.0 < to)
            .find(|s| life.is_none() || s.2 == life || s.2.is_none())
            .map(|s| s.1)
    }
}
