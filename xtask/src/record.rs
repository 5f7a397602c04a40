//! The record of a lab script (docs/lab-script.md), made comparable: addresses masked, register
//! dumps and call traces left out.

/// A step and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub ret: String,
    pub modules: Vec<String>,
    pub log: Vec<String>,
    pub output: Vec<String>,
}

/// Beginnings of lines that belong to a register dump, a stack trace or the machine.
const DUMP: &[&str] = &[
    "CPU: ",
    "Hardware name: ",
    "Workqueue: ",
    "RIP: ",
    "Code: ",
    "RSP: ",
    "RAX: ",
    "RDX: ",
    "RBP: ",
    "R10: ",
    "R13: ",
    "FS: ",
    "CS: ",
    "CR2: ",
    "DR0: ",
    "DR3: ",
    "PKRU: ",
    "PGD ",
    "Call Trace:",
    " <TASK>",
    " </TASK>",
    "Modules linked in:",
    "#PF: ",
    "Oops: ",
    "invalid opcode: ",
    "note: ",
    "---[ end trace",
];

/// Beginnings of lines that a booting machine may log at any time.
const NOISE: &[&str] = &[
    "random: ",
    "clocksource: ",
    "tsc: ",
    "input: ",
    "hrtimer: ",
    "rcu: ",
    "audit: ",
];

/// A frame of a call trace: ` sym+0x1/0x2` or ` ? sym+0x1/0x2`.
fn is_frame(line: &str) -> bool {
    line.strip_prefix(' ').is_some_and(|rest| {
        let rest = rest.strip_prefix("? ").unwrap_or(rest);
        let word = rest.split(' ').next().unwrap_or("");
        (word.contains("+0x") && word.contains("/0x")) || word.starts_with("0x")
    })
}

fn is_dump(line: &str) -> bool {
    DUMP.iter().chain(NOISE).any(|p| line.starts_with(p)) || is_frame(line)
}

/// What a number follows that is another one each time: of a process, and of the thread that ended last.
const NUMBERED: &[&str] = &["PID: ", "Last thread to run: "];

/// Replaces what differs from boot to boot: hexadecimal numbers of at least eight digits become
/// `ADDR`, a source file loses its directory, a number after one of [`NUMBERED`] becomes `N`.
pub fn mask(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let hex = digits.len() >= 8 && digits.chars().all(|c| c.is_ascii_hexdigit());
        let address = hex && (word.len() != digits.len() || digits.len() == 16);
        out.push_str(if address { "ADDR" } else { word });
        word.clear();
    };
    for c in line.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    // Source files have the path that they were built in, modules that they are kept in.
    let words: Vec<&str> = out
        .split(' ')
        .map(|w| match w.rsplit_once('/') {
            Some((path, file))
                if path.starts_with('/') && (file.contains(".c:") || file.contains(".ko")) =>
            {
                file
            }
            _ => w,
        })
        .collect();
    out = words.join(" ");
    for label in NUMBERED {
        if let Some((before, after)) = out.split_once(label) {
            // A record that is masked already stays as it is.
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == 'N');
            out = format!("{before}{label}N{rest}");
        }
    }
    out
}

/// Reads a record. Lines that belong to no step are passed over; an unknown mark is an error.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(number) = mark.strip_prefix('@') {
            if number.parse() != Ok(steps.len() + 1) {
                return Err(format!("step {} wanted: {line}", steps.len() + 1));
            }
            steps.push(Step {
                command: rest.trim().to_owned(),
                ..Step::default()
            });
            continue;
        }
        let Some(step) = steps.last_mut() else {
            continue;
        };
        match mark {
            "ret" => step.ret = rest.to_owned(),
            "mod" => step.modules.push(rest.to_owned()),
            "log" if is_dump(rest) => {}
            "log" => step.log.push(mask(rest)),
            "out" => step.output.push(mask(rest)),
            "unmet" | "end" | "" => {}
            _ => return Err(format!("unknown line in a record: {line}")),
        }
    }
    Ok(steps)
}

/// The record as text again, as it is kept in the repository.
pub fn show(steps: &[Step]) -> String {
    let mut out = String::new();
    for (n, step) in steps.iter().enumerate() {
        out.push_str(&format!("@{} {}\nret {}\n", n + 1, step.command, step.ret));
        let parts = [
            ("mod", &step.modules),
            ("log", &step.log),
            ("out", &step.output),
        ];
        for (mark, lines) in parts {
            for line in lines {
                out.push_str(&format!("{mark} {line}\n"));
            }
        }
    }
    out
}

/// How a step of the lab differs from the real kernel's.
pub fn differences(real: &Step, lab: &Step) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut field = |name: &str, real: &str, lab: &str| {
        if real != lab {
            wrong.push(format!("{name}: real [{real}] lab [{lab}]"));
        }
    };
    field("command", &real.command, &lab.command);
    field("ret", &real.ret, &lab.ret);
    field("mod", &real.modules.join("; "), &lab.modules.join("; "));
    field("log", &real.log.join("; "), &lab.log.join("; "));
    field("out", &real.output.join("; "), &lab.output.join("; "));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_dumps_go() {
        assert_eq!(mask("at 0xffffffffc0a31000 of 0x2000"), "at ADDR of 0x2000");
        assert_eq!(
            mask("kernel BUG at /a/b-c/d.c:16!"),
            "kernel BUG at d.c:16!"
        );
        assert_eq!(mask("deadbeefdeadbeef 12345678"), "ADDR 12345678");
        assert_eq!(mask("CPU: 0 PID: 177 at x"), "CPU: 0 PID: N at x");
        assert!(is_dump(" ? do_init_module+0x4c/0x1f0"));
        assert!(is_dump(" ? 0xffffffffc0000000"));
        assert_eq!(mask("insert /x/ko/a.ko: no"), "insert a.ko: no");
        assert!(!is_dump("hello: loading out-of-tree module taints kernel."));
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let text = "@1 delete_module a\nret EBUSY\nmod a 1 - Live OE\nlog a: said so\nout x\n\
            @2 lsmod\nret exit 0\n";
        let steps = parse(text).unwrap();
        assert_eq!(show(&steps), text);
        assert!(differences(&steps[0], &steps[0]).is_empty());
        assert_eq!(differences(&steps[0], &steps[1]).len(), 5);
        assert!(parse("@2 x\n").is_err());
        assert!(parse("@1 x\nwhat\n").is_err());
    }
}
