//! The books of a run: every object, task, lock, reference and fault with where and when, gathered in one pass over the trace.

use std::collections::{BTreeMap, HashMap};

use lkm_trace::{Class, End, Event, Phase, Site, TaskEnd, TaskKind, Trace};

use crate::locks::{Held, Locks};

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
    pub files: Vec<FileEvent<'t>>,
    pub called: BTreeMap<&'t str, Class>,
    /// Calls answered by prototype: step, function, life that called.
    pub stubs: Vec<(usize, &'t str, Option<usize>)>,
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
}

impl<'t> Ledger<'t> {
    /// Reads a trace. `module` is the judged module's name.
    pub fn read(trace: &'t Trace, module: &'t str) -> Ledger<'t> {
        let mut ledger = Ledger {
            judged: module,
            ..Default::default()
        };
        for (step, event) in trace.events.iter().enumerate() {
            ledger.apply(step, event);
        }
        ledger.steps = trace.events.len();
        ledger.mark_given(trace);
        ledger
    }

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

    /// `comm/pid` of a task.
    pub fn task_name(&self, tid: u32) -> String {
        self.tasks
            .get(&tid)
            .map(|t| format!("{}/{}", t.comm, t.pid))
            .unwrap_or_default()
    }

    /// The newest object that covers or covered an address, or has it as its key.
    pub fn object_at(&self, addr: u64) -> Option<&Object<'t>> {
        self.objects
            .iter()
            .rev()
            .find(|o| o.key == addr)
            .or_else(|| {
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

    fn moment(&self, step: usize, tid: u32, site: &'t Site) -> Moment<'t> {
        let life = std::iter::once(&site.pc)
            .chain(&site.stack)
            .filter(|&&pc| pc != 0)
            .find_map(|&pc| self.at_address(pc).or_else(|| self.at_address(pc - 1)))
            .or_else(|| self.tail_caller(tid, site));
        let phase = life
            .or_else(|| self.life_of(self.judged))
            .map_or(Phase::Load, |l| self.lives[l].phase);
        Moment {
            step,
            phase,
            life,
            tid,
            site,
        }
    }

    /// A call that is the last thing a function does is a jump: the return address is the kernel's, and the
    /// module's own function is known only as the one the task was running.
    fn tail_caller(&self, tid: u32, site: &Site) -> Option<usize> {
        if site.pc == 0 {
            return None;
        }
        let acting = |l: &Life<'_>| {
            l.actor == Some(tid) && l.gone.is_none() && matches!(l.phase, Phase::Init | Phase::Exit)
        };
        let recent = self.lives.len().saturating_sub(8);
        self.lives[recent..]
            .iter()
            .rposition(acting)
            .map(|i| i + recent)
            .or_else(|| {
                let task = self.tasks.get(&tid)?;
                (task.function != 0 && task.kind == TaskKind::Kthread)
                    .then(|| self.at_address(task.function))
                    .flatten()
            })
    }

    fn newest(&mut self, name: &str) -> Option<&mut Life<'t>> {
        let index = *self.names.get(name)?;
        self.lives.get_mut(index)
    }

    fn apply(&mut self, step: usize, event: &'t Event) {
        match event {
            Event::Start { profile, .. } => self.profile = profile,
            Event::Module { name, sections, .. } => self.place(step, name, sections),
            Event::State { module, state } => {
                if let Some(life) = self.newest(module) {
                    life.state = Some(*state);
                    if *state == 255 {
                        life.gone.get_or_insert(step);
                        life.phase = Phase::AfterExit;
                    }
                }
            }
            Event::Switch { tid } => self.current = *tid,
            Event::Phase { module, phase } => {
                let current = self.current;
                if let Some(life) = self.newest(module) {
                    life.phase = *phase;
                    if matches!(phase, Phase::Init | Phase::Exit) {
                        life.actor = Some(current);
                    }
                }
            }
            Event::LoadResult { module, errno } => {
                if let Some(life) = self.newest(module)
                    && life.gone.is_none_or(|_| life.load.is_none())
                {
                    life.load.get_or_insert(*errno);
                    if *errno < 0 {
                        life.gone.get_or_insert(step);
                        life.phase = Phase::AfterExit;
                    }
                }
            }
            Event::InitResult { module, value } => {
                if let Some(life) = self.newest(module) {
                    life.init.get_or_insert((step, *value));
                }
            }
            Event::ExitResult { module, how } => {
                if let Some(life) = self.newest(module) {
                    life.exit.get_or_insert(how);
                }
            }
            Event::UnloadResult { module, errno } => {
                if let Some(life) = self.newest(module) {
                    life.unload.push((step, *errno));
                    if *errno == 0 {
                        life.gone.get_or_insert(step);
                        life.phase = Phase::AfterExit;
                    }
                }
            }
            Event::Called { function, class } => {
                self.called.insert(function, *class);
            }
            Event::End { how, detail, .. } => self.end = Some((*how, detail)),
            other => self.apply_placed(step, other),
        }
    }

    /// The events that have a place in code.
    fn apply_placed(&mut self, step: usize, event: &'t Event) {
        match event {
            Event::Task {
                tid,
                pid,
                comm,
                kind,
                function,
                site,
            } => {
                let made = self.moment(step, self.current, site);
                self.tasks.insert(
                    *tid,
                    Task {
                        comm,
                        pid: *pid,
                        kind: *kind,
                        function: *function,
                        made,
                        ended: None,
                        freed: None,
                    },
                );
            }
            Event::TaskEnd {
                tid,
                how,
                value,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                if let Some(task) = self.tasks.get_mut(tid) {
                    task.ended.get_or_insert((at, *how, *value));
                }
                self.locks.task_ended(*tid, step);
            }
            Event::TaskFreed { tid, site } => {
                let at = self.moment(step, self.current, site);
                if let Some(task) = self.tasks.get_mut(tid) {
                    task.freed.get_or_insert(at);
                }
            }
            Event::Acquire {
                kind,
                key,
                size,
                detail,
                function,
                class,
                tid,
                site,
            } => {
                let made = self.moment(step, *tid, site);
                self.held
                    .entry((kind, *key))
                    .or_default()
                    .push(self.objects.len());
                self.objects.push(Object {
                    kind,
                    key: *key,
                    size: *size,
                    detail,
                    function,
                    class: *class,
                    made,
                    released: None,
                    given: None,
                });
            }
            Event::Release {
                kind,
                key,
                function,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                if let Some(index) = self.held.get_mut(&(kind.as_str(), *key)).and_then(Vec::pop) {
                    self.objects[index].released = Some((at, function));
                }
            }
            Event::Ref {
                module,
                delta,
                value,
                why,
                key,
                holder,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.refs.push(RefChange {
                    module,
                    delta: *delta,
                    value: *value,
                    why,
                    key: *key,
                    holder,
                    at,
                });
            }
            Event::Fault {
                kind,
                module,
                phase,
                tid,
                pc,
                address,
                write,
                exec,
                about,
                object,
                function,
                fatal,
                site,
            } => {
                let mut at = self.moment(step, *tid, site);
                at.phase = *phase;
                at.life = at.life.or_else(|| self.life_of(module));
                self.faults.push(Fault {
                    kind,
                    module,
                    pc: *pc,
                    address: *address,
                    write: *write,
                    exec: *exec,
                    about,
                    object: *object,
                    function,
                    fatal: *fatal,
                    at,
                });
            }
            Event::Misuse {
                what,
                detail,
                key,
                function,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.misuses.push(Misuse {
                    what,
                    detail,
                    key: *key,
                    function,
                    at,
                    lock: self.locks.holder(*key).map(|(tid, held)| (tid, *held)),
                    atomic: self.locks.atomic(*tid),
                });
            }
            Event::Lock {
                op,
                kind,
                key,
                class,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.locks.apply(*op, kind, *key, *class, at);
            }
            Event::Stub {
                function,
                tid,
                site,
                ..
            } => {
                let at = self.moment(step, *tid, site);
                self.stubs.push((step, function, at.life));
            }
            Event::Leftover {
                kind,
                key,
                function,
                detail,
                site,
            } => {
                let at = self.moment(step, 0, site);
                self.leftovers.push(Leftover {
                    kind,
                    key: *key,
                    function: *function,
                    detail,
                    at,
                });
            }
            Event::Blocked {
                tid,
                function,
                detail,
                on,
                interruptible,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.blocked.push(Blocked {
                    function,
                    detail,
                    on: *on,
                    interruptible: *interruptible,
                    at,
                });
            }
            Event::File {
                file,
                fd,
                tid,
                what,
                module,
                how,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.files.push(FileEvent {
                    file: *file,
                    fd: *fd,
                    what,
                    module,
                    how,
                    at,
                });
            }
            Event::ErrPtr {
                function,
                value,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.err_ptrs.push(ErrPtr {
                    function,
                    value: *value,
                    at,
                });
            }
            Event::Autoload {
                name,
                wait,
                result,
                tid,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.autoloads.push(Autoload {
                    name,
                    wait: *wait,
                    result: *result,
                    at,
                });
            }
            _ => {}
        }
    }

    fn place(&mut self, step: usize, name: &'t str, sections: &'t [(String, u64, u64)]) {
        let index = self.lives.len();
        for (_, start, size) in sections {
            let end = start.saturating_add(*size);
            // What was placed here before has gone.
            let stale: Vec<u64> = self
                .map
                .range(..end)
                .rev()
                .take_while(|(at, (upto, _))| **at >= *start || *upto > *start)
                .map(|(&at, _)| at)
                .collect();
            for at in stale {
                self.map.remove(&at);
            }
            self.map.insert(*start, (end, index));
        }
        self.names.insert(name, index);
        self.lives.push(Life {
            name,
            sections,
            placed: step,
            phase: Phase::Load,
            state: None,
            load: None,
            init: None,
            exit: None,
            unload: Vec::new(),
            gone: None,
            actor: None,
        });
    }

    /// Marks the unreleased objects whose address a stub was handed: what the real function does with them is not known.
    fn mark_given(&mut self, trace: &'t Trace) {
        let mut open: Vec<usize> = (0..self.objects.len())
            .filter(|&i| self.objects[i].released.is_none() && self.objects[i].key > 4096)
            .collect();
        open.sort_by_key(|&i| self.objects[i].key);
        if open.is_empty() {
            return;
        }
        for (step, event) in trace.events.iter().enumerate() {
            let Event::Stub { function, args, .. } = event else {
                continue;
            };
            for &arg in args {
                // Every unreleased object that begins at or before the argument and still covers it.
                let upto = open.partition_point(|&i| self.objects[i].key <= arg);
                for &i in open[..upto].iter().rev().take(4) {
                    let object = &mut self.objects[i];
                    if object.made.step < step && arg - object.key < object.size.max(1) {
                        object.given.get_or_insert(function);
                    }
                }
            }
        }
    }
}
