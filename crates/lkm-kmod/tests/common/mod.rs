//! A scratch root with both programs in it, for tests that run each case with
//! the installed kmod first, then with ours.

#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../../lkm-tree/tests/support/mod.rs"]
pub mod support;

use support::Module;

pub const OURS: &str = env!("CARGO_BIN_EXE_lkm-kmod");
const TOOLS: [&str; 6] = ["depmod", "modprobe", "modinfo", "insmod", "rmmod", "lsmod"];

/// The installed kmod.
pub fn kmod() -> Option<PathBuf> {
    let found = ["/usr/bin/kmod", "/bin/kmod", "/usr/sbin/kmod", "/sbin/kmod"]
        .into_iter()
        .map(PathBuf::from)
        .find(|p| p.exists());
    if found.is_none() {
        eprintln!("SKIPPED: no kmod is installed to compare with");
    }
    found
}

/// The release of the running kernel, which both ask for by themselves.
pub fn release() -> String {
    let out = Command::new("uname").arg("-r").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_string()
}

/// A scratch root, with both programs in it.
pub struct Root {
    pub dir: tempfile::TempDir,
    pub version: String,
}

impl Root {
    pub fn new(kmod: &Path) -> Root {
        let root = Root {
            dir: tempfile::tempdir().unwrap(),
            version: release(),
        };
        for (dir, program) in [("kmod", kmod), ("lkm", Path::new(OURS))] {
            fs::create_dir_all(root.path(dir)).unwrap();
            // Not by this process: a test that starts a program at that moment would
            // inherit the open file, and for as long it is "busy".
            let copy = root.path(&format!("{dir}/program"));
            let copied = Command::new("cp").args([program, &copy]).status().unwrap();
            assert!(copied.success());
            for tool in TOOLS {
                symlink("program", root.path(&format!("{dir}/{tool}"))).unwrap();
            }
        }
        root
    }

    pub fn path(&self, p: &str) -> PathBuf {
        self.dir.path().join(p.trim_start_matches('/'))
    }

    pub fn put(&self, p: &str, content: impl AsRef<[u8]>) {
        let path = self.path(p);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn module(&self, p: &str, m: &Module) {
        self.put(
            &format!("lib/modules/{}/kernel/{p}", self.version),
            m.build(),
        );
    }

    pub fn tree_file(&self, name: &str) -> PathBuf {
        self.path(&format!("lib/modules/{}/{name}", self.version))
    }

    /// A tree with dependencies, aliases, parameters and configuration.
    pub fn sample(kmod: &Path) -> Root {
        let r = Root::new(kmod);
        r.module(
            "lkmt_a.ko",
            &Module::new("lkmt_a")
                .exports("lkmt_sym_a")
                .exports("lkmt_sym_a2"),
        );
        r.module(
            "x/lkmt-b.ko",
            &Module::new("lkmt_b")
                .imports("lkmt_sym_a")
                .exports("lkmt_sym_b")
                .info("alias=lkmt:b*"),
        );
        r.module(
            "x/lkmt_c.ko",
            &Module::new("lkmt_c")
                .imports("lkmt_sym_b")
                .imports("lkmt_sym_a2")
                .imports("lkmt_nobody")
                .info("softdep=pre: lkmt_d post: lkmt_e")
                .info("alias=pci:v00001234d*sv*sd*bc03sc*i*")
                .info("alias=lkmt-dash-[0-9]*"),
        );
        r.module(
            "lkmt_d.ko",
            &Module::new("lkmt_d")
                .info("alias=char-major-10-200")
                .info("alias=devname:lkmt/tun")
                .info("weakdep=lkmt_e"),
        );
        r.module(
            "lkmt_e.ko",
            &Module::new("lkmt_e")
                .info("author=Somebody <s@example.org>")
                .info("description=For tests")
                .info("parmtype=n:int")
                .info("parm=n:how many: really")
                .info("parm=lone:no type")
                .info("parmtype=bare:charp")
                .info("alias=pci:v00001234d*sv*sd*bc03sc*i*"),
        );
        r.put(
            &format!("lib/modules/{}/modules.order", r.version),
            "kernel/lkmt_e.ko\nkernel/x/lkmt-b.ko\nkernel/gone.ko\n",
        );
        r.put(
            &format!("lib/modules/{}/modules.builtin", r.version),
            "kernel/fs/lkmt_in.ko\n",
        );
        r.put(
            &format!("lib/modules/{}/modules.builtin.modinfo", r.version),
            "lkmt_in.license=GPL\0lkmt_in.alias=fs-lkmt\0lkmt_in.parm=p:x\0lkmt_in.parmtype=p:int\0\
             other.alias=zz[\0",
        );
        r.put(
            "etc/modprobe.d/one.conf",
            "# comment\nalias lkmt-alias-* lkmt_b\noptions lkmt_b  x=1\ty=2\noptions lkmt_b z=3\n\
             blacklist lkmt_e\ninstall lkmt-cmd echo $CMDLINE_OPTS \\\n  more\nremove lkmt_rm echo r\n\
             nonsense here\nalias broken\nsoftdep lkmt_a pre: lkmt_d\noptions lkmt-alias-1 w=4\n",
        );
        r.put("run/modprobe.d/one.conf", "options lkmt_b hidden=1\n");
        r.put("lib/modprobe.d/two.conf", "install lkmt_two /bin/false\n");
        r
    }

    pub fn run(&self, whose: &str, tool: &str, args: &[&str]) -> String {
        let out = Command::new(self.path(&format!("{whose}/{tool}")))
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .output()
            .unwrap();
        self.show(whose, out)
    }

    pub fn show(&self, whose: &str, out: std::process::Output) -> String {
        let text = |b: &[u8]| {
            let s = String::from_utf8_lossy(b).into_owned();
            // Usage errors begin with the path the program was called by.
            let here = format!("{}/", self.path(whose).display());
            let s = s.replace(&here, "").replace(&format!("/{whose}/"), "");
            let id = format!("build-id={}\0", ["AB"; 20].join(":"));
            let s = s.replace(&id, "");
            let lines = s.lines().map(without_source_line);
            // kmod knows neither before version 35 and 33.
            lines
                .filter(|l| !l.starts_with("build-id:") && !l.starts_with("weakdep "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        format!(
            "{}\n--stderr--\n{}\n--{:?}",
            text(&out.stdout),
            text(&out.stderr),
            out.status.code()
        )
    }

    pub fn same(&self, tool: &str, args: &[&str]) {
        let theirs = self.run("kmod", tool, args);
        let ours = self.run("lkm", tool, args);
        assert_eq!(theirs, ours, "{tool} {args:?}: kmod on the left");
    }

    /// In the scratch root as root directory, with a /proc and /sys of files.
    pub fn same_inside(&self, tool: &str, args: &[&str]) -> String {
        let run = |whose: &str| {
            let out = Command::new("chroot")
                .arg(self.dir.path())
                .arg(format!("/{whose}/{tool}"))
                .args(args)
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()
                .unwrap();
            self.show(whose, out)
        };
        let theirs = run("kmod");
        assert_eq!(theirs, run("lkm"), "{tool} {args:?}: kmod on the left");
        theirs
    }

    /// Makes the scratch root fit for `chroot`; false when that cannot be.
    pub fn furnish(&self) -> bool {
        let uid = Command::new("id").arg("-u").output().unwrap();
        if uid.stdout != b"0\n" {
            eprintln!("SKIPPED: chroot needs root");
            return false;
        }
        for program in ["kmod/program", "lkm/program"] {
            let out = Command::new("ldd")
                .arg(self.path(program))
                .output()
                .unwrap();
            for word in String::from_utf8_lossy(&out.stdout).split_whitespace() {
                if word.starts_with('/') && !self.path(word).exists() {
                    self.put(word, fs::read(word).unwrap());
                    let mode = fs::metadata(word).unwrap().permissions();
                    fs::set_permissions(self.path(word), mode).unwrap();
                }
            }
        }
        let out = Command::new("chroot")
            .arg(self.dir.path())
            .arg("/lkm/lsmod")
            .arg("-V")
            .output();
        let works = out.is_ok_and(|o| o.status.success());
        if !works {
            eprintln!("SKIPPED: chroot does not work here");
        }
        works
    }
}

/// Debug builds of kmod name the source line of each message.
fn without_source_line(line: &str) -> String {
    if let Some((before, rest)) = line.split_once("../libkmod/")
        && let Some((_, rest)) = rest.split_once(' ')
    {
        // `fn: text` of libkmod itself, `fn() text` of the tools.
        return match rest.split_once("() ") {
            Some((_, text)) => format!("{before}{text}"),
            None => format!("{}: {rest}", before.trim_end().trim_end_matches(':')),
        };
    }
    line.to_string()
}
