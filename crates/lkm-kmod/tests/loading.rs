//! Loading and unloading, kmod's tools and ours side by side in a root with a
//! /proc and /sys of files; and how ours end when nobody reads or listens.

mod common;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use common::{OURS, Root, kmod};

/// A kernel of files: /proc/modules and /sys/module.
fn kernel_of_files(r: &Root) {
    r.put(
        "proc/modules",
        "lkmt_b 8192 1 lkmt_c, Live 0x0\nlkmt_c 4096 0 - Live 0x0\nlkmt_a 16384 2 lkmt_b, Live 0x0 (OE)\n\
         lkmt_a_name_longer_than_nineteen 1 0 - Live 0x0\nlkmt_d 1 3 - Live 0x0\n",
    );
    r.put(
        "proc/cmdline",
        "ro lkmt_e.n=5 lkmt_b.q=\"a b\" modprobe.blacklist=lkmt_d quiet\n",
    );
    for (name, size, count, holders) in [
        ("lkmt_b", 8192, 1, &["lkmt_c"][..]),
        ("lkmt_c", 4096, 0, &[]),
        ("lkmt_a", 16384, 2, &["lkmt_b"]),
        ("lkmt_a_name_longer_than_nineteen", 1, 0, &[]),
        ("lkmt_d", 1, 3, &[]),
    ] {
        let dir = format!("sys/module/{name}");
        r.put(&format!("{dir}/initstate"), "live\n");
        r.put(&format!("{dir}/refcnt"), format!("{count}\n"));
        r.put(&format!("{dir}/coresize"), format!("{size}\n"));
        fs::create_dir_all(r.path(&format!("{dir}/holders"))).unwrap();
        for h in holders {
            r.put(&format!("{dir}/holders/{h}"), "");
        }
    }
}

#[test]
fn loading_and_unloading() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    if !r.furnish() {
        return;
    }
    kernel_of_files(&r);
    r.same_inside("depmod", &[]);
    let list = r.same_inside("lsmod", &[]);
    assert!(
        list.contains("lkmt_a                 16384  2 lkmt_b\n"),
        "{list}"
    );
    for args in [
        &["lkmt_a"][..],
        &["lkmt_d"],
        &["nowhere"],
        &["lkmt_in"],
        &["lkmt-a", "nowhere", "lkmt_d"],
        &[],
    ] {
        r.same_inside("rmmod", args);
    }
    for args in [
        &["lkmt_a"][..],
        &["--first-time", "lkmt_a"],
        &["--first-time", "lkmt_in"],
        &["-a", "lkmt_a", "nowhere", "lkmt_in"],
        &["nowhere"],
        &["-q", "nowhere"],
        &["-r", "lkmt_d"],
        &["-r", "lkmt_in"],
        &["-r", "nowhere"],
        &["-r", "lkmt_e"],
        &["-r", "--first-time", "lkmt_e"],
        &["-r", "lkmt_d", "lkmt_e"],
        &["-r", "-q", "lkmt_d"],
        &["-r", "lkmt_rm"],
        &["-nv", "lkmt_c"],
        &["-c"],
        &["-D", "lkmt_c"],
        &["-b", "lkmt_e"],
        &["pci:v00001234d0sv0sd0bc03sc0i0", "-nv"],
        &["-v", "lkmt-cmd", "a=1"],
    ] {
        let inside = |whose: &str| {
            let out = Command::new("chroot")
                .arg(r.dir.path())
                .arg(format!("/{whose}/modprobe"))
                .args(args)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()
                .unwrap();
            r.show(whose, out).replace("lkmt_dpost:", "lkmt_d post:")
        };
        assert_eq!(inside("kmod"), inside("lkm"), "modprobe {args:?}");
    }
    r.put("garbage.ko", "this is not a module at all");
    for args in [
        &["/nowhere.ko"][..],
        &["-"],
        &[],
        &["/tmp"],
        &["-Z"],
        &["/etc"],
    ] {
        r.same_inside("insmod", args);
    }
}

/// A reader who has seen enough is no reason for a word, or for a failure that
/// anybody sees.
#[test]
fn a_reader_who_goes_away_is_not_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut conf = String::new();
    for i in 0..20_000 {
        conf += &format!("alias some-name-{i} module_{i}\n");
    }
    fs::write(dir.path().join("many.conf"), conf).unwrap();
    let mut child = Command::new(OURS)
        .args(["modprobe", "-S", "0.0.0", "-c", "-C"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"alias some");
    drop(out);
    let mut said = String::new();
    let mut err = child.stderr.take().unwrap();
    err.read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "");
}

/// A file that is opened must not get the number of a closed stream, and then
/// what is written to that.
#[test]
fn closed_streams_stay_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("lib/modules/1.2.3");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("modules.order"), "").unwrap();
    // It has warnings to give, and nowhere to.
    let out = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "exec {OURS} depmod -b {} 1.2.3 <&- >&- 2>&-",
            dir.path().display()
        ))
        .status()
        .unwrap();
    assert_eq!(out.code(), Some(0));
    assert_eq!(fs::read(modules.join("modules.dep")).unwrap(), b"");
    for e in fs::read_dir(&modules).unwrap() {
        let path = e.unwrap().path();
        let text = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("WARNING"), "{}: {text}", path.display());
    }
}

/// Two programs that speak at a time do not break each other's lines.
#[test]
fn a_message_is_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let status = Command::new(OURS)
        .args(["modprobe", "-S", "0.0.0-none", "lkmt_nowhere"])
        .stderr(OwnedFd::from(theirs))
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
    let mut message = [0; 1000];
    let n = ours.recv(&mut message).unwrap();
    let wanted =
        "modprobe: FATAL: Module lkmt_nowhere not found in directory /lib/modules/0.0.0-none\n";
    assert_eq!(String::from_utf8_lossy(&message[..n]), wanted);
}
