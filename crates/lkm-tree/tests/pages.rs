//! Manual pages as the formatters judge them, and completions in the shells
//! that they are for. What is not installed is skipped, and said so.

use std::io::Write;
use std::process::{Command, Stdio};

use lkm_tree::args::Tool;
use lkm_tree::docs;
use lkm_tree::tools::TOOLS;

/// What a program says to an input; none when it is not installed.
fn say(program: &str, args: &[&str], input: &str) -> Option<String> {
    let child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: no {program}");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // One that does not read to the end has said what it has to say.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn manual_pages_are_formatted_without_a_warning() {
    for applet in TOOLS {
        let page = docs::man(&applet.tool);
        let name = applet.tool.name;
        if let Some(said) = say("mandoc", &["-T", "lint", "-W", "warning"], &page) {
            assert_eq!(said, "", "mandoc on {name}");
        }
        let args = ["-man", "-ww", "-Tutf8", "-z"];
        if let Some(said) = say("groff", &args, &page) {
            assert_eq!(said, "", "groff on {name}");
        }
    }
}

fn script(shell: &str) -> String {
    let tools: Vec<&Tool> = TOOLS.into_iter().map(|a| &a.tool).collect();
    docs::completions(&tools, shell).unwrap()
}

#[test]
fn bash_completes() {
    let ask = "\nCOMP_WORDS=(modprobe --show-d)\nCOMP_CWORD=1\n_lkm_modprobe\necho \"${COMPREPLY[@]}\"\n\
               COMP_WORDS=(depmod -)\n_lkm_depmod\necho \"${COMPREPLY[@]}\"\n";
    let Some(said) = say("bash", &["--norc"], &(script("bash") + ask)) else {
        return;
    };
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("--show-depends"));
    assert!(
        lines.next().is_some_and(|l| l.contains("--incremental")),
        "{said}"
    );
    assert_eq!(lines.next(), None, "{said}");
}

#[test]
fn bash_completes_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("x.ko"), "").unwrap();
    for (words, expected) in [
        ("lsmod --sort u", "used".to_string()),
        ("modinfo -F lic", "license".to_string()),
        ("kmod st", "static-nodes".to_string()),
        (&format!("modinfo {path}/"), format!("{path}/x.ko")),
        (&format!("modprobe -r {path}/"), format!("{path}/x.ko")),
    ] {
        let tool = words.split(' ').next().unwrap();
        let last = words.split(' ').count() - 1;
        let ask = format!(
            "\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n_lkm_{tool}\necho \"${{COMPREPLY[@]}}\"\n"
        );
        let Some(said) = say("bash", &["--norc"], &(script("bash") + &ask)) else {
            return;
        };
        assert_eq!(said.trim(), expected, "{words}");
    }
}

/// What is loaded is offered where something is to be removed, and only there.
#[test]
fn bash_knows_removal_from_loading() {
    // In place of what reads /proc/modules and the tree.
    let ask = "\ncut() { echo loaded_one; }\nfind() { echo in_tree.ko; }\n\
               ask() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _lkm_modprobe; echo \"$* ${COMPREPLY[@]}\"; }\n\
               ask modprobe -r ''\nask modprobe -vr ''\nask modprobe --remove-holders ''\n\
               ask modprobe -v ''\nask modprobe --dirname=r ''\n";
    let Some(said) = say("bash", &["--norc"], &(script("bash") + ask)) else {
        return;
    };
    let last: Vec<&str> = said
        .lines()
        .filter_map(|l| l.split(' ').next_back())
        .collect();
    assert_eq!(
        last,
        [
            "loaded_one",
            "loaded_one",
            "loaded_one",
            "in_tree",
            "in_tree"
        ],
        "{said}"
    );
}

#[test]
fn fish_completes() {
    let ask = "\ncomplete -C 'modprobe --show-exp'\ncomplete -C 'lsmod --so'\ncomplete -C 'lsmod --sort us'\n";
    let Some(said) = say("fish", &["--no-config"], &(script("fish") + ask)) else {
        return;
    };
    let options: Vec<&str> = said.lines().filter_map(|l| l.split('\t').next()).collect();
    // fish brings completions of its own for some of the tools.
    assert!(options.contains(&"--show-exports"), "{said}");
    assert!(options.contains(&"--sort"), "{said}");
    assert!(options.contains(&"used"), "{said}");
}

#[test]
fn zsh_completes() {
    // A completion function runs inside the line editor only, so what it hands
    // to `_arguments` is looked at: every specification must be one.
    let ask = "service=modprobe\n_arguments() { for a in \"$@\"; do [[ $a == -s || $a == \\** || \
               $a == -*\\[*\\]* ]] || echo \"bad: $a\"; done; echo $#; }\n";
    let Some(said) = say("zsh", &["-f"], &format!("{ask}{}", script("zsh"))) else {
        return;
    };
    let count: usize = said.trim().parse().unwrap_or_else(|_| panic!("{said}"));
    assert!(count > 30, "{said}");
}
