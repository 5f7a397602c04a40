//! Named processes of a script: each lives on between its steps, so that what it has open stays open.

use super::acts::{Act, Doing};
use super::texts::errno_name;
use lkm_kernel::Cx;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::files;
use lkm_kernel::sched::wait::{wait_at, wake_at};
use lkm_kernel::sched::{self, Tid};
use lkm_trace::{Site, TaskEnd, TaskKind};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Where a process of this number sleeps for its next step: no address of the guest's.
const INBOX: u64 = 1 << 62;

/// What a process is to do, and what came of it.
#[derive(Default)]
struct Mail {
    jobs: VecDeque<(Act, u32)>,
    /// A job was taken and not answered: the process is in a system call.
    busy: bool,
    answer: Option<(i64, Vec<String>)>,
}

struct Person {
    tid: Tid,
    mail: Rc<RefCell<Mail>>,
    /// The act that was still going on when its time was over, whose answer comes late.
    late: Option<Doing>,
}

/// All of them, and the descriptors that have names.
#[derive(Default)]
pub(super) struct People {
    by_name: BTreeMap<String, Person>,
    handles: BTreeMap<String, Handle>,
}

/// What a name stands for in a process.
#[derive(Clone)]
struct Handle {
    process: String,
    /// The descriptor, or the address of a mapping.
    value: u32,
    mapping: bool,
}

/// The life of a process: one step after another, until it exits or is killed.
fn live(cx: &mut Cx, mail: &Rc<RefCell<Mail>>) -> R<i64> {
    let tid = sched::current_tid(cx);
    loop {
        let job = mail.borrow_mut().jobs.pop_front();
        let Some((act, fd)) = job else {
            let inbox = INBOX + u64::from(tid);
            wait_at(cx, inbox, sched::INTERRUPTIBLE, None, "read")?;
            if sched::signal_pending(cx, tid) {
                sched::exit(cx, TaskEnd::Killed, 0);
            }
            continue;
        };
        mail.borrow_mut().busy = true;
        let mut out = Vec::new();
        let value = act.run(cx, fd, &mut out)?;
        files::end_of_call(cx)?;
        mail.borrow_mut().busy = false;
        mail.borrow_mut().answer = Some((value, out));
        if act == Act::Exit {
            return Ok(0);
        }
    }
}

/// The signal that ended a process, of those that are pending.
fn killed_by(signals: u64) -> u32 {
    if signals & (1 << 9) != 0 || signals == 0 {
        9
    } else {
        signals.trailing_zeros()
    }
}

fn blocked(cx: &Cx, tid: Tid) -> String {
    let waits = cx.sched.tasks[tid as usize].waits;
    format!("blocked in {}", waits.map_or("schedule", |w| w.0))
}

impl People {
    /// The task of a process, or of the process that has a descriptor of that name.
    pub(super) fn find(&self, name: &str) -> Option<Tid> {
        let process = self.handles.get(name).map_or(name, |h| &h.process);
        self.by_name.get(process).map(|p| p.tid)
    }

    fn make(&mut self, cx: &mut Cx, name: &str, capable: bool) -> bool {
        let alive = |p: &Person| !cx.sched.tasks[p.tid as usize].dead;
        if self.by_name.get(name).is_some_and(alive) {
            return true;
        }
        let mail: Rc<RefCell<Mail>> = Rc::default();
        let inbox = Rc::clone(&mail);
        let body: sched::Body = Box::new(move |cx: &mut Cx| live(cx, &inbox));
        let made = sched::new_task(cx, name, TaskKind::User, 0, Site::default(), body);
        let Ok(Some(tid)) = made else { return false };
        if sched::identity::become_user(cx, tid, capable).is_err() {
            return false;
        }
        let _ = sched::wake(cx, tid);
        self.by_name.insert(
            name.to_owned(),
            Person {
                tid,
                mail,
                late: None,
            },
        );
        true
    }

    /// Does a step: its value (an errno when negative) and output; Err says why there is neither.
    pub(super) fn act(
        &mut self,
        cx: &mut Cx,
        doing: &Doing,
        capable: bool,
        patience: u64,
    ) -> Result<(i64, Vec<String>), String> {
        let handle = self.handles.get(&doing.name).cloned();
        let process = match (&doing.process, &handle) {
            (Some(process), _) => process.clone(),
            (None, Some(handle)) if !doing.act.makes() => handle.process.clone(),
            _ => doing.name.clone(),
        };
        if doing.act.makes() {
            if !self.make(cx, &process, capable) {
                return Ok((i64::from(-errno::EAGAIN), Vec::new()));
            }
        } else if !matches!(doing.act, Act::Exit | Act::Fork) {
            let wanted = doing.act.on_mapping();
            if handle.as_ref().is_none_or(|h| h.mapping != wanted) {
                let none = if wanted { errno::EINVAL } else { errno::EBADF };
                return Ok((i64::from(-none), Vec::new()));
            }
        }
        let Some(person) = self.by_name.get(&process) else {
            return Ok((i64::from(-errno::ESRCH), Vec::new()));
        };
        let (tid, mail) = (person.tid, Rc::clone(&person.mail));
        if cx.sched.tasks[tid as usize].dead {
            return Ok((i64::from(-errno::ESRCH), Vec::new()));
        }
        if mail.borrow().busy && !cx.sched.tasks[tid as usize].dead {
            return Err(format!("{process} is still {}", blocked(cx, tid)));
        }
        let mut fd = handle.map_or(u32::MAX, |h| h.value);
        let mut act = doing.act.clone();
        match &mut act {
            Act::Ioctl {
                arg,
                mapping: Some(name),
                ..
            } => match self.handles.get(name) {
                Some(Handle {
                    value,
                    mapping: true,
                    ..
                }) => *arg = (*value).into(),
                _ => return Ok((i64::from(-errno::EINVAL), Vec::new())),
            },
            Act::Fork => {
                if self.find(&doing.other).is_some() {
                    return Err(format!("{}: that process is there already", doing.other));
                }
                let capable = cx.sched.tasks[tid as usize].capable;
                if !self.make(cx, &doing.other, capable) {
                    return Ok((i64::from(-errno::EAGAIN), Vec::new()));
                }
                fd = self.by_name.get(&doing.other).map_or(fd, |p| p.tid);
            }
            _ => {}
        }
        mail.borrow_mut().answer = None;
        mail.borrow_mut().jobs.push_back((act, fd));
        let _ = wake_at(cx, INBOX + u64::from(tid), 1);
        let until = cx.clock.now + patience;
        sched::run_until(cx, until, |cx| {
            cx.sched.tasks[tid as usize].dead || mail.borrow().answer.is_some()
        });
        let answer = mail.borrow_mut().answer.take();
        let Some((value, out)) = answer else {
            let task = &cx.sched.tasks[tid as usize];
            if task.oopsed {
                return Err(format!("signal {}", task.oops_signal));
            }
            if task.dead {
                return Err(format!("signal {}", killed_by(task.signals)));
            }
            if let Some(person) = self.by_name.get_mut(&process) {
                person.late = Some(doing.clone());
            }
            return Err(blocked(cx, tid));
        };
        // A process that ends does so after its answer.
        let now = cx.clock.now;
        sched::run_until(cx, now, |_| false);
        if value >= 0 {
            self.remember(doing, &process, value);
        }
        Ok((value, out))
    }

    /// What acts that were blocked have answered since.
    pub(super) fn late(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut done = Vec::new();
        for (process, person) in &mut self.by_name {
            if person.late.is_none() {
                continue;
            }
            let Some((value, out)) = person.mail.borrow_mut().answer.take() else {
                continue;
            };
            let ret = errno_name(value.min(0));
            notes.push(format!("{process} has been answered {ret}"));
            notes.extend(out);
            if let Some(doing) = person.late.take().filter(|_| value >= 0) {
                done.push((doing, process.clone(), value));
            }
        }
        for (doing, process, value) in done {
            self.remember(&doing, &process, value);
        }
        notes
    }

    fn remember(&mut self, doing: &Doing, process: &str, value: i64) {
        let entry = Handle {
            process: process.to_owned(),
            value: value as u32,
            mapping: matches!(doing.act, Act::Mmap(_)),
        };
        match doing.act {
            Act::Open { .. } | Act::Socket { .. } => {
                self.handles.insert(doing.name.clone(), entry);
            }
            Act::Dup | Act::Mmap(_) => {
                self.handles.insert(doing.other.clone(), entry);
            }
            // A descriptor of that number in another process than its maker's keeps the name.
            Act::Close | Act::Munmap(None)
                if self
                    .handles
                    .get(&doing.name)
                    .is_some_and(|h| h.process == process) =>
            {
                self.handles.remove(&doing.name);
            }
            Act::Exit => {
                self.by_name.remove(process);
                self.handles.retain(|_, h| h.process != process);
            }
            _ => {}
        }
    }
}
