//! depmod that is killed, or whose disk is full, leaves each file as it was or
//! as it was to be.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::OURS;
use common::support::{Module, Random};

const NAMES: [&str; 4] = [
    "modules.dep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.dep.bin",
];

/// A tree whose modules export `export` names.
fn many(modules: &Path, count: u32, export: &str) {
    fs::create_dir_all(modules.join("kernel")).unwrap();
    for i in 0..count {
        let m = Module::new(&format!("m{i}")).exports(&format!("{export}{i}"));
        fs::write(modules.join(format!("kernel/m{i}.ko")), m.build()).unwrap();
    }
}

fn contents(modules: &Path) -> [Vec<u8>; 4] {
    NAMES.map(|n| fs::read(modules.join(n)).unwrap())
}

fn depmod(base: &Path) -> Command {
    let mut c = Command::new(OURS);
    c.args(["depmod", "-b"])
        .arg(base)
        .arg("1.2.3")
        .stderr(std::process::Stdio::null());
    c
}

fn leftovers(modules: &Path) -> Vec<PathBuf> {
    fs::read_dir(modules)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with('.'))
        .collect()
}

#[test]
fn a_killed_depmod_leaves_whole_files() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("lib/modules/1.2.3");
    let depmod = || depmod(dir.path());
    many(&modules, 150, "new_");
    assert!(depmod().status().unwrap().success());
    let new = contents(&modules);
    many(&modules, 150, "old_");
    let start = std::time::Instant::now();
    assert!(depmod().status().unwrap().success());
    let whole = start.elapsed();
    let old = contents(&modules);
    assert_ne!(old[1], new[1]);
    many(&modules, 150, "new_");
    let mut random = Random::new(1);
    for _ in 0..100 {
        let mut child = depmod().spawn().unwrap();
        std::thread::sleep(whole * random.below(1000) / 800);
        // It may be done by then.
        let _ = child.kill();
        child.wait().unwrap();
        for (i, now) in contents(&modules).into_iter().enumerate() {
            assert!(now == old[i] || now == new[i], "{} is neither", NAMES[i]);
        }
    }
    assert!(depmod().status().unwrap().success());
    assert_eq!(contents(&modules), new);
    let left = leftovers(&modules);
    assert!(
        left.is_empty(),
        "temporary files of killed runs stay: {left:?}"
    );
}

/// A small file system, gone with the value.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Tmpfs> {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(at)
            .output();
        if !done.is_ok_and(|o| o.status.success()) {
            eprintln!("SKIPPED: a file system can be mounted by root only");
            return None;
        }
        Some(Tmpfs(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Nothing else can be done about it here.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_old_files() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path(), "3m") else {
        return;
    };
    let modules = dir.path().join("lib/modules/1.2.3");
    many(&modules, 200, "old_");
    assert!(depmod(dir.path()).status().unwrap().success());
    let old = contents(&modules);
    // Names long enough that the new files are larger than what is left.
    many(&modules, 200, &"new_".repeat(40));
    let filler = dir.path().join("filler");
    let mut sizes_seen = [false; 2];
    for left in [0usize, 1, 8, 20, 40, 80, 160, 320] {
        let _ = fs::remove_file(&filler);
        // Full but for some pages.
        let _ = fs::write(&filler, vec![0; 4 << 20]);
        let full = fs::metadata(&filler).unwrap().len() as usize;
        let some = fs::OpenOptions::new().write(true).open(&filler).unwrap();
        some.set_len(full.saturating_sub(left * 4096) as u64)
            .unwrap();
        drop(some);
        let out = depmod(dir.path())
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() {
            sizes_seen[1] = true;
            assert_ne!(contents(&modules), old);
            break;
        }
        sizes_seen[0] = true;
        assert_eq!(out.status.code(), Some(1));
        assert!(err.contains("No space left on device"), "{err}");
        assert_eq!(contents(&modules), old, "{left} pages left");
        assert_eq!(leftovers(&modules), Vec::<PathBuf>::new());
    }
    assert_eq!(sizes_seen, [true, true], "failed first, and then not");
}
