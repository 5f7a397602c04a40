//! `help` at the prompt: each command with its usage, what it does, and an example that is a line of the language.

/// A command of the prompt.
pub(crate) struct Entry {
    /// Its first word.
    pub name: &'static str,
    /// Its arguments.
    pub usage: &'static str,
    /// What it does, in a line.
    pub short: &'static str,
    /// More, where there is more to say.
    pub long: &'static str,
    /// A line to try.
    pub example: &'static str,
}

/// A heading, or a command below it.
enum Row {
    Group(&'static str),
    Command(Entry),
}

const fn row(
    name: &'static str,
    usage: &'static str,
    short: &'static str,
    long: &'static str,
    example: &'static str,
) -> Row {
    Row::Command(Entry {
        name,
        usage,
        short,
        long,
        example,
    })
}

const ROWS: &[Row] = &[
    Row::Group("modules"),
    row(
        "insmod",
        "FILE.ko [PARAM=VALUE]...",
        "load a module file",
        "Files come from --modules DIR or the current directory; the examples that are built into lkm are there as well.",
        "insmod hello.ko",
    ),
    row("rmmod", "MODULE...", "unload a module", "", "rmmod hello"),
    row(
        "modprobe",
        "[-r] MODULE|ALIAS [PARAM=VALUE]...",
        "load a module and what it needs",
        "The modprobe of lkm, as a process of the lab, over the module files at hand; with -k KVER over that kernel's tree.",
        "modprobe steps-user",
    ),
    row("lsmod", "", "the loaded modules", "", "lsmod"),
    row(
        "modinfo",
        "FILE.ko",
        "what a module file says of itself",
        "",
        "modinfo hello.ko",
    ),
    row(
        "why",
        "MODULE [--json]",
        "who keeps a module loaded, and what its exit must take away",
        "",
        "why inherited",
    ),
    row(
        "unload",
        "--force [--json] MODULE",
        "free a module that cannot be unloaded",
        "Forges its state and count, replaces an exit that cannot run, takes back what it registered, and unloads it.",
        "unload --force vms",
    ),
    row(
        "findings",
        "[MODULE]",
        "what is wrong by the record so far: the rules of `lkm rehearse`",
        "`lkm explain RULE` has a page for each rule.",
        "findings",
    ),
    row(
        "trace",
        "on|off",
        "loads and unloads tell their steps, under the kernel's names",
        "",
        "trace on",
    ),
    Row::Group("system calls"),
    row(
        "init_module",
        "FILE \"PARAMS\" [len=N] [ptr=null|bad] [args=null|bad]",
        "init_module(2)",
        "",
        "init_module hello.ko \"\"",
    ),
    row(
        "finit_module",
        "FILE \"PARAMS\" [flags=N] [open=rdonly|wronly|rdwr] [fd=-1|dir|pipe|null]",
        "finit_module(2)",
        "",
        "finit_module hello.ko \"\"",
    ),
    row(
        "delete_module",
        "MODULE [flags=nonblock|trunc|nonblock,trunc] [ptr=null|bad]",
        "delete_module(2)",
        "",
        "delete_module hello flags=nonblock",
    ),
    row(
        "start",
        "NAME COMMAND...",
        "a command in a process of its own, in the background",
        "`join NAME` waits for it, `stop NAME` kills it.",
        "start loader insmod hello.ko",
    ),
    row(
        "join",
        "NAME",
        "wait for a started process",
        "",
        "join loader",
    ),
    row(
        "stop",
        "NAME",
        "SIGKILL to a started process",
        "",
        "stop loader",
    ),
    row(
        "as",
        "root|nobody|root without CAP_SYSLOG",
        "whose credentials the next commands have",
        "",
        "as nobody",
    ),
    Row::Group("files and sockets, each in a process of its name"),
    row(
        "cat",
        "PATH",
        "a file of /proc, /sys or /dev",
        "",
        "cat /proc/modules",
    ),
    row("ls", "PATH", "a directory", "", "ls /sys/module"),
    row(
        "echo",
        "TEXT > PATH",
        "write a line to a file",
        "",
        "echo 1 > /proc/sys/kernel/modules_disabled",
    ),
    row(
        "write",
        "PATH|NAME \"TEXT\"",
        "one write(2), to a path or to an open descriptor",
        "",
        "write /dev/null \"x\"",
    ),
    row(
        "mount",
        "TYPE DIRECTORY [SOURCE]",
        "mount(2) of a file system that a module registers",
        "A type that is missing is asked for as fs-TYPE.",
        "mount smallfs /mnt",
    ),
    row(
        "mknod",
        "PATH c MAJOR MINOR",
        "mknod(2): a node for a character device",
        "Opening a number that nobody has asks for char-major-MAJOR-MINOR.",
        "mknod /dev/x c 60 0",
    ),
    row("umount", "DIRECTORY", "umount(2)", "", "umount /mnt"),
    row(
        "repeat",
        "N COMMAND...",
        "a command several times, until it fails",
        "",
        "repeat 3 lsmod",
    ),
    row(
        "open",
        "PATH NAME [rdonly|wronly|rdwr]",
        "a process opens a file and keeps it under NAME",
        "The process has the descriptor's name too, unless `proc PROCESS` comes first.",
        "open /dev/null f rdwr",
    ),
    row(
        "proc",
        "PROCESS COMMAND...",
        "one of these commands in a process of another name",
        "",
        "proc client socket s netlink 31",
    ),
    row("read", "NAME [COUNT]", "read(2)", "", "read f"),
    row(
        "put",
        "NAME \"TEXT\"",
        "write(2) to a descriptor",
        "",
        "put f \"text\"",
    ),
    row(
        "ioctl",
        "NAME COMMAND [ARGUMENT|MAPPING]",
        "ioctl(2)",
        "A mapping's name stands for its address.",
        "ioctl f 0x5401",
    ),
    row(
        "mmap",
        "NAME MAPPING LENGTH [OFFSET] [shared|private] [ro|rw]",
        "mmap(2): the mapping holds the file by itself",
        "Shared, and writable if the file is, unless told.",
        "mmap f m 4096",
    ),
    row(
        "peek",
        "MAPPING OFFSET [COUNT]",
        "the process reads from a mapping",
        "Pages come by the driver's mmap or fault; signal 7 is SIGBUS, signal 11 SIGSEGV.",
        "peek m 0 16",
    ),
    row(
        "poke",
        "MAPPING OFFSET \"TEXT\"",
        "the process writes to a mapping",
        "",
        "poke m 0 \"text\"",
    ),
    row(
        "munmap",
        "MAPPING [OFFSET LENGTH]",
        "munmap(2), of all or a part",
        "",
        "munmap m",
    ),
    row(
        "fork",
        "PROCESS CHILD",
        "fork(2): the child has the descriptors and mappings, too",
        "Under the same names: proc CHILD read f.",
        "fork client child",
    ),
    row("lseek", "NAME OFFSET", "lseek(2)", "", "lseek f 0"),
    row("poll", "NAME", "poll(2), without waiting", "", "poll f"),
    row("dup", "NAME NEWNAME", "dup(2)", "", "dup f g"),
    row("close", "NAME", "close(2)", "", "close f"),
    row(
        "socket",
        "NAME netlink PROTOCOL | NAME FAMILY TYPE PROTOCOL",
        "socket(2)",
        "",
        "socket s netlink 31",
    ),
    row(
        "bind",
        "NAME GROUPS|ADDRESS",
        "join netlink groups; bind(2) of another family",
        "An ADDRESS is what follows the family in a sockaddr.",
        "bind s 1",
    ),
    row(
        "connect",
        "NAME ADDRESS",
        "connect(2)",
        "Of families that modules register.",
        "connect s \"there\"",
    ),
    row("listen", "NAME [BACKLOG]", "listen(2)", "", "listen s 5"),
    row(
        "shutdown",
        "NAME [read|write|both]",
        "shutdown(2)",
        "",
        "shutdown s write",
    ),
    row(
        "send",
        "NAME \"TEXT\"",
        "a message: netlink's to the kernel, or sendmsg(2)",
        "",
        "send s \"hello\"",
    ),
    row(
        "recv",
        "NAME",
        "the next message: netlink's from the kernel, or recvmsg(2)",
        "",
        "recv s",
    ),
    row(
        "exit",
        "PROCESS",
        "that process ends, without closing anything itself",
        "To leave lkm: quit.",
        "exit client",
    ),
    Row::Group("the kernel"),
    row("dmesg", "", "the kernel log", "", "dmesg"),
    row(
        "ps",
        "",
        "the tasks, and what blocked ones wait in",
        "",
        "ps",
    ),
    row(
        "lsof",
        "PID|NAME",
        "a task's open files, and the modules they pin",
        "thread:NAME means the kernel thread of that name.",
        "lsof thread:handoff",
    ),
    row(
        "kill",
        "PID|NAME [SIGNAL]",
        "a signal (default 15)",
        "",
        "kill thread:kstop 9",
    ),
    row(
        "helpers",
        "[on|off]",
        "the programs that the kernel has started, with arguments and environment",
        "off: it may start none, as in suspend; on: it may again.",
        "helpers",
    ),
    row(
        "sysctl",
        "NAME[=VALUE]",
        "show or set a sysctl",
        "",
        "sysctl kernel.modprobe",
    ),
    row("clock", "+TIME", "let virtual time pass", "", "clock +5s"),
    row("wait", "+TIME", "the same", "", "wait +300ms"),
    row(
        "reap",
        "delay|soon|now|reuse",
        "when the structure of a task that ends goes",
        "Not at all, after a grace period, at once, or at once and to the next task that is made.",
        "reap reuse",
    ),
    row(
        "expect",
        "errno NAME | output \"T\" | log \"T\" | notes \"T\"... | finding RULE | module NAME STATE COUNT",
        "whether the last command did that",
        "",
        "expect errno 0",
    ),
    Row::Group("the prompt"),
    row(
        "help",
        "[COMMAND]",
        "this list, or more on one command",
        "",
        "help insmod",
    ),
    row(
        "profile",
        "2.6.32|3.0|4.1|4.4|6.1|6.12",
        "a fresh kernel with the rules of another version",
        "",
        "profile 3.0",
    ),
    row(
        "boot",
        "PARAMETER...",
        "a fresh kernel with this command line",
        "",
        "boot module.sig_enforce=1",
    ),
    row(
        "tree",
        "FILE|DIRECTORY...",
        "more files that modprobe finds",
        "A directory with a modules.dep is a whole tree: modprobe and request_module have its aliases and dependencies.",
        "tree asked.ko",
    ),
    row("reset", "", "a fresh kernel", "", "reset"),
    row("quit", "", "leave (so does Ctrl-D)", "", "quit"),
];

/// The commands.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    ROWS.iter().filter_map(|row| match row {
        Row::Command(entry) => Some(entry),
        Row::Group(_) => None,
    })
}

/// The command of a name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name)
}

/// The whole list.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for row in ROWS {
        match row {
            Row::Group(title) => out.push_str(&format!("{title}:\n")),
            Row::Command(e) => out.push_str(&format!("  {:<14}{}\n", e.name, e.short)),
        }
    }
    out.push_str("help COMMAND says more; a command runs until its process ends or waits, and then time jumps,\n");
    out.push_str(
        "at most 60 virtual seconds: what waits longer stays blocked in the background.\n",
    );
    out
}

/// One command's page.
pub(crate) fn page(entry: &Entry) -> String {
    let usage = format!("{} {}", entry.name, entry.usage);
    let mut out = format!("{}\n  {}\n", usage.trim_end(), entry.short);
    if !entry.long.is_empty() {
        out.push_str(&format!("  {}\n", entry.long));
    }
    out.push_str(&format!("  for instance: {}\n", entry.example));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::script;

    #[test]
    fn every_example_is_a_line_of_the_language() {
        for entry in entries() {
            if matches!(entry.name, "help" | "reset" | "quit") {
                continue;
            }
            let parsed = script::parse_line(entry.example);
            assert!(
                matches!(parsed, Ok(Some(_))),
                "{}: {parsed:?}",
                entry.example
            );
            assert!(entry.example.starts_with(entry.name), "{}", entry.example);
        }
    }

    #[test]
    fn names_are_listed_once_and_lines_fit() {
        let mut names: Vec<&str> = entries().map(|e| e.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(list().lines().all(|l| l.chars().count() <= 100));
    }
}
