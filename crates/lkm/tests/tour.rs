//! `lkm tour` from the outside: what each chapter must show, its width, its colours and its exit statuses.

use std::process::{Command, Output};

fn tour(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lkm"))
        .arg("tour")
        .args(args)
        .output()
        .expect("lkm starts")
}

/// What a chapter prints, when it ends well.
fn chapter(number: &str) -> String {
    let output = tour(&[number]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{number}: {errors}");
    assert_eq!(errors, "", "{number}");
    String::from_utf8(output.stdout).expect("text")
}

/// Checks that the texts are there, one behind the other.
fn shows(chapter: &str, texts: &[&str]) {
    let mut rest = chapter;
    for text in texts {
        let Some(at) = rest.find(text) else {
            panic!("no {text:?} in its place in:\n{chapter}");
        };
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn the_inherited_socket_is_found_in_the_thread() {
    shows(
        &chapter("000"),
        &[
            "init: refcount 1",
            "thread: refcount 0",
            "recv: refcount 1",
            "left-running",
            "init: refcount 1",
            "recv: refcount 1",
            "thread: refcount 1",
            "Module inherited is in use",
            "EWOULDBLOCK",
            "1 reference, 1 explained",
            "as descriptor 3, a kernel thread",
            "protocol: NETLINK [pins inherited]",
            "module-pinned",
            "inherited at make_thread",
            "Go on:",
        ],
    );
}

#[test]
fn the_rescue_works_with_a_helper_and_without() {
    shows(
        &chapter("001"),
        &[
            "vms_init++++++++++",
            "NULL pointer dereference",
            "Loading",
            "Device or resource busy",
            "EEXIST",
            "[module init] name:force_rmmod, state:1",
            "[vms]:name:vms, state:1, refcnt:1",
            "used by NULL...",
            "[after]:name:vms, state:0, refcnt:0",
            "XXXXXX, force!",
            "[module exit] name:force_rmmod, state:2",
            "memory-leak",
            "forced-unload",
            "init_module blocked in",
            "vms: gone",
            "Go on:",
        ],
    );
}

#[test]
fn loads_and_unloads_tell_their_steps_in_order() {
    shows(
        &chapter("002"),
        &[
            "module_mutex: lock",
            "MODULE_STATE_COMING",
            "parse_args",
            "notifier MODULE_STATE_COMING",
            "[lab] init",
            "state MODULE_STATE_LIVE",
            "1 to 0",
            "steps: init, refcount 1",
            "other modules use it",
            "EWOULDBLOCK",
            "try_stop_module",
            "state MODULE_STATE_GOING",
            "[lab] exit",
            "free_module",
            "init answered -5",
            "EIO",
            "suspiciously returned 3",
            "init-return-value",
            "Go on:",
        ],
    );
}

#[test]
fn requests_are_limited_and_mutexes_are_watched() {
    let text = chapter("003");
    shows(
        &text,
        &[
            "asked: here",
            "runaway loop modprobe lkm-asked",
            "thread 50 was answered -12",
            "thread 0 was answered -36",
            "throttling",
            "blocked in __request_module",
            "modprobe blocked in add_unformed_module",
            "autoload-deadlock",
            "unlock-by-other",
            "blocked in mutex_lock",
            "(recursive)",
            "Go on:",
        ],
    );
    assert_eq!(text.matches("thread 51 was answered -12").count(), 1);
    assert!(!text.contains("thread 49 was answered -12"));
}

#[test]
fn the_thread_that_ended_first_is_told_with_its_sites() {
    shows(
        &chapter("4"),
        &[
            "exit_creds",
            "__put_task_struct",
            "kthread_stop",
            "Unloading",
            "kthread-stop-after-exit",
            "created at kstop_init",
            "ended with 0",
            "so: oops",
            "refcount_t: addition on 0; use-after-free.",
            "kstop: thread answered 0",
            "no finding",
            "Go on:",
        ],
    );
}

#[test]
fn all_of_it_fits_a_terminal_and_has_no_colour_in_a_pipe() {
    let output = tour(&[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for number in ["000  ", "001  ", "002  ", "003  ", "004  "] {
        assert!(text.lines().any(|l| l.starts_with(number)), "{number}");
    }
}

#[test]
fn chapters_are_listed_and_others_are_refused() {
    let list = tour(&["--list"]);
    assert_eq!(list.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), 5);
    for wrong in ["005", "x", "--wrong"] {
        let output = tour(&[wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(!output.stderr.is_empty(), "{wrong}");
    }
}
