//! depmod on trees that are damaged, looped, huge, or on a disk that is full.

#[path = "support/mod.rs"]
mod support;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use lkm_tree::depmod::facts;
use lkm_tree::depmod::output::File;
use lkm_tree::depmod::publish::{PublishError, publish};
use lkm_tree::errno::Errno;
use lkm_tree::fs::{Entry, Files, OpenDir, OpenFile, Stat};
use lkm_tree::fs_memory::{MemoryFile, MemoryFiles};
use support::Module;
use world::{FakeHost, FakeKernel, run};

fn depmod(fs: &MemoryFiles, args: &str) -> (String, String, i32) {
    run(
        fs,
        &FakeKernel::default(),
        &FakeHost::default(),
        &format!("depmod {args}"),
    )
}

fn read(fs: &MemoryFiles, name: &str) -> String {
    let bytes = fs
        .read(format!("/lib/modules/1.2.3/{name}").as_bytes(), 1 << 30)
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn put(fs: &MemoryFiles, name: &str, m: Vec<u8>) {
    fs.put(&format!("/lib/modules/1.2.3/{name}.ko"), m);
}

#[test]
fn a_damaged_module_costs_only_itself() {
    let fs = MemoryFiles::new();
    put(&fs, "good", Module::new("good").exports("s").build());
    put(&fs, "user", Module::new("user").imports("s").build());
    let mut bad = Module::new("bad").build();
    // The section name table's index, out of range.
    bad[62] = 0xff;
    put(&fs, "bad", bad);
    put(&fs, "empty", Vec::new());
    put(&fs, "text", b"no module at all".to_vec());
    let half = Module::new("half").build();
    put(&fs, "half", half[..half.len() / 2].to_vec());
    let (_, err, code) = depmod(&fs, "-a");
    assert_eq!(code, 1);
    for name in ["bad", "empty", "text", "half"] {
        let told =
            format!("depmod: ERROR: failed to load symbols from /lib/modules/1.2.3/{name}.ko: ");
        assert!(err.contains(&told), "{name}: {err}");
    }
    let dep = read(&fs, "modules.dep");
    let mut lines: Vec<&str> = dep.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["good.ko:", "user.ko: good.ko"]);
}

#[test]
fn loops_are_named_and_nothing_is_written() {
    let fs = MemoryFiles::new();
    put(
        &fs,
        "a",
        Module::new("a").exports("sa").imports("sb").build(),
    );
    put(
        &fs,
        "b",
        Module::new("b").exports("sb").imports("sa").build(),
    );
    let (_, err, code) = depmod(&fs, "-a");
    assert_eq!(code, 1);
    assert!(
        err.contains("Found 2 modules in dependency cycles!"),
        "{err}"
    );
    assert!(fs.stat(b"/lib/modules/1.2.3/modules.dep").is_err());
}

#[test]
fn as_many_modules_as_there_may_be() {
    let fs = MemoryFiles::new();
    let count = 65_534;
    for i in 0..count {
        let mut m = Module::default().exports(&format!("s{i}"));
        if i > 0 && i % 100 != 0 {
            m = m.imports(&format!("s{}", i - 1));
        }
        put(&fs, &format!("d{}/m{i}", i % 50), m.build());
    }
    let (_, err, code) = depmod(&fs, "-a");
    assert_eq!(code, 0, "{err}");
    assert_eq!(read(&fs, "modules.dep").lines().count(), count);
    put(&fs, "one_more", Module::default().build());
    let (_, err, code) = depmod(&fs, "-a");
    assert_eq!(code, 1);
    assert!(err.contains("FATAL: could not build module array"), "{err}");
}

#[test]
fn names_at_the_limits() {
    let fs = MemoryFiles::new();
    let long = "x".repeat(248);
    put(
        &fs,
        &long,
        Module::default()
            .info(&format!("alias={}", "a".repeat(5000)))
            .build(),
    );
    put(
        &fs,
        "odd",
        Module::default()
            .info("alias=b[")
            .info("alias=\u{e4}")
            .build(),
    );
    let (_, err, code) = depmod(&fs, "-a");
    assert!(err.contains("WARNING: Unmatched bracket in b["), "{err}");
    assert!(err.contains("only 7-bit ASCII is supported"), "{err}");
    assert_eq!(code, 1);
    assert!(read(&fs, "modules.dep").contains(&long));
}

#[test]
fn a_second_run_remembers_the_first() {
    let fs = MemoryFiles::new();
    put(&fs, "a", Module::new("a").exports("sa").build());
    put(
        &fs,
        "b",
        Module::new("b").imports("sa").info("alias=x").build(),
    );
    assert_eq!(depmod(&fs, "--incremental").2, 0);
    let names = [
        "modules.dep",
        "modules.alias",
        "modules.symbols",
        "modules.dep.bin",
    ];
    let first: Vec<String> = names.iter().map(|n| read(&fs, n)).collect();
    assert!(!read(&fs, "modules.lkm-cache").is_empty());
    assert_eq!(depmod(&fs, "-a").2, 0);
    assert_eq!(first, names.map(|n| read(&fs, n)));
    // A changed module is another file.
    put(&fs, "b", Module::new("b").info("alias=y").build());
    assert_eq!(depmod(&fs, "-a").2, 0);
    let incremental: Vec<String> = names.iter().map(|n| read(&fs, n)).collect();
    assert_eq!(depmod(&fs, "--no-incremental").2, 0);
    assert_eq!(incremental, names.map(|n| read(&fs, n)));
    assert!(incremental[1].contains("alias y b") && incremental[0].contains("b.ko:\n"));
    assert!(fs.stat(b"/lib/modules/1.2.3/modules.lkm-cache").is_err());
}

/// A disk that becomes full.
struct FullDisk {
    inner: Box<dyn OpenDir>,
    left: AtomicUsize,
}

impl OpenDir for FullDisk {
    fn entries(&self) -> Result<Vec<Entry>, Errno> {
        self.inner.entries()
    }

    fn dir(&self, name: &[u8]) -> Result<Box<dyn OpenDir>, Errno> {
        self.inner.dir(name)
    }

    fn file(&self, name: &[u8]) -> Result<Box<dyn OpenFile>, Errno> {
        self.inner.file(name)
    }

    fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        self.inner.stat(name)
    }

    fn own_stat(&self) -> Result<Stat, Errno> {
        self.inner.own_stat()
    }

    fn touch(&self, name: &[u8]) -> Result<(), Errno> {
        self.inner.touch(name)
    }

    fn sync_file(&self, name: &[u8]) -> Result<(), Errno> {
        self.inner.sync_file(name)
    }

    fn create_temporary(&self, content: &[&[u8]], mode: u32) -> Result<Vec<u8>, Errno> {
        let left = self.left.load(Ordering::Relaxed);
        match left.checked_sub(content.concat().len()) {
            None => Err(Errno::ENOSPC),
            Some(rest) => {
                self.left.store(rest, Ordering::Relaxed);
                self.inner.create_temporary(content, mode)
            }
        }
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        self.inner.remove(name)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.inner.sync()
    }
}

#[test]
fn a_full_disk_leaves_the_old_files() {
    let fs = MemoryFiles::new();
    fs.put("/d/one", "old1");
    fs.put("/d/two", "old2");
    let file = |name, content: &str| File {
        name,
        content: content.into(),
        text: true,
    };
    let new = [file("one", "new content"), file("two", "more new content")];
    for left in 0..40 {
        let inner = fs.open_dir(b"/d").unwrap();
        let dir = FullDisk {
            inner,
            left: AtomicUsize::new(left),
        };
        let done = publish(&dir, &new);
        let names: Vec<Vec<u8>> = dir.entries().unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(
            names,
            [b"one".to_vec(), b"two".to_vec()],
            "nothing else is left lying"
        );
        let read = |n: &str| fs.read(format!("/d/{n}").as_bytes(), 100).unwrap();
        if left < 27 {
            assert!(
                matches!(done, Err(PublishError::Write(_, Errno::ENOSPC))),
                "{left}"
            );
            assert_eq!(
                (read("one"), read("two")),
                (b"old1".to_vec(), b"old2".to_vec())
            );
        } else {
            assert_eq!(done, Ok(()));
            assert_eq!(read("one"), b"new content");
        }
    }
}

/// Every byte of a small module, changed in several ways: facts or an error.
#[test]
fn mutations_of_a_module() {
    let sound = Module::new("m")
        .exports("a")
        .exports("b")
        .imports("c")
        .info("alias=x")
        .build();
    let try_it = |bytes: Vec<u8>| {
        let _ = facts::from_image(&bytes, true);
        let file = MemoryFile::new(bytes);
        let _ = facts::read(&file, false);
        let _ = lkm_tree::modinfo::read(&file);
    };
    for at in 0..sound.len() {
        for value in [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            sound[at].wrapping_add(1),
            sound[at] ^ 0x20,
        ] {
            let mut bytes = sound.clone();
            bytes[at] = value;
            try_it(bytes);
        }
        try_it(sound[..at].to_vec());
    }
    // Large numbers in every word.
    for at in (0..sound.len() - 8).step_by(4) {
        for value in [u64::MAX, 1 << 62, 1 << 32, 0xffff_fff0] {
            let mut bytes = sound.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            try_it(bytes);
        }
    }
}

/// Configuration that was shuffled: complaints, never a panic.
#[test]
fn mutations_of_configuration() {
    use lkm_tree::config::depmod::DepmodConfig;
    use lkm_tree::config::{Config, cmdline};
    let words: Vec<&[u8]> = vec![
        b"alias",
        b"options",
        b"install",
        b"softdep",
        b"pre:",
        b"post:",
        b"deny",
        b"allow",
        b"search",
        b"override",
        b"external",
        b"*",
        b"[a-",
        b"a]b",
        b"\\",
        b"\n",
        b"\t",
        b" ",
        b"\"",
        b"a.b=c",
        b"=",
        b".",
        b"\xff\xfe",
        b"\0",
        b"#",
        b"modprobe.blacklist=,",
        b"(((",
        b"{9,",
        b"directory",
    ];
    // A small generator of its own, so that a failure can be repeated.
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..next() % 24 {
            text.extend_from_slice(words[(next() % words.len() as u64) as usize]);
            if next() % 3 == 0 {
                text.push(b' ');
            }
        }
        let mut c = Config::default();
        c.parse(b"f", &text);
        cmdline::parse(&text, &mut c);
        let _ = (c.softdeps_of(b"a"), c.install_command(b"a"), c.denied(b"a"));
        DepmodConfig::default().parse(b"f", &text, b"6.1.0");
    }
}
