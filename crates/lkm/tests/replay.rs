//! Replay tokens, from the outside: a token repeats its run event for event, and one that does not fit is refused.

use std::process::{Command, Output};

/// `lkm rehearse` on an example that is built into the program, with its events on standard error.
fn rehearse(example: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lkm"))
        .args(["rehearse", "--json", "--example", example])
        .args(more)
        .env("LKM_TRACE", "1")
        .output()
        .expect("lkm starts")
}

/// The runs of a rehearsal: the token of each, and its events.
fn runs(output: &Output) -> Vec<(String, Vec<String>)> {
    let mut runs = Vec::new();
    let mut events = Vec::new();
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        match line.strip_prefix("replay: ") {
            Some(token) => runs.push((token.to_owned(), std::mem::take(&mut events))),
            None => events.push(line.to_owned()),
        }
    }
    runs
}

/// Events that are choices made otherwise than plainly.
fn choices(events: &[String]) -> usize {
    events.iter().filter(|e| e.starts_with("Choice")).count()
}

#[test]
fn a_token_repeats_its_run_event_for_event() {
    for example in ["thread-left", "kmalloc-leak", "lock-order"] {
        let first = rehearse(example, &[]);
        let runs = runs(&first);
        assert!(runs.len() > 2, "{example}: {} runs", runs.len());
        let chosen = runs.iter().filter(|(_, events)| choices(events) > 0);
        assert!(chosen.count() > 1, "{example}: nothing was chosen");
        for (token, events) in &runs {
            assert!(events.len() > 10);
            let again = rehearse(example, &["--replay", token]);
            let told: Vec<String> = String::from_utf8_lossy(&again.stderr)
                .lines()
                .map(str::to_owned)
                .collect();
            assert_eq!(&told, events, "{example} --replay {token}");
        }
    }
}

#[test]
fn the_plain_run_is_one_of_them_and_others_differ() {
    let plain = runs(&rehearse("kmalloc-leak", &["--once"]));
    assert_eq!(plain.len(), 1);
    assert_eq!(choices(&plain[0].1), 0);
    let swept = runs(&rehearse(
        "kmalloc-leak",
        &["--schedules", "0", "--cycles", "1"],
    ));
    assert_eq!(swept[0], plain[0]);
    assert!(swept.len() > 1 && swept[1..].iter().all(|run| run.1 != plain[0].1));
    let unswept = runs(&rehearse(
        "kmalloc-leak",
        &["--no-faults", "--schedules", "0", "--cycles", "1"],
    ));
    assert_eq!(unswept, plain);
}

#[test]
fn a_token_that_does_not_fit_is_refused() {
    let runs = runs(&rehearse("kmalloc-leak", &[]));
    let token = runs[0].0.as_str();
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'0' {
        "1"
    } else {
        "0"
    };
    let garbled = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    for (example, more, told) in [
        ("timer-left", vec!["--replay", token], "another build"),
        (
            "kmalloc-leak",
            vec!["--replay", token, "--cycles", "3"],
            "other options",
        ),
        (
            "kmalloc-leak",
            vec!["--replay", token, "--profile", "4.4"],
            "other options",
        ),
        ("kmalloc-leak", vec!["--replay", "lkm1-"], "garbled"),
        ("kmalloc-leak", vec!["--replay", "nonsense"], "garbled"),
        (
            "kmalloc-leak",
            vec!["--replay", garbled.as_str()],
            "garbled",
        ),
    ] {
        let output = rehearse(example, &more);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(words.contains(told), "{more:?}: {words}");
        assert!(output.stdout.is_empty());
    }
}
