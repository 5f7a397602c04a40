//! Pipes: as files that the user names, where both programs read what comes,
//! the installed kmod first; and left lying in a tree or among configuration
//! files, where ours must not wait for a writer.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Root, kmod};

/// What a tool says to a file that `cat` writes to its standard input.
fn piped(r: &Root, whose: &str, file: &str, tool: &str, args: &[&str]) -> String {
    let out = Command::new("sh")
        .args(["-c", "cat \"$0\" | \"$@\""])
        .arg(r.path(file))
        .arg(r.path(&format!("{whose}/{tool}")))
        .args(args)
        .current_dir(r.dir.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    r.show(whose, out)
}

#[test]
fn files_that_are_named_may_be_pipes() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let root = r.dir.path().to_str().unwrap();
    r.put(
        "symvers",
        "0x1\tlkmt_nobody2\tvmlinux\tEXPORT_SYMBOL\nbad x vmlinux\tE\n",
    );
    // More than a pipe holds at once.
    let lines = |i: u32| format!("c{i:x} R __ksymtab_lkmt_other{i}\n");
    let map: String = (0..10_000).map(lines).collect();
    r.put("map", map + "c0 R __ksymtab_lkmt_nobody\n");
    r.put("some.conf", "options lkmt_d piped=1\n");
    let version = &r.version[..];
    for (file, tool, args, word, is_said) in [
        (
            "symvers",
            "depmod",
            &["-b", root, "-e", "-E", "/dev/stdin", version][..],
            "unknown symbol lkmt_nobody",
            true,
        ),
        (
            "map",
            "depmod",
            &["-b", root, "-e", "-F", "/dev/stdin", version],
            "unknown",
            false,
        ),
        (
            "some.conf",
            "modprobe",
            &["-d", root, "-C", "/dev/stdin", "-D", "lkmt_d"],
            "piped=1",
            true,
        ),
    ] {
        let theirs = piped(&r, "kmod", file, tool, args);
        let ours = piped(&r, "lkm", file, tool, args);
        assert_eq!(theirs, ours, "{tool} {args:?}: kmod on the left");
        assert_eq!(ours.contains(word), is_said, "{ours}");
    }
}

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Ours, stopped when it waits.
fn ours(r: &Root, tool: &str, args: &[&str]) -> (String, Option<i32>) {
    let out = Command::new("timeout")
        .arg("60")
        .arg(r.path(&format!("lkm/{tool}")))
        .args(args)
        .env_clear()
        .output()
        .unwrap();
    let text = [out.stdout, out.stderr].concat();
    (
        String::from_utf8_lossy(&text).into_owned(),
        out.status.code(),
    )
}

#[test]
fn pipes_in_the_way_are_not_waited_for() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let root = r.dir.path().to_str().unwrap();
    let version = &r.version[..];
    let modprobe = |config: &str, name: &str| {
        let config = r.path(config);
        let args = ["-d", root, "-C", config.to_str().unwrap(), "-D", name];
        ours(&r, "modprobe", &args)
    };
    let depmod = || ours(&r, "depmod", &["-b", root, version]);
    assert_eq!(depmod().1, Some(0));

    r.put("conf.d/a.conf", "options lkmt_d a=1\n");
    fifo(&r.path("conf.d/b.conf"));
    let (said, code) = modprobe("conf.d", "lkmt_d");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("lkmt_d.ko a=1") && said.contains("Not a file: "),
        "{said}"
    );

    fifo(&r.tree_file("modules.softdep"));
    fifo(&r.tree_file("modules.builtin.bin"));
    assert_eq!(modprobe("nowhere", "lkmt_d").1, Some(0));
    fifo(&r.tree_file("modules.dep.bin"));
    let (said, code) = modprobe("nowhere", "lkmt_d");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not found"), "{said}");

    // depmod replaces indexes whatever they are; sources it reads as empty.
    for source in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        fifo(&r.tree_file(source));
    }
    fifo(&r.tree_file("kernel/lkmt_f.ko"));
    let (said, code) = depmod();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(modprobe("nowhere", "lkmt_d").1, Some(0));
    let (said, code) = ours(&r, "modinfo", &["-b", root, "lkmt_in"]);
    assert_eq!(code, Some(1), "{said}");
    let file = r.tree_file("kernel/lkmt_f.ko");
    let (said, code) = ours(&r, "insmod", &[file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
}
