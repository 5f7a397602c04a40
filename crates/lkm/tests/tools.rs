//! The kmod tools as rows of the full program: by name after `lkm`, and by
//! symbolic link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

const LKM: &str = env!("CARGO_BIN_EXE_lkm");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

#[test]
fn each_tool_by_name_and_by_link() {
    let dir = tempfile::tempdir().unwrap();
    for tool in [
        "insmod", "rmmod", "modprobe", "lsmod", "modinfo", "depmod", "kmod",
    ] {
        let link = dir.path().join(tool);
        symlink(LKM, &link).unwrap();
        let by_name = run(Path::new(LKM), &[tool, "--help"]);
        let by_link = run(&link, &["--help"]);
        assert!(by_name.status.success(), "{tool}");
        assert!(text(&by_name.stdout).contains(&format!("Usage:\n\t{tool} ")));
        assert_eq!(text(&by_name.stdout), text(&by_link.stdout));
        // A usage error is the tool's own, by either way.
        for (program, args) in [(Path::new(LKM), &[tool, "-Z"][..]), (&link, &["-Z"])] {
            let out = run(program, args);
            assert_eq!(out.status.code(), Some(1), "{tool}");
            assert!(text(&out.stderr).contains("invalid option"), "{tool}");
        }
    }
}

#[test]
fn a_tree_is_indexed_and_asked() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("lib/modules/1.2.3");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("modules.order"), "").unwrap();
    fs::write(modules.join("modules.builtin"), "kernel/fs/thing.ko\n").unwrap();
    fs::write(
        modules.join("modules.builtin.modinfo"),
        "thing.license=GPL\0",
    )
    .unwrap();
    let base = dir.path().to_str().unwrap();
    let lkm = Path::new(LKM);
    let out = run(lkm, &["depmod", "-b", base, "1.2.3"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let root = ["-d", base, "-S", "1.2.3"];
    let out = run(lkm, &[&["modprobe"][..], &root, &["-D", "thing"]].concat());
    assert_eq!(text(&out.stdout), "builtin thing\n");
    let out = run(lkm, &[&["modprobe"][..], &root, &["nothing"]].concat());
    assert_eq!(out.status.code(), Some(1));
    let want = format!(
        "modprobe: FATAL: Module nothing not found in directory {base}/lib/modules/1.2.3\n"
    );
    assert_eq!(text(&out.stderr), want);
    let out = run(lkm, &["modinfo", "-b", base, "-k", "1.2.3", "thing"]);
    assert_eq!(
        text(&out.stdout),
        "name:           thing\nfilename:       (builtin)\nlicense:        GPL\n"
    );
}

#[test]
fn pages_and_completions_of_all_rows() {
    let lkm = Path::new(LKM);
    for row in ["modprobe", "depmod", "graph", "why", "rehearse"] {
        let page = text(&run(lkm, &["man", row]).stdout);
        assert!(
            page.starts_with(".TH ") && page.contains("\n.SH OPTIONS\n"),
            "{row}"
        );
    }
    assert_eq!(run(lkm, &["man", "nothing"]).status.code(), Some(2));
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(lkm, &["completions", shell]).stdout);
        assert!(
            script.contains("lkm") && script.contains("modprobe"),
            "{shell}"
        );
    }
    assert_eq!(run(lkm, &["completions", "tcsh"]).status.code(), Some(2));
}
