//! Project tasks, one row each: `cargo xtask TASK [ARGUMENT...]`.

#![forbid(unsafe_code)]

mod bless;
mod closure;
mod compare;
mod copies;
mod corrupt;
mod cpio;
mod expect;
mod exports;
mod fuzz;
mod images;
mod kbuild;
mod kernel;
mod kmod_suite;
mod marks;
mod numbers;
mod paths;
mod real;
mod record;
mod rehearse;
mod rename;
mod selftests;
mod setup;
mod soak;
mod soak_lines;
mod stories;
mod tally;
mod test;
mod tree;
mod tree_forms;
#[allow(dead_code, reason = "its results are judged by the test tasks")]
mod uncertain;
mod vm;
mod vm_command;
mod vm_live;

use std::process::ExitCode;

/// What a task answers: its own exit status, or the reason why it could not run.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// A task: its name, its arguments and purpose in a line, and what it does.
struct Task {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Outcome,
}

/// Every task. A new one is a file of its own and a row here.
const TASKS: &[Task] = &[
    Task {
        name: "bless-examples",
        help: "rebuild the modules that the program embeds",
        run: bless::task,
    },
    Task {
        name: "compare",
        help: "[--recorded|--record] [SCRIPT...]   lab scripts, real kernel against lab",
        run: compare::task,
    },
    Task {
        name: "exports",
        help: "[--symvers] [IMAGE|SERIES...]   what kernels export, into lkm-kernel's tables",
        run: exports::task,
    },
    Task {
        name: "images",
        help: "[SERIES...]   modules of whole kernels in memory, against an independent loader's",
        run: images::task,
    },
    Task {
        name: "kmod-suite",
        help: "kmod's own tests of its tools, run with ours",
        run: kmod_suite::task,
    },
    Task {
        name: "live",
        help: "[--kernel SERIES] [--verbose] [GROUP|STEP...]   why, trace, unload on a real kernel",
        run: vm_live::task,
    },
    Task {
        name: "marks",
        help: "list which kernel functions a test shows to behave",
        run: marks::task,
    },
    Task {
        name: "modules",
        help: "[--verbose]                  build the test modules with kbuild",
        run: kbuild::task,
    },
    Task {
        name: "real",
        help: "[NAME...]   load and unload the test modules on a real kernel",
        run: real::task,
    },
    Task {
        name: "setup",
        help: "install or name what the tests need",
        run: setup::task,
    },
    Task {
        name: "soak",
        help: "[--minutes N] [--seed N]     random commands at the prompt of lkm lab",
        run: soak::task,
    },
    Task {
        name: "test",
        help: "[--long] [--only GROUP]... [-m MODULE...]   everything",
        run: test::task,
    },
    Task {
        name: "tree",
        help: "[SERIES...]   depmod, modinfo and modprobe on whole module trees, beside kmod's",
        run: tree::task,
    },
    Task {
        name: "vm",
        help: "[OPTION...] -- COMMAND...   run a command on a real kernel under QEMU",
        run: vm_command::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = args
        .first()
        .and_then(|name| TASKS.iter().find(|t| t.name == *name))
    else {
        eprintln!("usage: cargo xtask TASK [ARGUMENT...]");
        for task in TASKS {
            eprintln!("  {:<10} {}", task.name, task.help);
        }
        return ExitCode::from(2);
    };
    match (task.run)(&args[1..]) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {}: {error}", task.name);
            ExitCode::from(2)
        }
    }
}
