//! Whose layouts and versions a rehearsal takes, from the outside.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A stock module without debug information.
const HELLO: &[u8] = include_bytes!("../examples-ko/hello.ko");

fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).expect("a directory for the test");
    dir
}

/// The module as if it were built for another release, of the same length as its own.
fn built_for(release: &str) -> Vec<u8> {
    let at = HELLO
        .windows(9)
        .position(|w| w == b"vermagic=")
        .expect("a vermagic")
        + 9;
    let mut bytes = HELLO.to_vec();
    bytes[at..at + release.len()].copy_from_slice(release.as_bytes());
    bytes
}

fn rehearse(file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lkm"))
        .args(["rehearse", "--json", "--once"])
        .args(more)
        .arg(file)
        .output()
        .expect("lkm starts");
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_stock_module_has_the_built_in_layouts() {
    let file = directory("layouts-stock").join("hello.ko");
    std::fs::write(&file, HELLO).unwrap();
    let (code, report, _) = rehearse(&file, &[]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"clean".into()));
    let layouts = report["layouts"].as_str().unwrap();
    assert!(layouts.starts_with("built-in, of 6.1."), "{layouts}");
}

#[test]
fn a_kernel_of_which_nothing_is_known_is_refused() {
    let file = directory("layouts-unknown").join("hello.ko");
    std::fs::write(&file, built_for("5.9.0-")).unwrap();
    let (code, report, _) = rehearse(&file, &[]);
    assert_eq!((code, &report["verdict"]), (Some(2), &"refused".into()));
    let reason = report["reasons"][0].as_str().unwrap();
    assert!(reason.contains("no layouts for kernel 5.9.0-"), "{reason}");
}

#[test]
fn versions_come_from_a_symvers() {
    let dir = directory("layouts-symvers");
    let file = dir.join("hello.ko");
    std::fs::write(&file, HELLO).unwrap();
    let table = dir.join("Module.symvers");
    std::fs::write(
        &table,
        "0x00000001\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n",
    )
    .unwrap();
    let (_, report, _) = rehearse(&file, &["--symvers", table.to_str().unwrap()]);
    assert_eq!(report["result"]["load"], -8);
    let log = report["log"].to_string();
    let told = "hello: disagrees about version of symbol module_layout";
    assert!(log.contains(told), "{log}");
}

#[test]
fn what_is_no_image_is_refused() {
    let dir = directory("layouts-image");
    let file = dir.join("hello.ko");
    std::fs::write(&file, HELLO).unwrap();
    for bad in [dir.clone(), file.clone(), dir.join("none")] {
        let (code, report, told) = rehearse(&file, &["--vmlinux", bad.to_str().unwrap()]);
        assert_eq!(
            (code, &report),
            (Some(2), &Value::Null),
            "{}",
            bad.display()
        );
        assert!(told.contains(bad.to_str().unwrap()), "{told}");
    }
}
