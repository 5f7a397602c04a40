//! `why`: who keeps a module loaded, and what would break without it.

pub mod crypto;
pub mod files;
pub mod filters;
pub mod inventory;
pub mod losses;
pub mod mapped;
pub mod sockets;
pub mod state;
pub mod storage;
pub mod terminals;
pub mod traffic;
mod walked;

use std::io;

use lkm_judge::why::{Depth, Limit, Reference, Why};

use crate::memory::Kcore;
use crate::proc::{self, Module};
use crate::symbols::{Symbols, Wanted};
use crate::target::{self, Target};
use crate::types::Types;
use crate::walk::Kernel;

/// The symbols that the walks start from.
const NAMES: &[&str] = &[
    "__per_cpu_offset",
    "_targets",
    "act_base",
    "blockdev_superblock",
    "console_fops",
    "crypto_alg_list",
    "def_blk_fops",
    "default_qdisc_ops",
    "delayed_work_timer_fn",
    "fscontext_fops",
    "hrtimer_bases",
    "init_net",
    "init_task",
    "inetsw",
    "inetsw6",
    "irq_desc_tree",
    "modules",
    "net_namespace_list",
    "nf_tables_expressions",
    "nf_tables_objects",
    "nr_cpu_ids",
    "pers_list",
    "proto_list",
    "qdisc_base",
    "socket_file_ops",
    "sparse_irqs",
    "super_blocks",
    "tcf_proto_base",
    "timer_bases",
    "tty_fops",
    "xt",
];

/// The running kernel opened for walking.
pub struct Live {
    memory: Kcore,
    /// Its symbols, as far as they were asked for.
    pub symbols: Symbols,
    /// Its types.
    pub types: Types,
}

impl Live {
    /// Opens memory, symbols and types. `more` are symbols to keep besides the usual ones.
    ///
    /// # Errors
    /// In words: which of the three is denied, and what would help.
    pub fn open(module: &str, more: &[&str], everything: bool) -> Result<Live, String> {
        let memory = Kcore::open().map_err(|e| denied(&e))?;
        let types = Types::running()?;
        let mut names = NAMES.to_vec();
        names.extend(losses::CHAINS.iter().map(|(name, _)| *name));
        names.extend(more);
        let wanted = Wanted {
            names: &names,
            module,
            everything,
        };
        let symbols = Symbols::load(&wanted).map_err(|e| format!("/proc/kallsyms: {e}"))?;
        if symbols.hidden() {
            let setting = proc::line("/proc/sys/kernel/kptr_restrict").unwrap_or_default();
            return Err(format!(
                "/proc/kallsyms withholds its addresses (kernel.kptr_restrict={setting}; \
                 1 needs CAP_SYSLOG, 2 hides them from everybody)"
            ));
        }
        Ok(Live {
            memory,
            symbols,
            types,
        })
    }

    /// What the walks take.
    pub fn kernel(&self) -> Kernel<'_> {
        Kernel {
            memory: &self.memory,
            symbols: &self.symbols,
            types: &self.types,
        }
    }

    /// The module itself.
    ///
    /// # Errors
    /// In words.
    pub fn target(&self, name: &str) -> Result<Target, String> {
        match target::find(&self.kernel(), name) {
            Ok(Some(target)) => Ok(target),
            Ok(None) => Err(format!("the kernel's list has no module {name}")),
            Err(trouble) => Err(trouble.to_string()),
        }
    }
}

/// Why /proc/kcore cannot be read.
fn denied(error: &io::Error) -> String {
    let lockdown = proc::line("/sys/kernel/security/lockdown").unwrap_or_default();
    match error.kind() {
        io::ErrorKind::NotFound => "/proc/kcore is not there (CONFIG_PROC_KCORE is off)".into(),
        io::ErrorKind::PermissionDenied if lockdown.contains("[confidentiality]") => {
            "/proc/kcore: the kernel is locked down (confidentiality)".into()
        }
        io::ErrorKind::PermissionDenied => {
            format!("/proc/kcore: {error}: needs root (CAP_SYS_RAWIO)")
        }
        _ => format!("/proc/kcore: {error}"),
    }
}

/// Answers who keeps the module loaded; none when it is not loaded. An answer whose count
/// moved while it was looked for is looked for again, a few times.
///
/// # Errors
/// When not even /proc/modules can be read.
pub fn why(name: &str) -> io::Result<Option<Why>> {
    let mut answer = look(name)?;
    for _ in 0..2 {
        let Some(why) = &answer else { break };
        let path = format!("/sys/module/{}/refcnt", why.module);
        let now = proc::line(path).and_then(|text| text.parse().ok());
        if now.is_none_or(|now: i64| now == why.refcount) {
            break;
        }
        answer = look(name)?;
    }
    Ok(answer)
}

fn look(name: &str) -> io::Result<Option<Why>> {
    let Some(module) = proc::module(name)? else {
        return Ok(None);
    };
    let name = module.name.as_str();
    // Read before anything here is opened that could itself pin the module.
    let count = proc::line(format!("/sys/module/{name}/refcnt"))
        .and_then(|text| text.parse().ok())
        .or(module.refcount);
    let mut why = Why::new(name, module.state, count.unwrap_or(0));
    if count.is_none() {
        why.notes
            .push("this kernel cannot unload modules (CONFIG_MODULE_UNLOAD is off)".into());
    }
    holders(&mut why, &module);
    let (stacks, log) = state::evidence(name, module.state);
    let stuck = state::explain(&mut why, stacks.as_deref(), &log);
    if module.permanent {
        permanent(&mut why);
    }
    why.settle();
    why.depth = Depth::Inventory;
    match Live::open(name, &[], false).and_then(|live| Ok((live.target(name)?, live))) {
        Ok((target, live)) => {
            why.depth = Depth::Walk;
            walked::look(&mut why, &live, &target);
        }
        Err(reason) => {
            why.limits.push(Limit {
                what: "the kernel's own structures".into(),
                reason,
            });
            inventory::look(&mut why);
        }
    }
    why.not_pinned.extend(losses::devices(name));
    if let Some(stacks) = &stacks {
        // The thread that loads or unloads the module is told with its state.
        if why.state == "live" {
            why.not_pinned.extend(losses::threads(name, stacks));
        }
    } else {
        let reason = "/proc/PID/stack needs root (CAP_SYS_ADMIN)".into();
        why.limits.push(Limit {
            what: "threads in the module's text".into(),
            reason,
        });
    }
    why.settle();
    conclude(&mut why, stuck);
    Ok(Some(why))
}

fn holders(why: &mut Why, module: &Module) {
    for holder in &module.holders {
        why.refs.push(Reference {
            kind: "holder".into(),
            object: "symbols it exports".into(),
            holder: format!("module {holder}"),
            count: 1,
            release: format!("unload it first: rmmod {holder}"),
        });
    }
}

fn permanent(why: &mut Why) {
    why.pinned = true;
    why.notes
        .push("permanent: it has an init and no exit, and is not meant to be unloaded".into());
    why.next
        .push("a module without an exit can be unloaded by rmmod -f only, if at all".into());
}

/// The likely reason of what is left, and the next step.
fn conclude(why: &mut Why, stuck: bool) {
    let name = why.module.clone();
    let own = proc::line(format!("/sys/module/{name}/refcnt")).and_then(|t| t.parse::<i64>().ok());
    if own.is_some_and(|now| now != why.refcount) && why.state == "live" {
        why.notes.push(format!(
            "the count moved while this looked: it is {} now",
            own.unwrap_or(0)
        ));
    }
    if why.state == "coming" && why.unexplained > 0 {
        // A module has one reference of its own until its init has returned.
        why.refs.push(Reference {
            kind: "init".into(),
            object: "the load itself".into(),
            holder: if stuck {
                "nobody any more"
            } else {
                "the task that loads it"
            }
            .into(),
            count: 1,
            release: if stuck {
                format!("lkm unload --force {name}")
            } else {
                "wait".into()
            },
        });
        why.settle();
    }
    if why.unexplained > 0 {
        let threads: Vec<&str> = why
            .not_pinned
            .iter()
            .filter(|l| l.kind == "thread")
            .map(|l| l.object.as_str())
            .collect();
        why.notes.push(if !threads.is_empty() {
            format!("likely taken for its own thread: {}", threads.join(", "))
        } else if why.depth == Depth::Walk {
            "no user of the kernel's was found: likely taken by module code \
             (try_module_get, symbol_get) and not given back"
                .into()
        } else {
            "what cannot be seen from here may explain them".into()
        });
        why.next.push(format!(
            "lkm trace {name} shows who takes and puts references from now on; for those taken \
             earlier boot with {}",
            crate::BOOT_TRACE
        ));
    }
}
