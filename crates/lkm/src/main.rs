//! `lkm`: arguments and printing, one row per command.

#![forbid(unsafe_code)]

mod applets;
mod doctor;
mod examples;
mod explain;
mod lab;
mod live;
mod out;
mod pages;
mod rehearse;
mod tour;
mod tree;

use out::out;
use std::borrow::Cow;
use std::ffi::OsString;
use std::process::ExitCode;

/// A command: its name, one line of help, and what runs it.
struct Command {
    name: &'static str,
    help: &'static str,
    /// What `--help` prints; the manual page and the completions are made from it.
    text: fn() -> Cow<'static, str>,
    run: fn(Vec<OsString>) -> ExitCode,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "rehearse",
        help: "take a module through its life in the lab, and judge it",
        text: || rehearse::HELP.into(),
        run: rehearse::main,
    },
    Command {
        name: "lab",
        help: "the lab kernel at a prompt, or driven by a script",
        text: || lab::HELP.into(),
        run: lab::main,
    },
    Command {
        name: "tour",
        help: "five stories of modules that went wrong, told by the lab on real modules",
        text: || tour::HELP.into(),
        run: tour::main,
    },
    Command {
        name: "why",
        help: "who keeps a module of the running kernel loaded, and what would break without it",
        text: || live::WHY.into(),
        run: live::why,
    },
    Command {
        name: "trace",
        help: "who takes and puts a module's references from now on",
        text: || live::TRACE.into(),
        run: live::trace,
    },
    Command {
        name: "unload",
        help: "unload a module; when it is stuck, free it",
        text: || live::UNLOAD.into(),
        run: live::unload,
    },
    Command {
        name: "explain",
        help: "the page of a rule; or an oops text, read and explained",
        text: || explain::HELP.into(),
        run: explain::main,
    },
    Command {
        name: "doctor",
        help: "what this machine lets the lab and the live commands do",
        text: || doctor::HELP.into(),
        run: doctor::main,
    },
    Command {
        name: "graph",
        help: "the dependency picture (DOT, SVG)",
        text: || applets::graph_help().into(),
        run: applets::graph,
    },
    Command {
        name: "man",
        help: "the manual page of a command or a kmod tool",
        text: || applets::MAN.into(),
        run: applets::man,
    },
    Command {
        name: "completions",
        help: "a completion script for bash, zsh or fish",
        text: || applets::COMPLETIONS.into(),
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
        Some(command) if asks_for_help(&rest) => {
            out!("{}", (command.text)());
            ExitCode::SUCCESS
        }
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

/// Whether an option among the arguments asks for the help text.
fn asks_for_help(args: &[OsString]) -> bool {
    args.iter()
        .take_while(|a| *a != "--")
        .any(|a| a == "--help" || a == "-h")
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
