//! What a line of a lab script can say: commands, steps and expectations (docs/lab-script.md).

use super::acts::Doing;
use lkm_kernel::mm::task_struct::Reap;
use lkm_kernel::module::syscalls::Pointer;

/// How a module file is handed to finit_module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fd {
    /// The file, open for reading only.
    Read,
    /// Open for writing only.
    Write,
    /// Open for both.
    ReadWrite,
    /// Descriptor −1.
    None,
    /// A directory, a pipe or a device.
    Irregular,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    InitModule {
        file: String,
        params: String,
        args: Pointer,
        len: Option<u64>,
        pointer: Pointer,
    },
    FinitModule {
        file: String,
        params: String,
        args: Pointer,
        flags: u32,
        fd: Fd,
    },
    DeleteModule {
        name: String,
        flags: u32,
        pointer: Pointer,
    },
    /// One of kmod's tools, with its arguments.
    Tool {
        name: String,
        args: Vec<String>,
    },
    Cat(String),
    Ls(String),
    Write {
        path: String,
        text: String,
    },
    Mount {
        kind: String,
        dir: String,
        source: String,
    },
    Umount(String),
    /// A node for a character device.
    Mknod {
        path: String,
        major: u32,
        minor: u32,
    },
    /// A step several times, until one fails.
    Repeat {
        times: u32,
        step: Box<Step>,
    },
    /// The programs that the kernel has started; or whether it may start any.
    Helpers(Option<bool>),
    /// A system call of a named process.
    Does(Doing),
    Dmesg,
    Ps,
    /// Open files of a task: a pid, a process's name, or a name as ps shows it.
    Lsof(String),
    Kill {
        who: String,
        signal: u32,
    },
    /// Who keeps a module loaded.
    Why {
        module: String,
        json: bool,
    },
    /// Frees a module that cannot be unloaded.
    Force {
        module: String,
        json: bool,
    },
    /// What the judge says of a module, or of all.
    Findings(Option<String>),
    /// Shows a sysctl, or sets it.
    Sysctl {
        name: String,
        value: Option<String>,
    },
    /// When the structure of a thread that has ended goes.
    Reap(Reap),
    /// Whether loads and unloads tell their steps.
    Steps(bool),
    Start {
        name: String,
        step: Box<Step>,
    },
    Join(String),
    Stop(String),
}

/// An expectation about the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    Errno(String),
    Output(String),
    Log(String),
    /// So many of the step's log lines have this text.
    LogTimes(usize, String),
    /// Notes of the step that hold these texts, in this order.
    Notes(Vec<String>),
    Module {
        name: String,
        state: String,
        count: Option<i64>,
    },
    /// The judge finds this in the record so far, with this text if there is one.
    Finding {
        rule: String,
        text: Option<String>,
    },
}

/// Whose credentials steps run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    /// All of root's but CAP_SYSLOG: addresses are not shown.
    NoSyslog,
    Nobody,
}

impl User {
    /// Whether it is uid 0 and may load modules.
    pub(crate) fn root(self) -> bool {
        self != User::Nobody
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Step(Step),
    As(User),
    /// For whoever compares the record with a real kernel's: nothing to do here.
    Compared,
    /// Virtual nanoseconds to let pass.
    Clock(u64),
    /// Files that modprobe finds, beside those that steps name.
    Tree(Vec<String>),
    /// The kernel's command line.
    Boot(Vec<String>),
    /// Which kernel's rules; before the first step.
    Profile(String),
    Expect(Expect),
}

/// A line of a script that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Line number, from 1.
    pub number: usize,
    /// The text without its comment.
    pub text: String,
    pub command: Command,
}

impl Step {
    /// The module file that the step hands to the kernel.
    pub(crate) fn file(&self) -> Option<&str> {
        match self {
            Step::InitModule { file, .. } | Step::FinitModule { file, .. } => Some(file),
            Step::Start { step, .. } | Step::Repeat { step, .. } => step.file(),
            _ => None,
        }
    }

    /// The module files that the step names, tools included.
    pub(crate) fn files(&self) -> Vec<&str> {
        match self {
            Step::Tool { name, args } if matches!(name.as_str(), "insmod" | "modinfo") => {
                let mut names = args
                    .iter()
                    .map(String::as_str)
                    .filter(|a| !a.starts_with('-'));
                // What follows insmod's file are parameters.
                if name == "insmod" {
                    names.next().into_iter().collect()
                } else {
                    names.collect()
                }
            }
            Step::Start { step, .. } | Step::Repeat { step, .. } => step.files(),
            other => other.file().into_iter().collect(),
        }
    }
}
