//! Reads a trace into the books, event by event.

use lkm_trace::{Event, Phase, Site, TaskKind, Trace};

use super::{
    Autoload, Blocked, ErrPtr, Fault, FileEvent, Ledger, Leftover, Life, Misuse, Moment, Object,
    RefChange, Task,
};

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
        ledger.settle();
        ledger.mark_given(trace);
        ledger
    }

    /// An exit that was begun and whose end nobody saw: a fault ended it, or it hangs.
    fn settle(&mut self) {
        for life in &mut self.lives {
            let inside = life.exit.is_none() && life.phase == Phase::Exit && life.gone.is_none();
            if life.exit != Some("running") && !inside {
                continue;
            }
            let died = self.faults.iter().any(|f| {
                f.fatal
                    && f.at.phase == Phase::Exit
                    && life.actor.is_none_or(|a| a == f.at.tid)
                    && f.at.step > life.placed
            });
            life.exit = Some(if died { "fault" } else { "hang" });
        }
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
                // A new placement may announce its state before itself: the old one has gone then.
                match self.newest(module).filter(|l| l.gone.is_none()) {
                    Some(life) => {
                        life.state = Some(*state);
                        if *state == 255 {
                            life.gone = Some(step);
                            life.phase = Phase::AfterExit;
                        }
                    }
                    None => {
                        self.announced.insert(module, *state);
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
                let judged = module == self.judged;
                let current = self.current;
                // A load that never came as far as a placement, or a second one of a name that is loaded, or that
                // another task is still inside of the init of.
                let ours = |l: &&mut Life<'_>| {
                    l.load.is_none() && l.actor.is_none_or(|actor| actor == current)
                };
                match self.newest(module).filter(ours) {
                    Some(life) => {
                        life.load = Some(*errno);
                        if *errno < 0 {
                            life.gone.get_or_insert(step);
                            life.phase = Phase::AfterExit;
                        }
                    }
                    None if judged => {
                        self.refused.get_or_insert(*errno);
                    }
                    None => {}
                }
            }
            Event::InitResult { module, value } => {
                if let Some(life) = self.newest(module) {
                    life.init.get_or_insert((step, *value));
                }
            }
            Event::ExitResult { module, how } => {
                if let Some(life) = self.newest(module) {
                    life.exit = Some(how);
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
            Event::Data {
                name,
                address,
                size,
            } => self.zeros.push((name, *address, *size)),
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
                // The kernel side goes by the code that faulted; a tail call leaves none of the module's.
                if !module.is_empty() || at.life.is_none() {
                    at.phase = *phase;
                }
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
                self.stubs.push((step, function, at.life, *tid, site));
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
                killable,
                site,
            } => {
                let at = self.moment(step, *tid, site);
                self.blocked.push(Blocked {
                    function,
                    detail,
                    on: *on,
                    interruptible: *interruptible,
                    killable: *killable,
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
            Event::Point {
                function,
                failed: true,
                tid,
                site,
                ..
            } => {
                let at = self.moment(step, *tid, site);
                self.failures.push((function, at));
            }
            _ => {}
        }
    }

    fn place(&mut self, step: usize, name: &'t str, sections: &'t [(String, u64, u64)]) {
        let index = self.lives.len();
        for (_, start, size) in sections.iter().filter(|s| s.2 > 0) {
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
            state: self.announced.remove(name),
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
