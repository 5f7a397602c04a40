//! Runs a script's steps in the child: each in a process of the lab's kernel, its record as events.

use super::modprobe::{self, Disk};
use super::people::People;
use super::script::{Command, Fd, Line, Step};
use super::tell;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::kernel_sysctl;
use lkm_kernel::module::load::Args;
use lkm_kernel::module::syscalls::{self, Descriptor, Pointer};
use lkm_kernel::module::sysfs::{self, Node};
use lkm_kernel::module::{show, state, taint};
use lkm_kernel::sched::{self, Tid};
use lkm_kernel::{Cx, begin, trace};
use lkm_machine::fork::Record;
use lkm_trace::{End, Event, Site, TaskKind};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Module files by the name the script uses.
pub(super) type Files = BTreeMap<String, Rc<Vec<u8>>>;

/// Virtual time that a step may take before it counts as blocked.
const PATIENCE: u64 = 60_000_000_000;
/// Virtual time given to a started process before the script goes on.
const SETTLE: u64 = 50_000_000;

/// A process that a step runs in.
#[derive(Clone)]
struct Process {
    tid: Tid,
    out: Rc<RefCell<Vec<String>>>,
    /// Tools have exit codes, system calls errnos.
    tool: bool,
}

struct Lab<'f> {
    files: &'f Files,
    disk: Rc<Disk>,
    root: bool,
    named: BTreeMap<String, Process>,
    people: People,
    logged: usize,
}

/// Runs all lines.
pub(super) fn run(cx: &mut Cx, record: Record, lines: &[Line], files: &Files) {
    if begin(cx, record, "lab").is_err() {
        return;
    }
    let disk = Disk::new(
        files
            .iter()
            .map(|(name, bytes)| (name.clone(), Rc::clone(bytes))),
    );
    cx.umh.helper = Some(modprobe::helper(Rc::clone(&disk)));
    let mut lab = Lab {
        files,
        disk,
        root: true,
        named: BTreeMap::new(),
        people: People::default(),
        logged: 0,
    };
    let mut number = 0;
    for line in lines {
        match &line.command {
            Command::As { root } => lab.root = *root,
            Command::Clock(ns) => {
                let until = cx.clock.now + ns;
                sched::run_until(cx, until, |_| false);
                lkm_kernel::time::advance(cx, until);
            }
            Command::Expect(_) | Command::Tree(_) | Command::Profile(_) | Command::Boot(_) => {}
            Command::Step(step) => {
                number += 1;
                trace::emit(
                    cx,
                    Event::Step {
                        number,
                        text: line.text.clone(),
                    },
                );
                let (ret, out) = lab.step(cx, step);
                lab.report(cx, &ret, &out);
            }
        }
        if cx.sched.panicked.is_some() {
            break;
        }
    }
    let time = cx.clock.now;
    trace::emit(
        cx,
        Event::End {
            how: End::Complete,
            time,
            detail: String::new(),
        },
    );
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

impl Lab<'_> {
    /// Writes what a step left: its result, the modules, the log, its output.
    fn report(&mut self, cx: &mut Cx, ret: &str, out: &[String]) {
        say(cx, "ret", ret);
        for index in (0..cx.modules.list.len()).rev() {
            if let Ok(Some(line)) = module_line(cx, index) {
                say(cx, "mod", &line);
            }
        }
        let lines: Vec<String> = cx.printk.lines[self.logged..]
            .iter()
            .map(|l| l.text.clone())
            .collect();
        self.logged = cx.printk.lines.len();
        for line in lines {
            for part in line.split('\n') {
                say(cx, "log", part);
            }
        }
        for line in out {
            say(cx, "out", line);
        }
    }

    fn step(&mut self, cx: &mut Cx, step: &Step) -> (String, Vec<String>) {
        match step {
            Step::Start { name, step } => {
                let Some(process) = self.spawn(cx, step) else {
                    return ("EAGAIN".into(), Vec::new());
                };
                let until = cx.clock.now + SETTLE;
                let tid = process.tid;
                sched::run_until(cx, until, |cx| cx.sched.tasks[tid as usize].dead);
                self.named.insert(name.clone(), process);
                ("started".into(), Vec::new())
            }
            Step::Join(name) => match self.named.get(name).cloned() {
                Some(process) => finish(cx, &process),
                None => ("ECHILD".into(), Vec::new()),
            },
            Step::Stop(name) => match self.named.get(name).cloned() {
                Some(process) => {
                    let _ = sched::send_signal(cx, process.tid, 9);
                    let until = cx.clock.now + SETTLE;
                    sched::run_until(cx, until, |_| false);
                    ("0".into(), Vec::new())
                }
                None => ("ESRCH".into(), Vec::new()),
            },
            Step::Dmesg => {
                let lines = cx.printk.lines.iter();
                let out = lines.map(|l| {
                    format!(
                        "[{:5}.{:06}] {}",
                        l.time / 1_000_000_000,
                        l.time / 1000 % 1_000_000,
                        l.text
                    )
                });
                ("0".into(), out.collect())
            }
            Step::Ps => ("0".into(), tell::ps(cx)),
            Step::Does(doing) => match self.people.act(cx, doing, self.root, PATIENCE) {
                Ok((value, out)) => (errno_name(value.min(0)), out),
                Err(why) => (why, Vec::new()),
            },
            Step::Lsof(who) => match tell::find(cx, &self.people, who) {
                Some(tid) => ("0".into(), tell::lsof(cx, tid)),
                None => ("ESRCH".into(), Vec::new()),
            },
            Step::Kill { who, signal } => {
                let named = self.named.get(who).map(|p| p.tid);
                match named.or_else(|| tell::find(cx, &self.people, who)) {
                    Some(tid) => {
                        let _ = sched::send_signal(cx, tid, *signal);
                        let until = cx.clock.now + SETTLE;
                        sched::run_until(cx, until, |_| false);
                        ("0".into(), Vec::new())
                    }
                    None => ("ESRCH".into(), Vec::new()),
                }
            }
            Step::Why(name, json) => match tell::why(cx, name) {
                Ok(Some(why)) if *json => ("0".into(), vec![why.json()]),
                Ok(Some(why)) => ("0".into(), lines(&why.to_string())),
                _ => ("ENOENT".into(), Vec::new()),
            },
            Step::Sysctl { name, value } => {
                let path = name.replace('.', "/");
                match value {
                    Some(value) => {
                        let errno = kernel_sysctl::store(cx, &path, value.as_bytes());
                        (errno_name(i64::from(-errno)), Vec::new())
                    }
                    None => match kernel_sysctl::show(cx, &path) {
                        Some(text) => ("0".into(), vec![format!("{name} = {}", text.trim_end())]),
                        None => ("ENOENT".into(), Vec::new()),
                    },
                }
            }
            Step::Reap(when) => {
                cx.sched.reap = *when;
                ("0".into(), Vec::new())
            }
            Step::Steps(on) => {
                cx.modules.tell_steps = *on;
                ("0".into(), Vec::new())
            }
            other => match self.spawn(cx, other) {
                Some(process) => finish(cx, &process),
                None => ("EAGAIN".into(), Vec::new()),
            },
        }
    }

    /// Starts a step in a process of its own.
    fn spawn(&mut self, cx: &mut Cx, step: &Step) -> Option<Process> {
        let out: Rc<RefCell<Vec<String>>> = Rc::default();
        let sink = Rc::clone(&out);
        let file = step
            .file()
            .and_then(|name| self.files.get(name))
            .map(Rc::clone);
        let args = |params: &str, pointer: Pointer| match pointer {
            Pointer::Good => Args::Text(params.to_owned()),
            Pointer::Bad => Args::Fault,
        };
        let mut tool = false;
        let (comm, body): (&str, sched::Body) = match step {
            Step::InitModule {
                params,
                args: pointer_args,
                len,
                pointer,
                ..
            } => {
                let (args, pointer) = (args(params, *pointer_args), *pointer);
                let bytes = file.unwrap_or_default();
                let len = len.unwrap_or(bytes.len() as u64);
                (
                    "init_module",
                    Box::new(move |cx| {
                        Ok(syscalls::init_module(cx, &bytes, len, pointer, args)?.into())
                    }),
                )
            }
            Step::FinitModule {
                params,
                args: pointer_args,
                flags,
                fd,
                ..
            } => {
                let (args, flags) = (args(params, *pointer_args), *flags);
                let fd = match (fd, file) {
                    (Fd::None | Fd::Write, _) | (Fd::Read | Fd::ReadWrite, None) => Descriptor::Bad,
                    (Fd::Irregular, _) => Descriptor::Irregular,
                    (Fd::Read, Some(bytes)) => Descriptor::File {
                        bytes,
                        written: false,
                    },
                    (Fd::ReadWrite, Some(bytes)) => Descriptor::File {
                        bytes,
                        written: true,
                    },
                };
                (
                    "finit_module",
                    Box::new(move |cx| Ok(syscalls::finit_module(cx, fd, args, flags)?.into())),
                )
            }
            Step::DeleteModule {
                name,
                flags,
                pointer,
            } => {
                let (name, flags, good) = (name.clone(), *flags, *pointer == Pointer::Good);
                let body = move |cx: &mut Cx| -> R<i64> {
                    Ok(syscalls::delete_module(cx, good.then_some(name.as_str()), flags)?.into())
                };
                ("delete_module", Box::new(body))
            }
            Step::Tool { name, args } => {
                tool = true;
                let (name, args, disk) = (name.clone(), args.clone(), Rc::clone(&self.disk));
                let body = move |cx: &mut Cx| -> R<i64> {
                    let files = disk.files(cx, name == "modprobe");
                    let (code, text) = modprobe::run(cx, &files, &name, &args);
                    sink.borrow_mut().extend(lines(&text));
                    Ok(i64::from(code))
                };
                ("tool", Box::new(body))
            }
            Step::Cat(path) | Step::Ls(path) => {
                let (path, root) = (path.clone(), self.root);
                let want_directory = matches!(step, Step::Ls(_));
                let body = move |cx: &mut Cx| read_path(cx, &path, root, want_directory, &sink);
                (if want_directory { "ls" } else { "cat" }, Box::new(body))
            }
            Step::Write { path, text } => {
                let (path, text, root) = (path.clone(), text.clone(), self.root);
                let body = move |cx: &mut Cx| -> R<i64> {
                    if !root {
                        // All of these files are root's to write.
                        return Ok(i64::from(-errno::EACCES));
                    }
                    let sysctl = path.strip_prefix("/proc/sys/");
                    if let Some(name) = sysctl.filter(|n| kernel_sysctl::show(cx, n).is_some()) {
                        return Ok(i64::from(-kernel_sysctl::store(cx, name, text.as_bytes())));
                    }
                    let errno = sysfs::write(cx, &path, text.as_bytes())?.unwrap_or(errno::ENOENT);
                    Ok(i64::from(-errno))
                };
                ("write", Box::new(body))
            }
            Step::Force(name, json) => {
                tool = true;
                let (name, json) = (name.clone(), *json);
                let body = move |cx: &mut Cx| -> R<i64> {
                    let answer = super::force::unload(cx, &name)?;
                    let told = match json {
                        true => vec![answer.json()],
                        false => lines(&answer.to_string()),
                    };
                    sink.borrow_mut().extend(told);
                    Ok(i64::from(answer.status()))
                };
                ("unload", Box::new(body))
            }
            _ => return None,
        };
        let tid = sched::new_task(cx, comm, TaskKind::User, 0, Site::default(), body)
            .ok()
            .flatten()?;
        cx.sched.tasks[tid as usize].capable = self.root;
        let _ = sched::wake(cx, tid);
        Some(Process { tid, out, tool })
    }
}

/// Waits for a process; its result and output.
fn finish(cx: &mut Cx, process: &Process) -> (String, Vec<String>) {
    let tid = process.tid;
    let until = cx.clock.now + PATIENCE;
    sched::run_until(cx, until, |cx| cx.sched.tasks[tid as usize].dead);
    // What it woke or made runs now, and not in the step after.
    let now = cx.clock.now;
    sched::run_until(cx, now, |_| false);
    let task = &cx.sched.tasks[tid as usize];
    let out = process.out.borrow().clone();
    let ret = if !task.dead {
        format!("blocked in {}", task.waits.map_or("schedule", |w| w.0))
    } else if task.oopsed {
        format!("signal {}", task.oops_signal)
    } else if task.signals & (1 << 9) != 0 {
        "signal 9".into()
    } else if process.tool {
        format!("exit {}", task.value)
    } else {
        errno_name(task.value)
    };
    (ret, out)
}

/// A text's lines.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The result of a system call as the record has it.
fn errno_name(value: i64) -> String {
    if value >= 0 {
        return value.to_string();
    }
    let names: &[(i32, &str)] = &[
        (1, "EPERM"),
        (2, "ENOENT"),
        (3, "ESRCH"),
        (4, "EINTR"),
        (5, "EIO"),
        (6, "ENXIO"),
        (7, "E2BIG"),
        (8, "ENOEXEC"),
        (9, "EBADF"),
        (10, "ECHILD"),
        (11, "EWOULDBLOCK"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (14, "EFAULT"),
        (16, "EBUSY"),
        (17, "EEXIST"),
        (19, "ENODEV"),
        (20, "ENOTDIR"),
        (21, "EISDIR"),
        (22, "EINVAL"),
        (25, "ENOTTY"),
        (26, "ETXTBSY"),
        (27, "EFBIG"),
        (28, "ENOSPC"),
        (30, "EROFS"),
        (88, "ENOTSOCK"),
        (90, "EMSGSIZE"),
        (93, "EPROTONOSUPPORT"),
        (97, "EAFNOSUPPORT"),
        (111, "ECONNREFUSED"),
        (34, "ERANGE"),
        (36, "ENAMETOOLONG"),
        (38, "ENOSYS"),
        (62, "ETIME"),
        (65, "ENOPKG"),
        (74, "EBADMSG"),
        (95, "EOPNOTSUPP"),
        (110, "ETIMEDOUT"),
        (126, "ENOKEY"),
        (129, "EKEYREJECTED"),
        (512, "EINTR"),
    ];
    let errno = (-value) as i32;
    names
        .iter()
        .find(|(n, _)| *n == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

/// A `mod` line; None for a module that /proc/modules does not show.
fn module_line(cx: &Cx, index: usize) -> R<Option<String>> {
    let m = &cx.modules.list[index];
    let word = match state(cx, index) {
        _ if !m.listed => return Ok(None),
        lkm_kernel::module::LIVE => "Live",
        lkm_kernel::module::COMING => "Loading",
        lkm_kernel::module::GOING => "Unloading",
        _ => return Ok(None),
    };
    let text = show::proc_modules(cx, true)?;
    let row = text
        .lines()
        .find(|l| l.split(' ').next() == Some(&m.name))
        .unwrap_or_default();
    let users = row.split(' ').nth(3).unwrap_or("-");
    let letters = if m.taints == 0 {
        "-".to_owned()
    } else {
        taint::letters(cx, index, Some(state(cx, index)))
    };
    Ok(Some(format!(
        "{} {} {users} {word} {letters}",
        m.name,
        show::shown_count(cx, index)?
    )))
}

/// cat and ls.
fn read_path(
    cx: &mut Cx,
    path: &str,
    root: bool,
    want_directory: bool,
    out: &Rc<RefCell<Vec<String>>>,
) -> R<i64> {
    let sysctl = path.strip_prefix("/proc/sys/");
    if let Some(text) = sysctl.and_then(|name| kernel_sysctl::show(cx, name)) {
        out.borrow_mut().extend(lines(&text));
        return Ok(0);
    }
    let answer = match sysfs::read(cx, path, root)? {
        Some(answer) => answer,
        None => Err(errno::ENOENT),
    };
    Ok(match answer {
        Err(errno) => i64::from(-errno),
        Ok(Node::Text(_)) if want_directory => i64::from(-errno::ENOTDIR),
        Ok(Node::Directory(_)) if !want_directory => i64::from(-errno::EISDIR),
        Ok(Node::Text(text)) => {
            out.borrow_mut().extend(text.lines().map(str::to_owned));
            0
        }
        Ok(Node::Directory(names)) => {
            out.borrow_mut().extend(names);
            0
        }
    })
}
