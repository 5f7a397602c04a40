//! Terminals: each one pins its line discipline and its driver.

use std::collections::BTreeSet;

use lkm_judge::why::Reference;

use crate::target::Target;
use crate::walk::{Kernel, Trouble};

/// What the terminals that somebody has open pin of the module.
///
/// # Errors
/// When a structure has not the expected shape.
pub fn references(
    kernel: &Kernel<'_>,
    target: &Target,
    open: &BTreeSet<u64>,
    who: impl Fn(u64) -> (String, Vec<i32>),
) -> Result<Vec<Reference>, Trouble> {
    let mut all = open.clone();
    for terminal in open {
        // The other end of a pseudo terminal.
        let link = kernel.ptr(*terminal, "tty_struct", "link")?;
        if link != 0 {
            all.insert(link);
        }
    }
    let mut found = Vec::new();
    for terminal in all {
        let name = kernel
            .memory
            .text(kernel.at(terminal, "tty_struct", "name")?, 64)?;
        let discipline = kernel.ptr(terminal, "tty_struct", "ldisc")?;
        if discipline != 0 {
            let operations = kernel.ptr(discipline, "tty_ldisc", "ops")?;
            if kernel.ptr(operations, "tty_ldisc_ops", "owner")? == target.address {
                let number = kernel.u32(operations, "tty_ldisc_ops", "num").unwrap_or(0);
                let (holder, pids) = who(terminal);
                found.push(Reference {
                    kind: "line-discipline".into(),
                    object: format!("terminal {name}, line discipline {number}"),
                    holder,
                    count: 1,
                    release: release("set the discipline back to 0 (N_TTY)", &pids),
                });
            }
        }
        let driver = kernel.ptr(terminal, "tty_struct", "driver")?;
        if driver != 0 && kernel.ptr(driver, "tty_driver", "owner")? == target.address {
            let (holder, pids) = who(terminal);
            found.push(Reference {
                kind: "terminal".into(),
                object: format!("terminal {name}"),
                holder,
                count: 1,
                release: release("close the terminal", &pids),
            });
        }
    }
    Ok(found)
}

fn release(first: &str, pids: &[i32]) -> String {
    if pids.is_empty() {
        return first.into();
    }
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    format!("{first}, or end what has it open: kill {}", pids.join(" "))
}
