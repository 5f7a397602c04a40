//! The prompt of `lkm lab`, through a pipe: one kernel for all lines, errors that leave the prompt alive, and what is
//! said when a kernel is lost.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs lines; the exit status, and what was said to each of them.
fn prompt(lines: &[&str]) -> (Option<i32>, Vec<(String, Vec<String>)>) {
    prompt_with(&[], lines)
}

/// The same, with options.
fn prompt_with(options: &[&str], lines: &[&str]) -> (Option<i32>, Vec<(String, Vec<String>)>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lkm"))
        .arg("lab")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lkm starts");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all((lines.join("\n") + "\n").as_bytes())
        .expect("lkm reads");
    drop(input);
    let output = child.wait_with_output().expect("lkm ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "");
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.strip_prefix("$ ") {
            Some(command) => said.push((command.to_owned(), Vec::new())),
            None => said.last_mut().expect("a command").1.push(line.to_owned()),
        }
    }
    assert_eq!(said.len(), lines.len(), "{said:?}");
    (output.status.code(), said)
}

/// Whether the answer to a line holds a text.
fn says(said: &[(String, Vec<String>)], at: usize, text: &str) {
    let (command, answer) = &said[at];
    assert!(
        answer.iter().any(|l| l.contains(text)),
        "{command}: no {text:?} in {answer:#?}"
    );
}

#[test]
fn one_kernel_serves_all_lines() {
    let (status, said) = prompt(&[
        "insmod hello.ko",
        "lsmod",
        "ls /sys/module",
        "rmmod hello",
        "expect module hello absent",
        "cat /proc/modules",
    ]);
    assert_eq!(status, Some(0));
    says(&said, 0, "[log] hello from a module");
    says(&said, 1, "hello");
    says(&said, 2, "hello");
    says(&said, 4, "met");
    assert!(said[5].1.is_empty());
}

#[test]
fn mistakes_leave_the_prompt_alive() {
    let (status, said) = prompt(&[
        "frobnicate",
        "insmod",
        "\"",
        "clock +5x",
        "insmod no-such-file.ko",
        "expect errno 0",
        "help frobnicate",
        "profile 9.9",
        "help insmod",
        "insmod hello.ko",
    ]);
    // An expectation was not met.
    assert_eq!(status, Some(1));
    says(&said, 0, "no such command");
    says(&said, 2, "quote");
    says(&said, 3, "a time is like");
    says(&said, 4, "No such file");
    says(&said, 5, "not met");
    says(&said, 7, "no profile");
    says(&said, 8, "PARAM=VALUE");
    says(&said, 9, "hello from a module");
}

#[test]
fn an_oops_is_told_and_a_fresh_kernel_is_offered() {
    let (_, said) = prompt(&[
        "insmod vms.ko",
        "why vms",
        "unload --force vms",
        "insmod kstop.ko",
        "clock +1s",
        "rmmod kstop",
        "findings kstop",
        "reset",
        "lsmod",
    ]);
    says(&said, 0, "signal 9");
    says(&said, 0, "`reset` boots a fresh one");
    says(&said, 1, "its init has not returned");
    says(&said, 1, "platform device vms");
    says(&said, 2, "vms: gone");
    says(&said, 6, "kthread-stop-after-exit");
    assert_eq!(said[8].1.len(), 1, "only the head: {:?}", said[8]);
}

#[test]
fn what_waits_goes_on_in_the_background() {
    let (_, said) = prompt(&[
        "insmod mutexes.ko misuse=twice",
        "ps",
        "findings",
        "profile 6.1",
        "insmod asks-itself.ko",
        "ps",
        "kill insmod 9",
        "ps",
    ]);
    says(&said, 0, "blocked in mutex_lock");
    says(&said, 0, "in the background");
    says(&said, 1, "blocked in mutex_lock");
    says(&said, 2, "(recursive)");
    says(&said, 4, "blocked in __request_module");
    says(&said, 6, "in the background: insmod asks-itself.ko: ");
}

#[test]
fn processes_have_files_and_mappings_of_their_own() {
    let (_, said) = prompt(&[
        "profile 2.6.32",
        "insmod inherited.ko where=init",
        "socket s netlink 31",
        "proc other socket t netlink 31",
        "expect module inherited Live 2",
        "dup s again",
        "close s",
        "expect module inherited Live 2",
        "exit s",
        "expect module inherited Live 1",
        "send t \"x\"",
        "expect log \"recv: refcount 1\"",
        "open /dev/null n rdwr",
        "mmap n m 4096",
        "expect errno ENODEV",
        "exit other",
        "expect module inherited Live 0",
    ]);
    for at in [4, 7, 9, 11, 14, 16] {
        says(&said, at, "met");
        assert_eq!(said[at].1, ["met"], "{}", said[at].0);
    }
}

/// A module tree of two modules that are built into the program: one depends on the other, and a third has an alias.
fn tree() -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().expect("a directory");
    let release = "6.1.0-tree".to_owned();
    let kernel = root
        .path()
        .join("lib/modules")
        .join(&release)
        .join("kernel");
    std::fs::create_dir_all(&kernel).expect("directories");
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples-ko");
    for name in ["asked", "chain-base", "chain-middle", "chain-top"] {
        let file = format!("{name}.ko");
        std::fs::copy(examples.join(&file), kernel.join(&file)).expect("a copy");
    }
    let indexed = Command::new(env!("CARGO_BIN_EXE_lkm"))
        .args(["depmod", "-b"])
        .arg(root.path())
        .arg(&release)
        .status();
    assert!(indexed.expect("depmod").success());
    (root, release)
}

#[test]
fn a_request_is_served_from_a_tree_by_alias_and_with_dependencies() {
    let (root, release) = tree();
    let base = root.path().to_str().expect("a name");
    let lines = [
        "insmod asks.ko name=lkm-asked",
        "rmmod asks",
        "insmod asks.ko name=chain-top",
        "lsmod",
        "rmmod asks",
        "insmod asks.ko name=nobody-has-this",
        "mknod /dev/none c 60 3",
        "open /dev/none none",
        "helpers",
    ];
    let (status, said) = prompt_with(&["-b", base, "-k", &release, "--modules", base], &lines);
    assert_eq!(status, Some(0));
    says(&said, 0, "asked: here");
    says(&said, 0, "was answered 0");
    says(&said, 2, "was answered 0");
    says(&said, 3, "chain_base");
    // The users come after what they use, so above it in the list.
    let at = |name: &str| said[3].1.iter().position(|l| l.starts_with(name));
    assert!(at("chain_top") < at("chain_base"), "{:?}", said[3].1);
    says(&said, 5, "was answered 256");
    says(&said, 7, "ENXIO");
    says(&said, 8, "char-major-60-3");
    says(&said, 8, "\"char-major-60\"");
}

#[test]
fn a_tree_may_come_later() {
    let (root, release) = tree();
    let directory = root.path().join("lib/modules").join(release);
    let tree = format!("tree {}", directory.display());
    let lines = [
        "modprobe chain-top",
        &tree,
        "modprobe lkm-asked",
        "lsmod",
        "tree /nowhere",
    ];
    let (_, said) = prompt(&lines);
    says(&said, 1, "that tree");
    says(&said, 3, "asked");
    assert!(
        !said[3].1.iter().any(|l| l.contains("chain_base")),
        "{said:?}"
    );
}
