//! `lkm`: arguments and printing, one row per command.

#![forbid(unsafe_code)]

mod applets;
mod doctor;
mod examples;
mod explain;
mod lab;
mod live;
mod out;
mod rehearse;
mod tree;

use out::out;
use std::process::ExitCode;

/// A command: its name, one line of help, and what runs it.
struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(Vec<std::ffi::OsString>) -> ExitCode,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "rehearse",
        help: "take a module through its life in the lab, and judge it",
        run: rehearse::main,
    },
    Command {
        name: "lab",
        help: "the lab kernel at a prompt, or driven by a script",
        run: lab::main,
    },
    Command {
        name: "why",
        help: "who keeps a module of the running kernel loaded, and what would break without it",
        run: live::why,
    },
    Command {
        name: "trace",
        help: "who takes and puts a module's references from now on",
        run: live::trace,
    },
    Command {
        name: "unload",
        help: "unload a module; when it is stuck, free it",
        run: live::unload,
    },
    Command {
        name: "explain",
        help: "the page of a rule; or an oops text, read and explained",
        run: explain::main,
    },
    Command {
        name: "doctor",
        help: "what this machine lets the lab and the live commands do",
        run: doctor::main,
    },
    Command {
        name: "graph",
        help: "the dependency picture (DOT, SVG)",
        run: applets::graph,
    },
    Command {
        name: "man",
        help: "the manual page of a kmod tool",
        run: applets::man,
    },
    Command {
        name: "completions",
        help: "a completion script for bash, zsh or fish",
        run: applets::completions,
    },
];

fn main() -> ExitCode {
    if let Some(code) = applets::run() {
        return code;
    }
    let mut args = std::env::args_os().skip(1);
    let Some(first) = args.next() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    let rest: Vec<_> = args.collect();
    match COMMANDS.iter().find(|c| first == c.name) {
        Some(command) => (command.run)(rest),
        None if first == "--version" || first == "-V" => {
            out!("lkm {}\n", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        None if first == "--help" || first == "-h" || first == "help" => {
            out!("{}", usage());
            ExitCode::SUCCESS
        }
        None => {
            eprint!(
                "lkm: no command {}; the commands are\n\n{}",
                first.to_string_lossy(),
                usage()
            );
            ExitCode::from(2)
        }
    }
}

fn usage() -> String {
    let mut text = String::from("usage: lkm COMMAND ...\n\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<12} {}\n", command.name, command.help));
    }
    text.push_str("\n  insmod, rmmod, modprobe, lsmod, modinfo, depmod, kmod: as kmod's, also by symbolic link\n");
    text.push_str("\nlkm COMMAND --help tells more.\n");
    text
}
