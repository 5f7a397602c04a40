//! What a script asks the lab itself: ps, lsof, and who keeps a module loaded.

use super::people::People;
use lkm_judge::why::{Depth, Reference, Why};
use lkm_kernel::Cx;
use lkm_kernel::abi::R;
use lkm_kernel::fs::{files, superblock};
use lkm_kernel::mm::mmap;
use lkm_kernel::module::refs::Held;
use lkm_kernel::module::{self, kallsyms, show};
use lkm_kernel::sched::Tid;

/// Live tasks: pid, kind, name, and what a blocked one waits in.
pub(super) fn ps(cx: &Cx) -> Vec<String> {
    let tasks = cx.sched.tasks.iter().filter(|t| !t.dead);
    tasks
        .map(|t| {
            let waits = t
                .waits
                .map_or_else(String::new, |(what, _)| format!(" blocked in {what}"));
            format!("{:5} {} {}{waits}", t.pid, t.kind.name(), t.comm)
        })
        .collect()
}

/// The kernel log, with its time stamps.
pub(super) fn dmesg(cx: &Cx) -> Vec<String> {
    let stamp = |time: u64| (time / 1_000_000_000, time / 1000 % 1_000_000);
    let lines = cx.printk.lines[..cx.printk.complete()].iter();
    lines
        .map(|l| {
            let (seconds, micros) = stamp(l.time);
            format!("[{seconds:5}.{micros:06}] {}", l.text)
        })
        .collect()
}

/// The programs that the kernel started, oldest first: path, arguments, environment.
pub(super) fn helpers(cx: &Cx) -> Vec<String> {
    let quoted = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
        words.join(" ")
    };
    let mut out = Vec::new();
    for (path, argv, envp) in &cx.umh.started {
        out.push(format!("{path}: {}", quoted(argv)));
        out.push(format!("  environment: {}", quoted(envp)));
    }
    out
}

/// A task by pid, by the name of a script's process, or by its own name: the newest of them.
pub(super) fn find(cx: &Cx, people: &People, who: &str) -> Option<Tid> {
    let tasks = &cx.sched.tasks;
    if let Ok(pid) = who.parse::<u32>() {
        return lkm_kernel::sched::by_pid(cx, pid);
    }
    let thread = who.strip_prefix("thread:");
    if thread.is_none()
        && let Some(tid) = people.find(who)
        && !tasks[tid as usize].dead
    {
        return Some(tid);
    }
    let comm = thread.unwrap_or(who);
    let named = |kernel: bool| {
        tasks.iter().rposition(|t| {
            !t.dead && t.comm == comm && (!kernel || t.kind == lkm_trace::TaskKind::Kthread)
        })
    };
    named(thread.is_some()).map(|at| at as Tid)
}

/// What lsof calls the type of a file.
fn kind(what: &str) -> &'static str {
    if what.starts_with("socket:") {
        "sock"
    } else if what.starts_with("/dev/") {
        "CHR"
    } else {
        "REG"
    }
}

/// A task's open files.
pub(super) fn lsof(cx: &Cx, tid: Tid) -> Vec<String> {
    let task = &cx.sched.tasks[tid as usize];
    let mut rows = vec!["COMMAND PID FD TYPE NAME".to_owned()];
    for (fd, file, what) in files::list(cx, tid) {
        let pins = files::pinned(cx, file).map_or_else(String::new, |m| format!(" [pins {m}]"));
        rows.push(format!(
            "{} {} {fd}u {} {what}{pins}",
            task.comm,
            task.pid,
            kind(&what)
        ));
    }
    rows
}

/// Tasks that have a file open: `comm/pid descriptor N`.
fn holders(cx: &Cx, file: u64) -> Vec<String> {
    let mut out = Vec::new();
    for tid in 0..cx.sched.tasks.len() as Tid {
        for (fd, _, _) in files::list(cx, tid).iter().filter(|(_, f, _)| *f == file) {
            let task = &cx.sched.tasks[tid as usize];
            let thread = if task.kind == lkm_trace::TaskKind::Kthread {
                ", a kernel thread"
            } else {
                ""
            };
            out.push(format!(
                "{}/{} as descriptor {fd}{thread}",
                task.comm, task.pid
            ));
        }
    }
    for tid in mmap::mappers(cx, file) {
        let task = &cx.sched.tasks[tid as usize];
        out.push(format!("{}/{} as a mapping", task.comm, task.pid));
    }
    out
}

fn reference(cx: &Cx, held: &Held) -> Reference {
    let place = if held.pc == 0 {
        String::new()
    } else {
        kallsyms::describe(cx, held.pc)
    };
    let file = files::info(cx, held.key).map(|open| open.what.clone());
    let (kind, object, holder, release) = match (held.why.as_str(), file) {
        (_, Some(what)) => {
            let who = holders(cx, held.key);
            let release = if who.len() > 1 {
                "every one of them must close it or end"
            } else {
                "it must close it or end"
            };
            (
                if what.starts_with("socket:") {
                    "socket"
                } else {
                    "file"
                },
                what,
                who.join("; "),
                release.to_owned(),
            )
        }
        ("symbol", None) => {
            let user = module::by_struct(cx, held.key)
                .map_or_else(String::new, |m| cx.modules.list[m].name.clone());
            let release = format!("rmmod {user}");
            ("holder", "symbols it exports".to_owned(), user, release)
        }
        ("init", None) => (
            "loader",
            "its init has not returned".to_owned(),
            held.holder.clone(),
            "nothing does, once the task in init is gone: unload --force".to_owned(),
        ),
        ("mount", None) => {
            let (object, release) = match superblock::places(cx, held.key) {
                Some((kind, dirs)) => {
                    let all: Vec<String> = dirs.iter().map(|d| format!("umount {d}")).collect();
                    let object = format!("{kind} on {}", dirs.join(" and "));
                    (object, all.join("; "))
                }
                None => (
                    "a superblock".to_owned(),
                    "its mount must end or fail".to_owned(),
                ),
            };
            ("mount", object, held.holder.clone(), release)
        }
        (why, None) => (
            "taken by hand",
            format!("{why} in {place}"),
            held.holder.clone(),
            "the counterpart in the same code".to_owned(),
        ),
    };
    Reference {
        kind: kind.to_owned(),
        object,
        holder,
        count: 1,
        release,
    }
}

/// Who keeps a module loaded; None when there is no such module.
pub(super) fn why(cx: &Cx, name: &str) -> R<Option<Why>> {
    let Some(index) = module::find(cx, &name.replace('-', "_")) else {
        return Ok(None);
    };
    let state = match module::state(cx, index) {
        module::LIVE => "live",
        module::GOING => "going",
        _ => "coming",
    };
    let m = &cx.modules.list[index];
    let mut why = Why::new(&m.name, state, show::shown_count(cx, index)?);
    why.depth = Depth::Walk;
    let held = cx.modules.held.iter().filter(|h| h.module == m.addr);
    why.refs = held.map(|h| reference(cx, h)).collect();
    why.settle();
    if state != "live" {
        why.next.push(format!("unload --force {}", m.name));
    }
    Ok(Some(why))
}
