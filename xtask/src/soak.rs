//! `cargo xtask soak`: drives the prompt of `lkm lab` with random commands on the test modules, for as long as is
//! wanted. No panic, no failure of the lab, no command without an answer: anything else is a session written to
//! `target/soak/`, to be repeated with `lkm lab <FILE`.

use crate::kbuild;
use crate::kernel::target_directory;
use crate::paths;
use crate::soak_lines::{Lines, Random};
use crate::tally::Tally;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The lab gives up on a command itself after a minute; a prompt that is silent for longer is stuck.
const SILENCE: Duration = Duration::from_secs(90);
/// Commands to one process.
const SESSION: usize = 400;
/// Commands between two fresh kernels.
const KERNEL: usize = 60;
/// What the prompt says when the lab itself has gone wrong.
const FAILURES: &[&str] = &[
    "lkm: the lab failed",
    "lkm: the lab was killed",
    "lkm: no end of it after",
    "lkm: the lab's kernel has ended",
];

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let (mut minutes, mut seed) = (10.0, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{arg} what?"));
        match arg.as_str() {
            "--minutes" => minutes = value()?.parse::<f64>()?,
            "--seed" => seed = Some(value()?.parse::<u64>()?),
            _ => return Err(format!("soak [--minutes N] [--seed N], not {arg}").into()),
        }
    }
    let lkm = crate::test::release_binary()?;
    let tally = run(&lkm, minutes, seed)?;
    Ok(ExitCode::from(u8::from(!crate::tally::close(&[tally]))))
}

/// Soaks for some minutes.
pub fn run(
    lkm: &Path,
    minutes: f64,
    seed: Option<u64>,
) -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("soak");
    let modules = kbuild::build(&paths::headers()?, false)?;
    let seed = seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |d| d.as_secs())
    });
    println!("soak: {minutes} minutes, seed {seed}");
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut random = Random::new(seed);
    let (mut sessions, mut commands) = (0usize, 0usize);
    let mut slowest = (Duration::ZERO, String::new());
    while Instant::now() < until {
        sessions += 1;
        let mut session = Session::start(lkm, &modules)?;
        let mut lines = Lines::of(&modules)?;
        let mut wrong = None;
        for number in 0..SESSION {
            let line = if number % KERNEL == KERNEL - 1 {
                lines.fresh(&mut random)
            } else {
                lines.next(&mut random)
            };
            let began = Instant::now();
            let answer = session.ask(&line);
            if began.elapsed() > slowest.0 {
                slowest = (began.elapsed(), line.clone());
            }
            commands += 1;
            match answer {
                Ok(answer) => lines.learn(&answer),
                Err(why) => {
                    wrong = Some(format!("{line}: {why}"));
                    break;
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        if wrong.is_none() {
            wrong = session.end().err();
        }
        if let Some(why) = wrong {
            let file = session.keep(seed, sessions)?;
            tally.add(
                &format!("session {sessions}"),
                &[
                    why,
                    format!(
                        "again: lkm lab --modules {} <{}",
                        modules.display(),
                        file.display()
                    ),
                ],
            );
        }
    }
    println!(
        "soak: {commands} commands in {sessions} sessions, the slowest took {:.1?}: {}",
        slowest.0, slowest.1
    );
    if commands == 0 {
        tally.add("commands", &["none was run".to_owned()]);
    } else {
        tally.add("commands", &[]);
    }
    Ok(tally)
}

/// A prompt behind a pipe.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    errors: Receiver<String>,
    said: Vec<String>,
}

/// A pipe's lines, read by a thread so that waiting for one can end.
fn reader(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if send.send(text).is_err() {
                return;
            }
        }
    });
    receive
}

impl Session {
    fn start(lkm: &Path, modules: &Path) -> Result<Session, Box<dyn std::error::Error>> {
        let mut child = Command::new(lkm)
            .args(["lab", "--modules"])
            .arg(modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let errors = child.stderr.take().ok_or("no errors")?;
        Ok(Session {
            input: child.stdin.take(),
            output: reader(output),
            errors: reader(errors),
            child,
            said: Vec::new(),
        })
    }

    /// Sends a line and a mark behind it; what was said up to the mark.
    fn ask(&mut self, line: &str) -> Result<Vec<String>, String> {
        let mark = format!("mark-{}", self.said.len());
        self.said.push(line.to_owned());
        let input = self.input.as_mut().ok_or("the prompt is closed")?;
        let sent = input
            .write_all(format!("{line}\n{mark}\n").as_bytes())
            .and_then(|()| input.flush());
        if let Err(e) = sent {
            return Err(format!("the prompt has gone ({e}) {}", self.complaints()));
        }
        let end = format!("lkm: {mark}: ");
        let mut answer = Vec::new();
        loop {
            match self.output.recv_timeout(SILENCE) {
                Ok(text) if text.starts_with(&end) => break,
                Ok(text) => answer.push(text),
                Err(RecvTimeoutError::Timeout) => return Err("no answer".into()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the prompt has gone {}", self.complaints()));
                }
            }
        }
        let failed = answer
            .iter()
            .find(|text| FAILURES.iter().any(|f| text.starts_with(f)));
        match failed {
            Some(text) => Err(format!("{text} {}", self.complaints())),
            None => Ok(answer),
        }
    }

    /// What was written to standard error.
    fn complaints(&self) -> String {
        let mut text = Vec::new();
        while let Ok(line) = self.errors.recv_timeout(Duration::from_millis(300)) {
            text.push(line);
        }
        text.join(" | ")
    }

    /// Closes the prompt, which then ends by itself.
    fn end(&mut self) -> Result<(), String> {
        self.input = None;
        let until = Instant::now() + SILENCE;
        loop {
            match self.child.try_wait().map_err(|e| e.to_string())? {
                // 1: an expectation was not met, which is no wonder here.
                Some(status) if matches!(status.code(), Some(0 | 1)) => break,
                Some(status) => return Err(format!("the end: {status} {}", self.complaints())),
                None if Instant::now() > until => return Err("the prompt does not end".into()),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        let complaints = self.complaints();
        if complaints.contains("panicked") || complaints.contains("internal error") {
            return Err(complaints);
        }
        Ok(())
    }

    /// Writes the session's lines down.
    fn keep(&self, seed: u64, number: usize) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let directory = target_directory().join("soak");
        std::fs::create_dir_all(&directory)?;
        let file = directory.join(format!("{seed}-{number}.txt"));
        std::fs::write(&file, self.said.join("\n") + "\n")?;
        Ok(file)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
