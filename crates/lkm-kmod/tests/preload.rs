//! A library that is preloaded stands in for the C library's calls: test suites
//! and fakeroot do that, and the small program is statically linked.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::OURS;
use common::support::Module;

const SHIM: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
int uname(struct utsname *u) { memset(u, 0, sizeof *u); strcpy(u->release, "9.9.9-preloaded"); return 0; }
int init_module(void *m, unsigned long n, const char *args) { printf("init_module %lu %s\n", n, args); fflush(stdout); return 0; }
int delete_module(const char *name, unsigned flags) { printf("delete_module %s\n", name); fflush(stdout); return 0; }
"#;

fn shim(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    fs::write(&source, SHIM).unwrap();
    let cc = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(cc.expect("cc, which Rust links with").success());
    library
}

fn run(program: &Path, args: &[&str], preload: &Path) -> (String, String) {
    let Output { stdout, stderr, .. } = Command::new(program)
        .args(args)
        .env("LD_PRELOAD", preload)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr))
}

#[test]
fn a_preloaded_library_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let shim = shim(dir.path());
    let module = dir.path().join("lkmt_one.ko");
    let bytes = Module::new("lkmt_one").build();
    fs::write(&module, &bytes).unwrap();
    let modprobe = dir.path().join("modprobe");
    symlink(OURS, &modprobe).unwrap();

    let (out, err) = run(&modprobe, &["lkmt_nowhere"], &shim);
    let wanted = "modprobe: FATAL: Module lkmt_nowhere not found in directory /lib/modules/9.9.9-preloaded\n";
    assert_eq!((out.as_str(), err.as_str()), ("", wanted));

    let args = ["insmod", module.to_str().unwrap(), "n=1"];
    let (out, err) = run(Path::new(OURS), &args, &shim);
    let wanted = format!("init_module {} n=1\n", bytes.len());
    assert_eq!((out.as_str(), err.as_str()), (wanted.as_str(), ""));
}

/// A copy without its sibling says that it cannot, where it cannot.
#[test]
fn what_is_not_preloaded_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let shim = shim(dir.path());
    let alone = dir.path().join("modprobe");
    fs::copy(OURS, &alone).unwrap();
    let (_, err) = run(&alone, &["lkmt_nowhere"], &shim);
    let used = err.contains("/lib/modules/9.9.9-preloaded");
    assert!(used != err.contains("LD_PRELOAD has no effect"), "{err}");
    assert!(err.contains("Module lkmt_nowhere not found"), "{err}");
    let (_, err) = run(&alone, &["lkmt_nowhere"], Path::new(""));
    assert!(!err.contains("LD_PRELOAD"), "{err}");
}
