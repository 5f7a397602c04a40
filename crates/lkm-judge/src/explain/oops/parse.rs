//! Reads the facts out of an oops text: x86-64 as of 6.1 and 6.12, x86 as of 2.6.32 to 4.x, ARM as of 4.4, arm64, RISC-V.

use serde::Serialize;

use super::text::{after, between, hex, number, word};

/// Most frames read.
const MAX_FRAMES: usize = 128;
/// Most modules read from the list.
const MAX_MODULES: usize = 1024;

/// How an access went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Read,
    Write,
    Fetch,
}

/// What the kernel says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An access to an address that is not mapped, or not for this access.
    Fault,
    /// BUG() or BUG_ON().
    Bug,
    /// A general protection fault: on x86-64 mostly a non-canonical address.
    Protection,
    /// Another trap: divide error, invalid opcode, double fault.
    Trap,
    /// A warning; the kernel goes on.
    Warning,
    /// A task does not get on.
    Hung,
}

/// The family of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    X86,
    Arm,
    Unknown,
}

/// One frame of a call trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function; empty when only an address is given.
    pub symbol: String,
    /// Offset in the function.
    pub offset: Option<u64>,
    /// The module in brackets behind it; empty for the kernel.
    pub module: String,
    /// False for a frame with a question mark: a value on the stack, perhaps not a caller.
    pub sure: bool,
}

/// One entry of the list of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    /// Taint letters, and `+` while it is loading, `-` while it is unloading.
    pub flags: String,
}

/// The facts of an oops text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Oops {
    pub kind: Kind,
    /// The kernel's own words for it.
    pub headline: String,
    pub machine: Machine,
    pub address: Option<u64>,
    pub access: Option<Access>,
    pub comm: String,
    pub pid: Option<u64>,
    /// The kernel's release; empty when not told.
    pub release: String,
    /// Where it happened.
    pub at: Option<Frame>,
    /// The link register of ARM: mostly the caller.
    pub link: Option<Frame>,
    /// The call trace, innermost first, without `at`.
    pub frames: Vec<Frame>,
    pub modules: Vec<Listed>,
    /// `[last unloaded: …]`.
    pub last_unloaded: String,
    /// The work function's name behind `Workqueue:`, when a worker was at it.
    pub work: String,
}

/// Marks with which a report begins, and what it then is. The worse come first: a warning before an oops is
/// told beside it.
const HEADS: &[(&str, Kind)] = &[
    ("BUG: kernel NULL pointer dereference", Kind::Fault),
    ("BUG: unable to handle page fault", Kind::Fault),
    ("BUG: unable to handle kernel", Kind::Fault),
    ("Unable to handle kernel", Kind::Fault),
    ("general protection fault", Kind::Protection),
    ("kernel BUG at", Kind::Bug),
    ("double fault:", Kind::Trap),
    ("divide error:", Kind::Trap),
    ("stack segment:", Kind::Trap),
    ("BUG: stack guard page was hit", Kind::Trap),
    ("BUG: KASAN:", Kind::Warning),
    ("Internal error: Oops", Kind::Fault),
    ("invalid opcode:", Kind::Bug),
    ("INFO: task ", Kind::Hung),
    ("BUG: soft lockup", Kind::Hung),
    (
        "BUG: sleeping function called from invalid context",
        Kind::Warning,
    ),
    ("BUG: scheduling while atomic", Kind::Warning),
    ("WARNING: possible circular locking", Kind::Warning),
    ("WARNING: possible recursive locking", Kind::Warning),
    ("WARNING: bad unlock balance", Kind::Warning),
    ("WARNING: held lock freed", Kind::Warning),
    ("WARNING: CPU:", Kind::Warning),
    ("WARNING: at ", Kind::Warning),
];

/// Reads the worst report of a normalised log.
pub fn parse(text: &str) -> Option<Oops> {
    let (start, kind) = HEADS
        .iter()
        .find_map(|(mark, kind)| text.find(mark).map(|at| (at, *kind)))?;
    let rest = &text[start..];
    let end = rest.find("---[ end trace").unwrap_or(rest.len());
    // The trace of a hung task or of lockdep has no end mark: what follows does no harm.
    let body = &rest[..end];
    let machine = if body.contains("PC is at ") || body.contains("LR is at ") {
        Machine::Arm
    } else if ["RIP:", "EIP:", "EIP is at", "IP: [<", "Call Trace:"]
        .iter()
        .any(|m| body.contains(m))
    {
        Machine::X86
    } else {
        Machine::Unknown
    };
    let (comm, pid) = task(body, kind);
    let at = place(body);
    let mut frames = frames(body, machine);
    // arm64 and RISC-V begin the trace with the place itself.
    let same = |f: &Frame| {
        f.offset.is_some()
            && at
                .as_ref()
                .is_some_and(|at| at.symbol == f.symbol && at.offset == f.offset)
    };
    if frames.first().is_some_and(same) {
        frames.remove(0);
    }
    Some(Oops {
        kind,
        headline: headline(body),
        machine,
        address: address(body),
        access: access(body, machine),
        comm,
        pid,
        release: release(body),
        at,
        link: after(body, "LR is at ").and_then(|t| frame(word(t), "")),
        frames,
        modules: modules(body),
        last_unloaded: between(body, "[last unloaded: ", "]")
            .map(|t| strip_flags(word(t)).0.to_owned())
            .unwrap_or_default(),
        work: between(body, "Workqueue: ", " RIP")
            .and_then(|t| t.split_whitespace().nth(1))
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The kernel's first words, up to where the next line must have begun.
fn headline(body: &str) -> String {
    let stops = [
        " #PF:",
        " pgd",
        " PGD",
        " IP:",
        " Oops",
        " Mem abort",
        " *pde",
        " Internal",
        " CPU:",
        " Modules",
        " PC is",
        " [#",
        " Not tainted",
        " Tainted",
        " in_atomic",
        " Call Trace",
        " Pid:",
        " RIP",
        " EIP",
    ];
    let end = stops
        .iter()
        .filter_map(|s| body.find(s))
        .min()
        .unwrap_or(body.len());
    body[..end].chars().take(160).collect()
}

fn address(body: &str) -> Option<u64> {
    for mark in [
        "NULL pointer dereference, address: ",
        "page fault for address: ",
        "at virtual address ",
        "non-canonical address ",
        "NULL pointer dereference at ",
        "paging request at ",
    ] {
        if let Some(tail) = after(body, mark) {
            return match tail.trim_start().starts_with("(null)") {
                true => Some(0),
                false => hex(tail),
            };
        }
    }
    None
}

/// x86 says it in words, or in the error code: bit 1 write, bit 4 instruction fetch. ARM: bit 11 of the status is write.
fn access(body: &str, machine: Machine) -> Option<Access> {
    if let Some(tail) = after(body, "#PF: supervisor ") {
        return Some(match word(tail) {
            "write" => Access::Write,
            "instruction" => Access::Fetch,
            _ => Access::Read,
        });
    }
    // arm64 has the exception's class and syndrome in words, RISC-V the cause by its number.
    if body.contains(": IABT") {
        return Some(Access::Fetch);
    }
    if let Some(write) = after(body, "WnR = ").and_then(number) {
        return Some(if write != 0 {
            Access::Write
        } else {
            Access::Read
        });
    }
    if let Some(cause) = after(body, " cause: ").and_then(hex) {
        return match cause {
            12 => Some(Access::Fetch),
            13 => Some(Access::Read),
            15 => Some(Access::Write),
            _ => None,
        };
    }
    // 6.11 and later say "Oops: Oops: 0002".
    let code = after(body, "Oops: ")?;
    let code = hex(code.strip_prefix("Oops: ").unwrap_or(code))?;
    Some(match machine {
        Machine::Arm if code & 0x800 != 0 => Access::Write,
        Machine::Arm => Access::Read,
        _ if code & 0x10 != 0 => Access::Fetch,
        _ if code & 2 != 0 => Access::Write,
        _ => Access::Read,
    })
}

/// The name and number of the task. A name may have blanks in it, so it lasts until the taint string.
fn task(body: &str, kind: Kind) -> (String, Option<u64>) {
    let name = |t: &str| -> String {
        let end = ["Tainted:", "Not tainted", "Kdump:", " G "]
            .iter()
            .filter_map(|s| t.find(s))
            .min()
            .unwrap_or_else(|| word(t).len());
        t[..end].trim().chars().take(20).collect()
    };
    if kind == Kind::Hung {
        // "INFO: task rmmod:123 blocked", "soft lockup - CPU#0 stuck for 22s! [name:123]"
        let told = between(body, "INFO: task ", " blocked").or_else(|| between(body, "! [", "]"));
        if let Some((comm, pid)) = told.and_then(|t| t.rsplit_once(':')) {
            return (comm.chars().take(20).collect(), number(pid));
        }
    }
    if let Some(tail) = after(body, "Comm: ") {
        return (name(tail), after(body, "PID: ").and_then(number));
    }
    if let Some(tail) = after(body, "comm: ") {
        return (name(tail), after(body, "Pid: ").and_then(number));
    }
    if let Some(inner) = between(body, "Process ", ",")
        && let Some((comm, pid)) = inner.split_once(" (pid: ")
    {
        return (comm.chars().take(20).collect(), number(pid));
    }
    (String::new(), None)
}

/// The word before `#VERSION` in the line of the task.
fn release(body: &str) -> String {
    let line = after(body, "Comm: ")
        .or_else(|| after(body, "comm: "))
        .unwrap_or("");
    let mut last = "";
    for word in line.split(' ').take(24) {
        if word.starts_with('#') {
            return last.trim_start_matches('(').chars().take(64).collect();
        }
        last = word;
    }
    String::new()
}

/// Where it happened: the RIP, EIP or PC line, else the IP line of older kernels.
fn place(body: &str) -> Option<Frame> {
    for mark in ["PC is at ", "EIP is at "] {
        if let Some(tail) = after(body, mark) {
            return frame(word(tail), second(tail));
        }
    }
    if let Some(tail) = after(body, "RIP: 0010:").or_else(|| after(body, "RIP: ")) {
        return after_addresses(tail);
    }
    if let Some(tail) = after(body, " IP: ").or_else(|| after(body, "EIP: ")) {
        return after_addresses(tail);
    }
    for mark in [" epc : ", " pc : "] {
        // RISC-V and arm64; ARM has an address there, and said it before.
        if let Some(tail) = after(body, mark)
            && let Some(at) = after_addresses(tail)
        {
            return Some(at);
        }
    }
    if let Some(tail) = between(body, "WARNING: CPU:", " Modules").and_then(|t| after(t, " at ")) {
        // "WARNING: CPU: 0 PID: 1 at FILE:LINE func+0x1/0x2"
        return frame(second(tail), tail.split(' ').nth(2).unwrap_or(""));
    }
    if let Some(tail) = after(body, "BUG: KASAN: ").and_then(|t| after(t, " in ")) {
        return frame(word(tail), second(tail));
    }
    None
}

/// Skips `[<ffff…>]` and `0010:` before the symbol.
fn after_addresses(tail: &str) -> Option<Frame> {
    let mut words = tail.split(' ').take(5).peekable();
    while let Some(word) = words.next() {
        let skip = word.starts_with("[<") || word.ends_with(">]") || word.ends_with(':');
        if !skip {
            let word = word.rsplit(':').next().unwrap_or(word);
            return frame(word, words.peek().copied().unwrap_or("")).or_else(|| bare(word));
        }
    }
    None
}

fn second(text: &str) -> &str {
    text.split_whitespace().nth(1).unwrap_or("")
}

/// `sym+0x1c/0x7c`, or a bare address, and a `[module]` behind it.
fn frame(word: &str, next: &str) -> Option<Frame> {
    let word = word.trim_matches(|c| matches!(c, '(' | ')' | ',' | '!'));
    let module = next
        .strip_prefix('[')
        .and_then(|m| m.split(']').next())
        .filter(|m| is_name(m))
        .unwrap_or("");
    if let Some((symbol, rest)) = word.split_once("+0x") {
        if !is_symbol(symbol) {
            return None;
        }
        return Some(Frame {
            symbol: clean(symbol),
            offset: hex(rest),
            module: module.to_owned(),
            sure: true,
        });
    }
    if word.starts_with("0x") && hex(word).is_some() {
        return Some(Frame {
            symbol: String::new(),
            offset: hex(word),
            module: module.to_owned(),
            sure: true,
        });
    }
    None
}

/// A function without an offset.
fn bare(word: &str) -> Option<Frame> {
    (is_symbol(word) && !word.starts_with(|c: char| c.is_ascii_digit())).then(|| Frame {
        symbol: clean(word),
        offset: None,
        module: String::new(),
        sure: true,
    })
}

fn is_symbol(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Without the suffixes that compilers add.
fn clean(symbol: &str) -> String {
    let end = [".isra", ".constprop", ".part", ".cold"]
        .iter()
        .filter_map(|s| symbol.find(s))
        .min()
        .unwrap_or(symbol.len());
    symbol[..end].to_owned()
}

fn frames(body: &str, machine: Machine) -> Vec<Frame> {
    if machine == Machine::Arm {
        return arm_frames(body);
    }
    let trace = after(body, "Call Trace:").or_else(|| after(body, "Call trace:"));
    // RISC-V may leave the heading out: its frames follow the cause.
    let Some(tail) = trace.or_else(|| after(body, " cause: ")) else {
        return Vec::new();
    };
    let end = ["Modules linked in:", "</TASK>", " Code:", " RIP:", "==="]
        .iter()
        .filter_map(|m| tail.find(m))
        .min()
        .unwrap_or(tail.len());
    // Between these marks every word is a frame: the lab's own functions have no offset to show.
    let marked = tail.starts_with(" <TASK>");
    let mut found = Vec::new();
    let mut sure = true;
    let mut words = tail[..end].split(' ').peekable();
    while let Some(word) = words.next() {
        if word == "?" {
            sure = false;
            continue;
        }
        if word.starts_with("[<") || word.ends_with(">]") {
            continue;
        }
        let next = words.peek().copied().unwrap_or("");
        let read = if word.contains("+0x") {
            frame(word, next)
        } else if marked && !word.starts_with(['<', '[', '0']) {
            bare(word)
        } else {
            None
        };
        if let Some(mut f) = read {
            f.sure = sure;
            found.push(f);
        }
        sure = true;
        if found.len() >= MAX_FRAMES {
            break;
        }
    }
    // A kernel without frame pointers is sure of none: then they are all there is to go by.
    if found.iter().all(|f| !f.sure) {
        for frame in &mut found {
            frame.sure = true;
        }
    }
    found
}

/// `[<8123cf8c>] (exit_creds) from [<81223378>] (__put_task_struct+0x6c/0xb8)`: each right side is the caller.
fn arm_frames(body: &str) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some(tail) = after(rest, ") from [<") {
        rest = tail;
        let Some(inner) = between(tail, "(", ")") else {
            break;
        };
        let next = after(tail, ") ").map_or("", word);
        if let Some(f) = frame(
            inner.split(' ').next().unwrap_or(""),
            inner.split_once(' ').map_or(next, |(_, m)| m),
        ) {
            found.push(f);
        }
        if found.len() >= MAX_FRAMES {
            break;
        }
    }
    found
}

fn modules(body: &str) -> Vec<Listed> {
    let Some(tail) = after(body, "Modules linked in:") else {
        return Vec::new();
    };
    tail.split_whitespace()
        .take_while(|w| {
            !w.starts_with('[')
                && !w.ends_with(':')
                && w.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        })
        .take(MAX_MODULES)
        .map_while(|w| {
            let (name, flags) = strip_flags(w);
            is_name(name).then(|| Listed {
                name: name.to_owned(),
                flags: flags.to_owned(),
            })
        })
        .collect()
}

/// `name(OE-)` as name and flags.
fn strip_flags(word: &str) -> (&str, &str) {
    match word.split_once('(') {
        Some((name, flags)) => (name, flags.trim_end_matches(')')),
        None => (word, ""),
    }
}
