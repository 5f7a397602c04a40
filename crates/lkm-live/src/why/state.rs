//! What a module's state means: loading or unloading, alive or dead, and the oops behind it.

use lkm_judge::why::Why;

use crate::proc::{self, Stack};

/// Threads that are busy loading or unloading the module, by their kernel stacks.
pub fn busy<'a>(module: &str, state: &str, stacks: &'a [Stack]) -> Vec<&'a Stack> {
    let mark = format!("[{module}]");
    let entry = if state == "coming" {
        "do_init_module+"
    } else {
        "delete_module+"
    };
    stacks
        .iter()
        .filter(|s| s.text.contains(&mark) || s.text.contains(entry))
        .collect()
}

/// What the kernel log says about the last oops in a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oops {
    /// `BUG: kernel NULL pointer dereference, address: …`.
    pub what: String,
    /// `function+0x10/0x20`, in the module.
    pub place: String,
    /// The task, `insmod` say.
    pub task: String,
}

/// Finds the last oops in the module's code.
pub fn last_oops(module: &str, log: &[String]) -> Option<Oops> {
    let mark = format!("[{module}]");
    let mut what = String::new();
    let mut task = String::new();
    let mut found = None;
    for line in log {
        let is_head = [
            "BUG: ",
            "Oops: ",
            "general protection fault",
            "kernel BUG at",
            "invalid opcode",
        ]
        .iter()
        .any(|head| line.starts_with(head));
        // The first line of a report says it best; "Oops: 0002 [#1]" follows it.
        if is_head && (what.is_empty() || !line.starts_with("Oops: ")) {
            what.clone_from(line);
            task.clear();
        } else if let Some((_, rest)) = line.split_once(" Comm: ") {
            task = rest.split(' ').next().unwrap_or("").to_string();
        } else if line.starts_with("RIP: ") && line.contains(&mark) && !what.is_empty() {
            let place = line.split(':').next_back().unwrap_or(line).trim();
            let place = place.strip_suffix(&mark).unwrap_or(place).trim();
            found = Some(Oops {
                what: what.clone(),
                place: place.into(),
                task: task.clone(),
            });
        } else if line.starts_with("---[ end trace") {
            what.clear();
        }
    }
    found
}

/// Says in the answer what the state means. True when the module is stuck: no task will
/// ever finish what was begun.
pub fn explain(why: &mut Why, stacks: Option<&[Stack]>, log: &[String]) -> bool {
    let name = why.module.clone();
    if why.state == "live" {
        return false;
    }
    let (verb, function) = if why.state == "coming" {
        ("loading", "init")
    } else {
        ("unloading", "exit")
    };
    let oops = last_oops(&name, log);
    let Some(stacks) = stacks else {
        why.notes.push(format!(
            "it is {verb}: whether its {function} is alive only root can see"
        ));
        return false;
    };
    let busy = busy(&name, &why.state, stacks);
    if let Some(first) = busy.first() {
        why.notes.push(format!(
            "it is {verb}: its {function} runs in thread {} ({}), state {}",
            first.tid, first.name, first.state
        ));
        why.next
            .push("wait for it; while it runs, nothing can unload the module".into());
        return false;
    }
    let reason = match &oops {
        Some(o) if o.task.is_empty() => format!(": {} in {}", o.what, o.place),
        Some(o) => format!(": {} in {} ({})", o.what, o.place, o.task),
        None => String::new(),
    };
    why.notes.push(format!(
        "stuck {verb}: the task that ran its {function} is dead{reason}; rmmod and rmmod -f can never free it"
    ));
    why.next.push(format!(
        "lkm unload --force {name} shows what it left behind and can free it"
    ));
    true
}

/// A kernel stack that has to do with a module: in its text, or in the middle of a load or an
/// unload, whose module only its arguments know.
pub fn concerns(module: &str, stack: &str) -> bool {
    let entry = stack.contains("do_init_module+") || stack.contains("delete_module+");
    entry || stack.contains(&format!("[{module}]"))
}

/// The stacks that have to do with the module and the kernel log, as far as this process may
/// see them. Of a live module the log has nothing to tell, and is long.
pub fn evidence(module: &str, state: &str) -> (Option<Vec<Stack>>, Vec<String>) {
    let stacks = proc::stacks(|text| concerns(module, text));
    let log = if state == "live" {
        Vec::new()
    } else {
        proc::kernel_log()
    };
    (stacks, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
        #PF: supervisor write access in kernel mode\n\
        Oops: 0002 [#1] PREEMPT SMP NOPTI\n\
        CPU: 0 PID: 65 Comm: insmod Tainted: G           OE      6.1.0\n\
        RIP: 0010:vms_init+0x7f/0x1000 [vms]\n\
        ---[ end trace 0000000000000000 ]---\n\
        RIP: 0010:vms_init+0x7f/0x1000 [vms]\n";

    fn log() -> Vec<String> {
        LOG.lines().map(str::to_string).collect()
    }

    #[test]
    fn the_oops_is_named() {
        let oops = last_oops("vms", &log()).expect("one");
        assert_eq!(oops.place, "vms_init+0x7f/0x1000");
        assert_eq!(oops.task, "insmod");
        assert!(oops.what.starts_with("BUG: kernel NULL"));
        assert_eq!(last_oops("other", &log()), None);
    }

    #[test]
    fn a_module_whose_loader_lives_is_not_stuck() {
        let stack = Stack {
            tid: 9,
            name: "insmod".into(),
            state: 'D',
            text: "[<0>] msleep+0x2\n[<0>] slow_init+0x1 [vms]\n[<0>] do_init_module+0x4a\n".into(),
        };
        let mut why = Why::new("vms", "coming", 1);
        assert!(!explain(&mut why, Some(&[stack]), &[]));
        assert!(why.notes[0].contains("thread 9 (insmod)"));
        let mut why = Why::new("vms", "coming", 1);
        assert!(explain(&mut why, Some(&[]), &log()));
        assert!(why.notes[0].contains("vms_init+0x7f"));
    }
}
