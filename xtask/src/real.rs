//! `cargo xtask real [NAME...]`: loads and unloads the test modules on a real kernel in a VM and
//! compares what it answers with the `//#Real:` line of each.
//!
//! One script for many, written here and run by the guest's interpreter. The correct modules come
//! first, then those that leave harmless things behind; one whose leftovers break the kernel for
//! the next says `alone`.

use crate::compare::Stage;
use crate::expect::{Directives, Real};
use crate::kbuild;
use crate::record::{self, Step};
use crate::tally::{self, Tally};
use std::process::ExitCode;

type Error = Box<dyn std::error::Error>;

/// How many modules share a boot.
const BATCH: usize = 60;

/// What a kernel log says when something is wrong; the module's own words never have these.
const ALARMS: &[&str] = &[
    "BUG: ",
    "WARNING: CPU",
    "Oops",
    "general protection",
    "kernel BUG",
    "still has objects",
    "cut here",
    "imbalance",
    "sleeping function",
    "scheduling while atomic",
    "already registered",
];

/// A module, its directives, and what is expected of a real kernel.
type Candidate = (String, Directives, Real);

/// The script that takes these modules through their lives, and for each where its load is.
fn script(modules: &[Candidate]) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut step = 0;
    let mut loads = Vec::new();
    let mut add = |line: String| {
        // Time passes between steps and is none itself.
        let is_step = !line.starts_with("clock ");
        text.push_str(&line);
        text.push('\n');
        step += usize::from(is_step);
        step
    };
    for (name, directives, real) in modules {
        for with in &directives.with {
            add(format!("finit_module {with} \"\""));
        }
        let args = directives.args.join(" ").replace('"', "\\\"");
        loads.push(add(format!("start load finit_module {name}.ko \"{args}\"")));
        add("join load".into());
        if real.wait {
            add("clock +2s".into());
        }
        add(format!(
            "start unload delete_module {}",
            name.replace('-', "_")
        ));
        add("join unload".into());
        for with in directives.with.iter().rev() {
            let with = with.trim_end_matches(".ko").replace('-', "_");
            add(format!("delete_module {with}"));
        }
    }
    (text, loads)
}

/// A record's result as a number: 0, a negative errno, or the signal that killed the caller.
fn answer(ret: &str) -> Option<i64> {
    const ERRNOS: &[(&str, i64)] = &[
        ("EPERM", 1),
        ("ENOENT", 2),
        ("EIO", 5),
        ("ENXIO", 6),
        ("ENOEXEC", 8),
        ("EWOULDBLOCK", 11),
        ("ENOMEM", 12),
        ("EBUSY", 16),
        ("EEXIST", 17),
        ("ENODEV", 19),
        ("EINVAL", 22),
        ("ENOSPC", 28),
        ("ERANGE", 34),
        ("ENAMETOOLONG", 36),
    ];
    if let Some(signal) = ret.strip_prefix("signal ") {
        return signal.parse().ok();
    }
    if ret == "0" {
        return Some(0);
    }
    ERRNOS
        .iter()
        .find(|(name, _)| *name == ret)
        .map(|(_, number)| -number)
}

/// What differs from the module's head. `life` are its four steps.
fn compare(want: &Real, life: &[Step]) -> Vec<String> {
    let [load, loaded, unload, unloaded] = life else {
        return vec!["the guest did not get that far".into()];
    };
    let mut wrong = Vec::new();
    if answer(&loaded.ret) != Some(want.load) {
        wrong.push(format!("load {} not {}", loaded.ret, want.load));
    }
    if let Some(expected) = want.unload
        && answer(&unloaded.ret) != Some(expected)
    {
        wrong.push(format!("unload {} not {expected}", unloaded.ret));
    }
    let log: Vec<&String> = [load, loaded, unload, unloaded]
        .iter()
        .flat_map(|s| &s.log)
        .collect();
    if let Some(text) = &want.log
        && !log.iter().any(|l| l.contains(text.as_str()))
    {
        wrong.push(format!("no \"{text}\" in the log {log:?}"));
    }
    if want.silent {
        for line in log {
            if ALARMS.iter().any(|a| line.contains(a)) {
                wrong.push(format!("not silent: {line}"));
            }
        }
    }
    wrong
}

/// All modules that are safe to load, or the named ones.
pub fn all(only: &[String]) -> Result<Tally, Error> {
    let stage = Stage::build()?;
    let mut tally = Tally::new("modules for real");
    let mut candidates: Vec<Candidate> = Vec::new();
    for source in kbuild::sources()? {
        if !only.is_empty() && !only.contains(&source.name) {
            continue;
        }
        let directives = source.directives()?;
        if let Some(real) = directives.real.clone() {
            candidates.push((source.name, directives, real));
        }
    }
    // First those that leave nothing behind.
    candidates.sort_by_key(|(_, d, _)| d.verdict.as_deref() == Some("findings"));
    let (alone, together): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(|(_, _, real)| real.alone);
    for batch in together.chunks(BATCH).chain(alone.chunks(1)) {
        let (text, loads) = script(batch);
        let steps = match stage.in_vm("real", &text) {
            Ok(record) => record::parse(&record)?.steps,
            Err(e) => {
                let names: Vec<&str> = batch.iter().map(|(name, ..)| name.as_str()).collect();
                tally.add(&names.join(" "), &[e.to_string()]);
                continue;
            }
        };
        for ((name, _, real), load) in batch.iter().zip(loads) {
            let life = steps.get(load - 1..load + 3).unwrap_or_default();
            tally.add(name, &compare(real, life));
        }
    }
    Ok(tally)
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let tally = all(args)?;
    Ok(ExitCode::from(u8::from(!tally::close(&[tally]))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(load: &str, unload: &str, log: &str) -> Vec<Step> {
        let step = |ret: &str, log: &[&str]| Step {
            ret: ret.into(),
            log: log.iter().map(|l| (*l).to_owned()).collect(),
            ..Step::default()
        };
        vec![
            step("started", &[log]),
            step(load, &[]),
            step("started", &[]),
            step(unload, &[]),
        ]
    }

    #[test]
    fn a_life_is_compared() {
        let want = Real {
            load: 0,
            unload: Some(-11),
            log: None,
            silent: true,
            ..Real::default()
        };
        assert!(compare(&want, &life("0", "EWOULDBLOCK", "all well")).is_empty());
        assert_eq!(compare(&want, &life("signal 9", "0", "BUG: x")).len(), 3);
        assert_eq!(compare(&want, &[]).len(), 1);
    }
}
