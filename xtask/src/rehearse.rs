//! Runs `lkm rehearse` on the test modules and compares each report with the module's head.

use crate::expect::{self, Directives};
use crate::kbuild::Source;
use crate::tally::Tally;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A rehearsal that takes longer than this has hung, on a slow and busy machine, too: most take less than a second.
const LIMIT: Duration = Duration::from_secs(600);

/// How many run at a time.
const PARALLEL: usize = 2;

/// What a command left: its exit code (none: it was killed, by a signal or by us) and output.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub in_time: bool,
}

/// Runs a command to its end, or kills it when the time is up.
pub fn bounded(command: &mut Command, limit: Duration) -> std::io::Result<Ran> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().map(drain);
    let err = child.stderr.take().map(drain);
    let start = Instant::now();
    let mut in_time = true;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            in_time = false;
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |t: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = t.and_then(|t| t.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ran {
        code: status.code(),
        stdout: text(out),
        stderr: text(err),
        in_time,
    })
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is kept.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Rehearses one module; what is wrong, or nothing.
pub fn one(lkm: &Path, built: &Path, name: &str, want: &Directives) -> Vec<String> {
    let mut command = Command::new(lkm);
    command.args(["rehearse", "--json"]).args(&want.options);
    if !want.conforms.is_empty() {
        // The first check that fails ends such a module as it stands: made to fail, it leaves things behind.
        command.arg("--no-faults");
    }
    for with in &want.with {
        command.arg("--with").arg(built.join(with));
    }
    command
        .arg(built.join(format!("{name}.ko")))
        .args(&want.args);
    let ran = match bounded(&mut command, LIMIT) {
        Ok(ran) => ran,
        Err(e) => return vec![format!("{}: {e}", lkm.display())],
    };
    let last = ran.stderr.lines().last().unwrap_or("").to_owned();
    if !ran.in_time {
        return vec![format!("no report after {} s", LIMIT.as_secs())];
    }
    let Some(code) = ran.code else {
        return vec![format!("lkm itself was killed: {last}")];
    };
    let report: Value = match serde_json::from_str(&ran.stdout) {
        Ok(report) => report,
        Err(e) => return vec![format!("exit code {code}, no report ({e}): {last}")],
    };
    let mut wrong = expect::compare(want, &report);
    let verdict = report.get("verdict").and_then(Value::as_str).unwrap_or("");
    let right = match verdict {
        "clean" => 0,
        "findings" => 1,
        _ => 2,
    };
    if code != right {
        wrong.push(format!("exit code {code} with verdict {verdict}"));
    }
    wrong
}

/// All modules, two at a time.
pub fn all(lkm: &Path, built: &Path, sources: &[Source]) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::new("modules"));
    let work = || {
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wrong = match source.directives() {
                Ok(want) => one(lkm, built, &source.name, &want),
                Err(e) => vec![e],
            };
            // A poisoned tally still counts: the panic itself is reported by its thread.
            let mut tally = tally.lock().unwrap_or_else(|p| p.into_inner());
            tally.add(&source.name, &wrong);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap_or_else(|p| p.into_inner())
}
