//! Frees a stuck module: looks, refuses or goes on, cleans up, looks again, makes it
//! unloadable, unloads it. Every step is in the report.

use std::collections::BTreeSet;
use std::io;

use lkm_judge::why::{Depth, Loss, Unload, UnloadEnd, Why};

use super::cleanup::Cleanup;
use super::{Options, delete, preflight, reference};
use crate::proc;
use crate::rescue::facts::Facts;
use crate::rescue::image::{self, Addresses, Call, Job, Repair, Tasks};
use crate::scan;
use crate::sys;
use crate::target::{STATES, Target};
use crate::walk::{Kernel, Trouble};
use crate::why::{Live, files, state};

/// Symbols that only a forced unload needs.
const NAMES: &[&str] = &[
    "__bss_start",
    "__bss_stop",
    "__per_cpu_end",
    "__per_cpu_start",
    "_edata",
    "_sdata",
    "del_timer_sync",
    "idem_hash",
    "module_mutex",
    "mutex_lock",
    "mutex_trylock",
    "mutex_unlock",
    "timer_delete_sync",
];

/// Everything that is known when the decision is made.
struct Plan {
    live: Live,
    target: Target,
    facts: Facts,
    calls: Vec<Call>,
    repairs: Vec<Repair>,
    leftovers: Vec<Loss>,
    /// Its exit must not run: init or exit died half-way, or it has none.
    drop_exit: bool,
}

/// The forced unload.
pub fn force(found: &Why, options: &Options, report: &mut Unload) {
    report.end = UnloadEnd::Refused;
    let machine = preflight::machine();
    if !machine.is_empty() {
        report.end = UnloadEnd::Cannot;
        report.refusals.extend(machine);
        return;
    }
    if found.depth != Depth::Walk {
        report.end = UnloadEnd::Cannot;
        let reason = found
            .limits
            .iter()
            .map(|l| l.reason.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        report.refusals.push(format!(
            "users can only be ruled out by the kernel's own structures, which cannot be read: {reason}"
        ));
        return;
    }
    let plan = match plan(found, options, report) {
        Ok(plan) => plan,
        Err(reason) => {
            report.refusals.push(reason);
            return;
        }
    };
    report.leftovers.clone_from(&plan.leftovers);
    preflight::warnings(report);
    if !plan.leftovers.is_empty() && plan.calls.is_empty() && !options.accept_leftovers {
        report.warnings.push(
            "pointers into the module stop the unload before anything is freed: they need clean-up calls".into(),
        );
    }
    if !report.refusals.is_empty() {
        return;
    }
    if !options.yes {
        report
            .steps
            .push("dry run: nothing stands in the way".into());
        report.end = UnloadEnd::Possible;
        return;
    }
    if let Err(reason) = carry_out(&plan, options, report) {
        report.end = UnloadEnd::Refused;
        report.refusals.push(reason);
    }
}

/// Looks at everything; refusals go into the report, and what makes a plan impossible is
/// the error.
fn plan(found: &Why, options: &Options, report: &mut Unload) -> Result<Plan, String> {
    let name = found.module.as_str();
    let cleanups = options
        .cleanup
        .iter()
        .map(|text| Cleanup::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<&str> = NAMES.to_vec();
    names.extend(cleanups.iter().flat_map(Cleanup::names));
    let live = Live::open(name, &names, true)?;
    let target = live.target(name)?;
    let state = STATES
        .get(target.state as usize)
        .copied()
        .unwrap_or("unknown");
    report.steps.push(format!(
        "{name}: state {state}, count {}, struct module at {:#x}",
        i64::from(target.refcnt as i32) - 1,
        target.address
    ));
    if target.state > 2 {
        return Err(format!("its state is {state}: it is not set up yet, wait"));
    }
    let stacks = proc::stacks(|text| state::concerns(name, text) || preflight::on_lock(text))
        .unwrap_or_default();
    preflight::users(report, found, &stacks);
    let kernel = live.kernel();
    let tasks = files::tasks(&kernel).map_err(said)?;
    let alive: BTreeSet<u64> = tasks
        .iter()
        .map(|t| t.address)
        .chain(idle(&kernel))
        .collect();
    let (leftovers, locks) = scan::leftovers(&kernel, &target, &alive).map_err(said)?;
    preflight::locks(report, &kernel, &stacks, &locks);
    report.steps.push(format!(
        "scanned the kernel's data: {} pointers into the module",
        leftovers.len()
    ));
    let (facts, source) = reference::facts(&live.types, options.like.as_deref())?;
    report.steps.push(format!(
        "facts from {}: vermagic {:?}, struct module {} bytes, init at {}, exit at {}; the kernel's types agree",
        source.display(),
        facts.vermagic,
        facts.size,
        facts.init,
        facts.exit
    ));
    let calls = resolve(&cleanups, &live, name, report)?;
    let stack_pages = tasks
        .iter()
        .map(|t| kernel.ptr(t.address, "task_struct", "stack"))
        .collect::<Result<Vec<u64>, _>>()
        .map_err(said)?;
    let repairs: Vec<Repair> = match target.state {
        1 => scan::dead_loads(&kernel, &stack_pages)
            .map_err(said)?
            .into_iter()
            .map(|(address, old)| Repair {
                address,
                old,
                new: 0,
            })
            .collect(),
        _ => Vec::new(),
    };
    if !repairs.is_empty() {
        report.steps.push(format!(
            "{} entries of dead loads in idem_hash, to be unlinked",
            repairs.len()
        ));
    }
    let drop_exit = target.state != 0 || target.permanent();
    let leftovers = if drop_exit {
        leftovers
    } else {
        // Its exit takes back what it registered, but not what others keep of it.
        report.warnings.extend(kept_by_others(&leftovers));
        Vec::new()
    };
    Ok(Plan {
        facts,
        calls,
        repairs,
        leftovers,
        drop_exit,
        target,
        live,
    })
}

/// Pointers from other modules' data, for a module whose exit will run.
fn kept_by_others(leftovers: &[Loss]) -> Vec<String> {
    leftovers
        .iter()
        .filter(|l| {
            let place = l.object.split(" → ").next();
            l.kind == "pointer" && place.is_some_and(|place| place.contains(" ["))
        })
        .map(|l| {
            format!(
                "{}: another module may have taken the reference and still use this: unload that one first",
                l.object
            )
        })
        .collect()
}

fn said(trouble: Trouble) -> String {
    trouble.to_string()
}

/// The idle tasks are in no list, but may hold a lock like any other.
fn idle(kernel: &Kernel<'_>) -> Vec<u64> {
    kernel.symbols.kernel("init_task").into_iter().collect()
}

fn resolve(
    cleanups: &[Cleanup],
    live: &Live,
    name: &str,
    report: &mut Unload,
) -> Result<Vec<Call>, String> {
    use crate::memory::Memory;
    let kernel = live.kernel();
    let mut calls = Vec::new();
    for cleanup in cleanups {
        let call = cleanup.resolve(&live.symbols, name)?;
        for argument in call.arguments.iter().filter(|a| a.indirect) {
            let value = Memory::u64(kernel.memory, argument.base).map_err(|e| e.to_string())?;
            if !crate::walk::is_kernel_pointer(value) {
                return Err(format!(
                    "{cleanup}: the pointer is {value:#x}, so the object was never made: leave this call out"
                ));
            }
        }
        report.steps.push(format!(
            "clean-up {cleanup}: resolved, {:#x}",
            call.function
        ));
        calls.push(call);
    }
    Ok(calls)
}

fn job(plan: &Plan) -> Result<Job, String> {
    let symbol = |name: &str| {
        plan.live
            .symbols
            .kernel(name)
            .ok_or_else(|| format!("/proc/kallsyms has no {name}"))
    };
    Ok(Job {
        addresses: Addresses {
            modules: symbol("modules")?,
            module_mutex: symbol("module_mutex")?,
            trylock: symbol("mutex_trylock")?,
            lock: symbol("mutex_lock")?,
            unlock: symbol("mutex_unlock")?,
        },
        target: plan.target.address,
        state: plan.target.state,
        refcnt: plan.target.refcnt,
        heal: false,
        drop_exit: false,
        calls: Vec::new(),
        repairs: Vec::new(),
        tasks: Tasks::default(),
    })
}

fn carry_out(plan: &Plan, options: &Options, report: &mut Unload) -> Result<(), String> {
    let base = job(plan)?;
    if !plan.calls.is_empty() {
        let clean = Job {
            calls: plan.calls.clone(),
            ..base.clone()
        };
        load(&clean, &plan.facts)?;
        report
            .steps
            .push(format!("{} clean-up calls made", plan.calls.len()));
    }
    if plan.drop_exit {
        let kernel = plan.live.kernel();
        let tasks = files::tasks(&kernel).map_err(said)?;
        let alive: BTreeSet<u64> = tasks
            .iter()
            .map(|t| t.address)
            .chain(idle(&kernel))
            .collect();
        let (left, _) = scan::leftovers(&kernel, &plan.target, &alive).map_err(said)?;
        report
            .steps
            .push(format!("scanned again: {} pointers left", left.len()));
        report.leftovers.clone_from(&left);
        if !left.is_empty() && !options.accept_leftovers {
            return Err(format!(
                "{} pointers into the module are left: freeing it would make them dangle. The module stays as it was; clean up what is listed, or accept it with --accept-leftovers",
                left.len()
            ));
        }
    }
    let heal = Job {
        heal: true,
        drop_exit: plan.drop_exit,
        repairs: plan.repairs.clone(),
        ..base
    };
    load(&heal, &plan.facts)?;
    let how = if plan.drop_exit {
        "without init and exit"
    } else {
        "with its exit"
    };
    report.steps.push(format!("made it live, unused, {how}"));
    delete(&plan.target.name, report);
    Ok(())
}

/// Loads a rescue module. Success is ECANCELED: it has done its work and is gone again.
fn load(job: &Job, facts: &Facts) -> Result<(), String> {
    let bytes = image::write(job, facts).map_err(|e| e.to_string())?;
    match sys::init_module(&bytes).map_err(|e| e.raw_os_error().unwrap_or(0)) {
        Ok(()) => Err("the rescue module stayed loaded, which it never should".into()),
        Err(libc::ECANCELED) => Ok(()),
        Err(libc::EBUSY) => Err("the kernel's list of modules is locked: is another module stuck in loading? Try again, or reboot".into()),
        Err(libc::ESRCH) => Err("the module is no longer in the kernel's list".into()),
        Err(libc::EMLINK) => Err("another module has begun to use it".into()),
        Err(libc::ESTALE) => Err("it is not as it was a moment ago: try again".into()),
        Err(libc::EFAULT) => Err("a clean-up call would get a bad pointer: none was made".into()),
        Err(libc::EPERM) => Err("not permitted (privilege, signatures or lockdown)".into()),
        Err(code) => Err(format!("the kernel does not take the rescue module: {}", io::Error::from_raw_os_error(code))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_other_modules_keep_is_warned_of() {
        let pointer = |object: &str, kind: &str| Loss {
            kind: kind.into(),
            object: object.into(),
            effect: String::new(),
            fatal: true,
        };
        let all = [
            pointer("misc_list → own_misc+0x18", "pointer"),
            pointer("add [pin] → chain_base_add", "pointer"),
            pointer("7 [x] → y", "irq"),
        ];
        let said = kept_by_others(&all);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("add [pin] → chain_base_add: another module"));
    }
}
