//! The processes that steps run in: one for each system call or tool.

use super::modprobe;
use super::run::{Lab, PATIENCE};
use super::script::{Fd, Step};
use super::texts::{errno_name, lines, read_path, write_path};
use lkm_kernel::Cx;
use lkm_kernel::abi::{R, errno};
use lkm_kernel::fs::superblock;
use lkm_kernel::module::load::Args;
use lkm_kernel::module::syscalls::{self, Descriptor, Pointer};
use lkm_kernel::module::sysfs::{self, Node};
use lkm_kernel::sched::{self, Tid};
use lkm_trace::{Site, TaskKind};
use std::cell::RefCell;
use std::rc::Rc;

/// A process that a step runs in.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) tid: Tid,
    out: Rc<RefCell<Vec<String>>>,
    /// Tools have exit codes, system calls errnos.
    tool: bool,
}

impl Lab {
    /// Starts a step in a process of its own.
    pub(super) fn spawn(&mut self, cx: &mut Cx, step: &Step) -> Option<Process> {
        let out: Rc<RefCell<Vec<String>>> = Rc::default();
        let sink = Rc::clone(&out);
        let file = step
            .file()
            .and_then(|name| self.files.get(name))
            .map(Rc::clone);
        let addressed = match step {
            Step::InitModule { params, .. } | Step::FinitModule { params, .. } => {
                addresses(cx, params)
            }
            _ => String::new(),
        };
        let args = |pointer: Pointer| match pointer {
            Pointer::Good => Args::Text(addressed.clone()),
            Pointer::Bad => Args::Fault,
        };
        let mut tool = false;
        let (comm, body): (&str, sched::Body) = match step {
            Step::InitModule {
                args: pointer_args,
                len,
                pointer,
                ..
            } => {
                let (args, pointer) = (args(*pointer_args), *pointer);
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
                args: pointer_args,
                flags,
                fd,
                ..
            } => {
                let (args, flags) = (args(*pointer_args), *flags);
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
            Step::Tool { name: comm, args } => {
                tool = true;
                let (name, args, disk) = (comm.clone(), args.clone(), Rc::clone(&self.disk));
                let body = move |cx: &mut Cx| -> R<i64> {
                    let (code, text) = modprobe::tool_of_step(cx, &disk, &name, &args);
                    sink.borrow_mut().extend(lines(&text));
                    Ok(i64::from(code))
                };
                (comm, Box::new(body))
            }
            Step::Cat(path) | Step::Ls(path) => {
                let (path, user) = (path.clone(), self.user);
                let want_directory = matches!(step, Step::Ls(_));
                let body = move |cx: &mut Cx| read_path(cx, &path, user, want_directory, &sink);
                (if want_directory { "ls" } else { "cat" }, Box::new(body))
            }
            Step::Write { path, text } => {
                let (path, text, root) = (path.clone(), text.clone(), self.user.root());
                let body = move |cx: &mut Cx| write_path(cx, &path, &text, root);
                ("write", Box::new(body))
            }
            Step::Mount { kind, dir, source } => {
                let (kind, dir, source) = (kind.clone(), dir.clone(), source.clone());
                let root = self.user.root();
                let body = move |cx: &mut Cx| -> R<i64> {
                    if !root {
                        return Ok(i64::from(-errno::EPERM));
                    }
                    superblock::mount(cx, &kind, &dir, &source)
                };
                ("mount", Box::new(body))
            }
            Step::Umount(dir) => {
                let (dir, root) = (dir.clone(), self.user.root());
                let body = move |cx: &mut Cx| -> R<i64> {
                    if !root {
                        return Ok(i64::from(-errno::EPERM));
                    }
                    superblock::umount(cx, &dir)
                };
                ("umount", Box::new(body))
            }
            Step::Force { module, json } => {
                tool = true;
                let (name, json) = (module.clone(), *json);
                let body = move |cx: &mut Cx| -> R<i64> {
                    let answer = super::force::unload(cx, &name)?;
                    let text = if json {
                        answer.json()
                    } else {
                        answer.to_string()
                    };
                    sink.borrow_mut().extend(lines(&text));
                    Ok(i64::from(answer.status()))
                };
                ("unload", Box::new(body))
            }
            _ => return None,
        };
        let tid = sched::new_task(cx, comm, TaskKind::User, 0, Site::default(), body)
            .ok()
            .flatten()?;
        sched::identity::become_user(cx, tid, self.user.root()).ok()?;
        let _ = sched::wake(cx, tid);
        Some(Process { tid, out, tool })
    }
}

/// The text with each `${NAME}` replaced by what /proc/kallsyms has for NAME; 0 for a name that it has not.
fn addresses(cx: &mut Cx, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        let symbols = match sysfs::read(cx, "/proc/kallsyms", true) {
            Ok(Some(Ok(Node::Text(text)))) => text,
            _ => String::new(),
        };
        let found = symbols.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let addr = words.next()?;
            (words.nth(1) == Some(name)).then_some(addr)
        });
        out.push_str("0x");
        out.push_str(found.unwrap_or("0"));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Waits for a process; its result and output.
pub(super) fn finish(cx: &mut Cx, process: &Process) -> (String, Vec<String>) {
    let tid = process.tid;
    let until = cx.clock.now + PATIENCE;
    sched::run_until(cx, until, |cx| cx.sched.tasks[tid as usize].dead);
    // What it woke or made runs now, and not in the step after.
    let now = cx.clock.now;
    sched::run_until(cx, now, |_| false);
    result(cx, process)
}

/// What came of a process until now.
pub(super) fn result(cx: &Cx, process: &Process) -> (String, Vec<String>) {
    let task = &cx.sched.tasks[process.tid as usize];
    let out = process.out.borrow().clone();
    let ret = if !task.dead {
        format!("blocked in {}", task.waits.map_or("schedule", |w| w.0))
    } else if task.oopsed {
        format!("signal {}", task.oops_signal)
    } else if task.signals & (1 << 9) != 0 {
        "signal 9".into()
    } else if task.value < 0 && process.tool {
        // No tool answers that: the watchdog took it off the CPU.
        "signal 9".into()
    } else if process.tool {
        format!("exit {}", task.value)
    } else {
        errno_name(task.value)
    };
    (ret, out)
}
