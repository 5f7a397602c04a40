//! The child's side of a lab: does one line after another, each step in a process of the lab's kernel, and records
//! what it left as events.

use super::message::Message;
use super::modprobe::{self, Disk};
use super::people::People;
use super::script::{self, Command, Step, User};
use super::spawn::{self, Process};
use super::tell;
use super::texts::{errno_name, lines, module_line};
use lkm_kernel::fs::open;
use lkm_kernel::fs::{chrdev, kernel_sysctl};
use lkm_kernel::module::sysfs::{self, Node};
use lkm_kernel::sched;
use lkm_kernel::{Cx, begin, rehearse, trace};
use lkm_machine::fork::Record;
use lkm_machine::session::Inbox;
use lkm_trace::Event;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Module files by the name the script uses.
pub(crate) type Files = BTreeMap<String, Rc<Vec<u8>>>;

/// Virtual time that a step may take before it counts as blocked.
pub(super) const PATIENCE: u64 = 60_000_000_000;
/// Virtual time given to a started process before the script goes on.
const SETTLE: u64 = 50_000_000;

pub(super) struct Lab {
    pub(super) files: Files,
    pub(super) disk: Rc<Disk>,
    pub(super) user: User,
    named: BTreeMap<String, Process>,
    /// Processes of steps that were still blocked when their time was over.
    behind: Vec<(String, Process)>,
    people: People,
    logged: usize,
    number: u32,
    prompt: bool,
}

/// What a lab's child has from the start.
pub(super) struct There {
    pub(super) files: Files,
    /// The parent has a module tree to ask of.
    pub(super) tree: bool,
    /// Lines come from a prompt.
    pub(super) prompt: bool,
}

/// Does what comes, until the parent goes.
pub(super) fn serve(cx: &mut Cx, record: Record, mut inbox: Inbox, there: There) {
    let There {
        files,
        tree,
        prompt,
    } = there;
    if begin(cx, record, "lab").is_err() {
        return;
    }
    let disk = Disk::new(
        files
            .iter()
            .map(|(name, bytes)| (name.clone(), Rc::clone(bytes))),
    );
    if tree {
        disk.ask_of(inbox.broker());
    }
    cx.umh.helper = Some(modprobe::helper(Rc::clone(&disk)));
    let mut lab = Lab {
        files,
        disk,
        user: User::Root,
        named: BTreeMap::new(),
        behind: Vec::new(),
        people: People::default(),
        logged: 0,
        number: 0,
        prompt,
    };
    while let Some(message) = inbox.receive() {
        trace::taken(cx);
        match Message::decode(&message) {
            Some(Message::Line(text)) => lab.line(cx, text),
            Some(Message::File { name, bytes }) => {
                let bytes = Rc::new(bytes.to_vec());
                lab.disk.add(name, Rc::clone(&bytes));
                lab.files.insert(name.to_owned(), bytes);
            }
            Some(Message::Names(path)) => {
                for name in names(cx, path) {
                    say(cx, "name", &name);
                }
            }
            Some(Message::Blocked) => rehearse::blocked(cx),
            None => {}
        }
    }
}

fn say(cx: &mut Cx, kind: &str, text: &str) {
    trace::emit(
        cx,
        Event::Output {
            kind: kind.into(),
            text: text.into(),
        },
    );
}

/// The names in a directory, for completion: nothing of the guest's runs.
fn names(cx: &mut Cx, path: &str) -> Vec<String> {
    let path = if path == "/" {
        path
    } else {
        path.trim_end_matches('/')
    };
    match sysfs::read(cx, path, true) {
        Ok(Some(Ok(Node::Directory(names)))) => names,
        _ => open::names(cx, path).unwrap_or_default(),
    }
}

impl Lab {
    fn line(&mut self, cx: &mut Cx, text: &str) {
        let Ok(Some((text, command))) = script::parse_line(text) else {
            return;
        };
        match command {
            Command::As(user) => self.user = user,
            Command::Clock(ns) if !self.prompt => pass(cx, ns),
            Command::Clock(ns) => {
                self.begin_step(cx, &text);
                pass(cx, ns);
                self.report(cx, "0", &[]);
            }
            Command::Expect(_)
            | Command::Tree(_)
            | Command::Profile(_)
            | Command::Boot(_)
            | Command::Compared => {}
            Command::Step(step) => {
                self.begin_step(cx, &text);
                let (ret, out) = self.step(cx, &step, &text);
                self.report(cx, &ret, &out);
            }
        }
    }

    fn begin_step(&mut self, cx: &mut Cx, text: &str) {
        self.number += 1;
        let (number, text) = (self.number, text.to_owned());
        trace::emit(cx, Event::Step { number, text });
    }

    /// Writes what a step left: its result, the modules, the log, its output.
    fn report(&mut self, cx: &mut Cx, ret: &str, out: &[String]) {
        self.tell_ended(cx);
        let panicked = cx.sched.panicked.clone();
        if let Some(why) = &panicked {
            say(cx, "note", &format!("the kernel panicked: {why}"));
        } else if cx.sched.switches > sched::MAX_SWITCHES {
            say(cx, "note", "too many task switches: cut short");
        }
        say(cx, "ret", if panicked.is_some() { "panic" } else { ret });
        for index in (0..cx.modules.list.len()).rev() {
            if let Ok(Some(line)) = module_line(cx, index) {
                say(cx, "mod", &line);
            }
        }
        let complete = cx.printk.complete();
        let lines: Vec<String> = cx.printk.lines[self.logged..complete]
            .iter()
            .map(|l| l.text.clone())
            .collect();
        self.logged = complete;
        for line in lines {
            for part in line.split('\n') {
                say(cx, "log", part);
            }
        }
        for line in out {
            say(cx, "out", line);
        }
    }

    /// Says which of the blocked steps have ended meanwhile, and how.
    fn tell_ended(&mut self, cx: &mut Cx) {
        let all = std::mem::take(&mut self.behind);
        for (text, process) in all {
            if !cx.sched.tasks[process.tid as usize].dead {
                self.behind.push((text, process));
                continue;
            }
            let (ret, out) = spawn::result(cx, &process);
            say(cx, "note", &format!("in the background: {text}: {ret}"));
            for line in out {
                say(cx, "note", &line);
            }
        }
        for note in self.people.late() {
            say(cx, "note", &format!("in the background: {note}"));
        }
    }

    fn task_of(&self, cx: &Cx, who: &str) -> Option<sched::Tid> {
        let named = self.named.get(who).map(|p| p.tid);
        named.or_else(|| tell::find(cx, &self.people, who))
    }

    fn step(&mut self, cx: &mut Cx, step: &Step, text: &str) -> (String, Vec<String>) {
        let ok = |out| ("0".to_owned(), out);
        let fail = |errno: &str| (errno.to_owned(), Vec::new());
        match step {
            Step::Start { name, step } => {
                let Some(process) = self.spawn(cx, step) else {
                    return fail("EAGAIN");
                };
                let until = cx.clock.now + SETTLE;
                let tid = process.tid;
                sched::run_until(cx, until, |cx| cx.sched.tasks[tid as usize].dead);
                self.named.insert(name.clone(), process);
                ("started".into(), Vec::new())
            }
            Step::Repeat { times, step } => {
                let mut last = ok(Vec::new());
                for _ in 0..*times {
                    last = self.step(cx, step, text);
                    if !matches!(last.0.as_str(), "0" | "exit 0") {
                        break;
                    }
                }
                last
            }
            Step::Helpers(None) => ok(tell::helpers(cx)),
            Step::Helpers(Some(on)) => {
                cx.umh.disabled = !on;
                ok(Vec::new())
            }
            Step::Join(name) => match self.named.get(name).cloned() {
                Some(process) => spawn::finish(cx, &process),
                None => fail("ECHILD"),
            },
            Step::Stop(name) => match self.named.get(name).map(|p| p.tid) {
                Some(tid) => self.signal(cx, tid, 9),
                None => fail("ESRCH"),
            },
            Step::Mknod { path, major, minor } => {
                if !self.user.root() {
                    return fail("EPERM");
                }
                let dev = chrdev::mknod(cx, path, chrdev::mkdev(*major, *minor));
                (errno_name(dev), Vec::new())
            }
            Step::Dmesg => ok(tell::dmesg(cx)),
            Step::Ps => ok(tell::ps(cx)),
            Step::Does(doing) => match self.people.act(cx, doing, self.user.root(), PATIENCE) {
                Ok((value, out)) => (errno_name(value.min(0)), out),
                Err(why) => (why, Vec::new()),
            },
            Step::Lsof(who) => match self.task_of(cx, who) {
                Some(tid) => ok(tell::lsof(cx, tid)),
                None => fail("ESRCH"),
            },
            Step::Kill { who, signal } => match self.task_of(cx, who) {
                Some(tid) => self.signal(cx, tid, *signal),
                None => fail("ESRCH"),
            },
            Step::Why { module, json } => match tell::why(cx, module) {
                Ok(Some(why)) if *json => ok(lines(&why.json())),
                Ok(Some(why)) => ok(lines(&why.to_string())),
                _ => ("ENOENT".into(), vec![format!("{module} is not loaded")]),
            },
            Step::Sysctl { name, value } => {
                let path = name.replace('.', "/");
                match value {
                    Some(value) => {
                        let errno = kernel_sysctl::store(cx, &path, value.as_bytes());
                        (errno_name(i64::from(-errno)), Vec::new())
                    }
                    None => match kernel_sysctl::show(cx, &path) {
                        Some(text) => ok(vec![format!("{name} = {}", text.trim_end())]),
                        None => fail("ENOENT"),
                    },
                }
            }
            Step::Reap(when) => {
                cx.sched.reap = *when;
                ok(Vec::new())
            }
            Step::Steps(on) => {
                cx.modules.tell_steps = *on;
                ok(Vec::new())
            }
            // The parent's: it has the record.
            Step::Findings(_) => ok(Vec::new()),
            other => match self.spawn(cx, other) {
                Some(process) => {
                    let answer = spawn::finish(cx, &process);
                    if !cx.sched.tasks[process.tid as usize].dead {
                        self.behind.push((text.to_owned(), process));
                    }
                    answer
                }
                None => fail("EAGAIN"),
            },
        }
    }

    fn signal(&self, cx: &mut Cx, tid: sched::Tid, signal: u32) -> (String, Vec<String>) {
        let _ = sched::send_signal(cx, tid, signal);
        let until = cx.clock.now + SETTLE;
        sched::run_until(cx, until, |_| false);
        ("0".into(), Vec::new())
    }
}

/// Lets virtual time pass.
fn pass(cx: &mut Cx, ns: u64) {
    let until = cx.clock.now + ns;
    sched::run_until(cx, until, |_| false);
    lkm_kernel::time::advance(cx, until);
}
