//! Bad input from the command line: a clear sentence, exit status 2, no panic, and an end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than any of these needs; a hang is what it tells.
const LIMIT: Duration = Duration::from_secs(120);

/// Exit status, standard output and standard error.
fn lkm(args: &[&str]) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lkm"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let end = Instant::now() + LIMIT;
    while child.try_wait().expect("wait").is_none() {
        if Instant::now() > end {
            child.kill().expect("kill");
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let out = child.wait_with_output().expect("output");
    let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
    (
        out.status.code().expect("not killed by a signal"),
        text(out.stdout),
        text(out.stderr),
    )
}

/// Expects exit status 2 and a word in what is said.
#[track_caller]
fn told(args: &[&str], word: &str) {
    let (code, out, err) = lkm(args);
    let all = format!("{out}{err}");
    assert_eq!(code, 2, "{args:?}: {all}");
    assert!(all.contains(word), "{args:?}: {all}");
    assert!(!all.contains("panicked"), "{args:?}: {all}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }
}

/// A module that is built into the program.
fn hello() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples-ko/thread-gone.ko");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rehearse(path: &Path, word: &str) {
    told(&["rehearse", path.to_str().expect("a plain name")], word);
    told(
        &["rehearse", "--json", path.to_str().expect("a plain name")],
        word,
    );
}

#[test]
fn what_is_no_module_is_refused_in_the_kernels_words() {
    let folder = Folder::new();
    rehearse(&folder.file("empty.ko", b""), "ENOEXEC");
    rehearse(&folder.file("text.ko", b"hello, world\n"), "Invalid ELF");
    let module = hello();
    for part in [5, 63, 64, 1000, module.len() / 2, module.len() - 1] {
        let path = folder.file("cut.ko", &module[..part]);
        let (code, out, err) = lkm(&["rehearse", path.to_str().expect("plain")]);
        assert_eq!(code, 2, "{part}: {out}{err}");
        assert!(out.contains("refused with"), "{part}: {out}{err}");
    }
}

#[test]
fn another_machine_or_class_is_refused_with_the_reason() {
    let folder = Folder::new();
    let mut module = hello();
    module[18] = 183;
    rehearse(&folder.file("arm.ko", &module), "arm64");
    let mut module = hello();
    module[4] = 1;
    rehearse(&folder.file("narrow.ko", &module), "64-bit");
}

#[test]
fn impossible_headers_are_refused() {
    let folder = Folder::new();
    for (at, bytes) in [
        // e_shnum, e_shstrndx, e_shoff, e_shentsize
        (60, &[0xff, 0xff][..]),
        (62, &[0xff, 0xff]),
        (40, &[0xff; 8]),
        (58, &[1, 0]),
    ] {
        let mut module = hello();
        module[at..at + bytes.len()].copy_from_slice(bytes);
        let path = folder.file("broken.ko", &module);
        let (code, out, err) = lkm(&["rehearse", path.to_str().expect("plain")]);
        assert_eq!(code, 2, "{at}: {out}{err}");
        assert!(out.contains("ENOEXEC"), "{at}: {out}{err}");
    }
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = Folder::new();
    rehearse(folder.0.path(), "is a directory");
    rehearse(&folder.0.path().join("none.ko"), "No such file");
    rehearse(Path::new("/dev/zero"), "too large");
    told(&["rehearse"], "no module given");
    told(&["rehearse", "--profile", "9.9", "/dev/null"], "9.9");
    told(&["rehearse", "--cycles", "many", "/dev/null"], "many");
    told(&["rehearse", "--no-such-option"], "--no-such-option");
    told(&["rehearse", "--example", "nobody"], "nobody");
    told(&["no-such-command"], "no-such-command");
    told(&["explain", "no-such-rule"], "no-such-rule");
    told(&["lab", "/nonexistent/script"], "No such file");
}

#[test]
fn a_gigabyte_of_zeros_in_a_small_file_is_refused() {
    let folder = Folder::new();
    let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    let block = vec![0u8; 1 << 20];
    for _ in 0..1024 {
        packed.write_all(&block).expect("packed");
    }
    let packed = packed.finish().expect("packed");
    rehearse(&folder.file("bomb.ko.zst", &packed), "larger than");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_to_tell() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lkm"))
        .args(["rehearse", "--coverage"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("output");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}
