//! The record of a lab script (docs/lab-script.md), made comparable: addresses masked, register
//! dumps and call traces left out.

/// A step and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub ret: String,
    pub modules: Vec<String>,
    pub log: Vec<String>,
    /// Log lines whose place is not certain, with how many there are, or `+` ([`crate::uncertain`]).
    pub anywhere: Vec<String>,
    pub output: Vec<String>,
}

/// The record of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub steps: Vec<Step>,
    /// Log lines of which it is certain only that they come.
    pub ever: Vec<String>,
}

/// Most steps that are looked at together for a repetition.
const LONGEST_ROUND: usize = 24;

/// Steps that come several times in a row, with the same answers each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// The first step.
    pub at: usize,
    /// How many steps are a round.
    pub steps: usize,
    /// How many rounds there are.
    pub times: usize,
}

/// Divides the steps into rounds, most of which are of one step and come once.
pub fn rounds(steps: &[Step]) -> Vec<Rounds> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < steps.len() {
        let mut best = Rounds {
            at,
            steps: 1,
            times: 1,
        };
        for length in 1..=LONGEST_ROUND.min((steps.len() - at) / 3) {
            let round = &steps[at..at + length];
            let times = steps[at..]
                .chunks(length)
                .take_while(|c| *c == round)
                .count();
            if times >= 3 && times * length > best.times * best.steps {
                best = Rounds {
                    at,
                    steps: length,
                    times,
                };
            }
        }
        at += best.steps * best.times;
        found.push(best);
    }
    found
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

/// A frame of a call trace: ` sym+0x1/0x2` or ` ? sym+0x1/0x2`, in the lab also ` sym` for one of its own functions.
fn is_frame(line: &str) -> bool {
    line.strip_prefix(' ').is_some_and(|rest| {
        let rest = rest.strip_prefix("? ").unwrap_or(rest);
        let word = rest.split(' ').next().unwrap_or("");
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (word.contains("+0x") && word.contains("/0x"))
            || word.starts_with("0x")
            || (!rest.is_empty() && rest.chars().all(name))
    })
}

/// A warning of the kernel's own code: the lab has neither its file and line nor offsets in its functions.
fn without_source(line: &str) -> Option<String> {
    let (head, place) = line.strip_prefix("WARNING: ")?.split_once(" at ")?;
    let function = match place.strip_prefix("the lab's kernel ") {
        Some(function) => function,
        // A module's source has a whole path, or has lost it in a record.
        None => {
            let (source, function) = place.split_once(' ')?;
            let own = !source.starts_with('/') && source.contains('/');
            (own && !function.contains(' ')).then_some(function)?
        }
    };
    let function = function.split('+').next().unwrap_or(function);
    Some(format!("WARNING: {head} at SOURCE {function}"))
}

fn is_dump(line: &str) -> bool {
    DUMP.iter().chain(NOISE).any(|p| line.starts_with(p)) || is_frame(line)
}

/// What a number follows that is another one each time: of a process, and of the thread that ended last.
const NUMBERED: &[&str] = &["PID: ", "Last thread to run: "];

/// Replaces what differs from boot to boot: hexadecimal numbers of at least eight digits that are no small ones become
/// `ADDR`, a source file loses its directory, a number after one of [`NUMBERED`] becomes `N`.
pub fn mask(line: &str) -> String {
    let sourceless = without_source(line);
    let line = sourceless.as_deref().unwrap_or(line);
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        // Zeros are what is shown to who may not see an address, and small ones are offsets from NULL.
        let hex = digits.len() >= 8
            && digits.chars().all(|c| c.is_ascii_hexdigit())
            && u64::from_str_radix(digits, 16).is_ok_and(|n| n >= 0x1_0000);
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
pub fn parse(text: &str) -> Result<Record, String> {
    let Record {
        mut steps,
        mut ever,
    } = Record::default();
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
        if mark == "times" {
            let number = |word: Option<&str>| word.and_then(|w| w.parse::<usize>().ok());
            let mut words = rest.split(' ');
            let (times, length) = (number(words.next()), number(words.next()));
            let round = length.and_then(|n| steps.len().checked_sub(n));
            let (Some(times @ 2..100_000), Some(from)) = (times, round) else {
                return Err(format!("rounds of what: {line}"));
            };
            let round = steps[from..].to_vec();
            for _ in 1..times {
                steps.extend(round.iter().cloned());
            }
            continue;
        }
        if mark == "ever" {
            ever.push(rest.to_owned());
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
            "any" => step.anywhere.push(rest.to_owned()),
            "out" => step.output.push(mask(rest)),
            "unmet" | "end" | "" => {}
            _ => return Err(format!("unknown line in a record: {line}")),
        }
    }
    Ok(Record { steps, ever })
}

/// The record as text again, as it is kept in the repository: steps that come again and again are there once.
pub fn show(record: &Record) -> String {
    let mut out = String::new();
    for round in rounds(&record.steps) {
        for n in round.at..round.at + round.steps {
            show_step(&mut out, n + 1, &record.steps[n]);
        }
        if round.times > 1 {
            out.push_str(&format!("times {} {}\n", round.times, round.steps));
        }
    }
    for line in &record.ever {
        out.push_str(&format!("ever {line}\n"));
    }
    out
}

fn show_step(out: &mut String, number: usize, step: &Step) {
    out.push_str(&format!("@{number} {}\nret {}\n", step.command, step.ret));
    let parts = [
        ("mod", &step.modules),
        ("log", &step.log),
        ("any", &step.anywhere),
        ("out", &step.output),
    ];
    for (mark, lines) in parts {
        for line in lines {
            out.push_str(&format!("{mark} {line}\n"));
        }
    }
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
    field("any", &real.anywhere.join("; "), &lab.anywhere.join("; "));
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
        assert!(is_dump(" kthread_stop"));
        assert_eq!(
            mask("WARNING: CPU: 0 PID: 8 at kernel/kthread.c:75 kthread_stop+0x143/0x170"),
            mask("WARNING: CPU: 0 PID: 9 at the lab's kernel kthread_stop")
        );
        // A module's own place is compared.
        let own = mask("WARNING: CPU: 0 PID: 8 at /a/m.c:7 f+0x1/0x2 [m]");
        assert_eq!(own, "WARNING: CPU: 0 PID: N at m.c:7 f+0x1/0x2 [m]");
        assert_eq!(mask(&own), own);
        assert!(is_dump(" ? 0xffffffffc0000000"));
        assert_eq!(mask("insert /x/ko/a.ko: no"), "insert a.ko: no");
        assert!(!is_dump("hello: loading out-of-tree module taints kernel."));
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let text = "@1 delete_module a\nret EBUSY\nmod a 1 - Live OE\nlog a: said so\nout x\n\
            @2 lsmod\nret exit 0\n";
        let record = parse(text).unwrap();
        let steps = &record.steps;
        assert_eq!(show(&record), text);
        assert!(differences(&steps[0], &steps[0]).is_empty());
        assert_eq!(differences(&steps[0], &steps[1]).len(), 5);
        assert!(parse("@2 x\n").is_err());
        assert!(parse("@1 x\nwhat\n").is_err());
    }

    #[test]
    fn what_comes_again_and_again_is_kept_once() {
        let step = |n: usize, what: &str| format!("@{n} {what}\nret 0\n");
        let mut all = step(1, "first");
        for n in 0..150 {
            all += &step(2 + 2 * n, "one");
            all += &step(3 + 2 * n, "two");
        }
        all += &step(302, "last");
        all += "ever said\n";
        let record = parse(&all).unwrap();
        let kept = [step(1, "first"), step(2, "one"), step(3, "two")].concat()
            + "times 150 2\n"
            + &step(302, "last")
            + "ever said\n";
        assert_eq!(show(&record), kept);
        assert_eq!(parse(&kept).unwrap(), record);
        // One that is different breaks the row.
        let other = all.replacen("@100 one\nret 0", "@100 one\nret EIO", 1);
        assert!(show(&parse(&other).unwrap()).contains("@100 one\nret EIO\n"));
        assert!(parse("times 3 1\n").is_err());
        assert!(parse("@1 x\ntimes 1000000 1\n").is_err());
    }

    #[test]
    fn an_address_that_is_not_shown_is_no_address() {
        assert_eq!(mask("a 0x0000000000000000"), "a 0x0000000000000000");
        assert_eq!(mask("a 0xffffffffc0000000"), "a ADDR");
        assert_eq!(
            mask("address: 00000000000000b8"),
            "address: 00000000000000b8"
        );
    }
}
