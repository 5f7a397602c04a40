//! Each case runs first with the installed kmod, then with ours, in a scratch
//! root that the test builds; output, messages and exit codes must be equal.
//!
//! Where these differ on purpose, `docs/undocumented-kmod-behavior.md` says
//! so, and the case is not here. Without an installed kmod there is nothing
//! to compare with: the tests then say so and pass.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../lkm-tree/tests/support/mod.rs"]
mod support;

use lkm_tree::fs::{Files, RealFiles};
use lkm_tree::index::Index;
use support::Module;

const OURS: &str = env!("CARGO_BIN_EXE_lkm-kmod");
const TOOLS: [&str; 6] = ["depmod", "modprobe", "modinfo", "insmod", "rmmod", "lsmod"];

fn kmod() -> Option<PathBuf> {
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
fn release() -> String {
    let out = Command::new("uname").arg("-r").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_string()
}

/// A scratch root, with both programs in it.
struct Root {
    dir: tempfile::TempDir,
    version: String,
}

impl Root {
    fn new(kmod: &Path) -> Root {
        let root = Root {
            dir: tempfile::tempdir().unwrap(),
            version: release(),
        };
        for (dir, program) in [("kmod", kmod), ("lkm", Path::new(OURS))] {
            fs::create_dir_all(root.path(dir)).unwrap();
            fs::copy(program, root.path(&format!("{dir}/program"))).unwrap();
            for tool in TOOLS {
                symlink("program", root.path(&format!("{dir}/{tool}"))).unwrap();
            }
        }
        root
    }

    fn path(&self, p: &str) -> PathBuf {
        self.dir.path().join(p.trim_start_matches('/'))
    }

    fn put(&self, p: &str, content: impl AsRef<[u8]>) {
        let path = self.path(p);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn module(&self, p: &str, m: &Module) {
        self.put(
            &format!("lib/modules/{}/kernel/{p}", self.version),
            m.build(),
        );
    }

    fn tree_file(&self, name: &str) -> PathBuf {
        self.path(&format!("lib/modules/{}/{name}", self.version))
    }

    /// A tree with dependencies, aliases, parameters and configuration.
    fn sample(kmod: &Path) -> Root {
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

    fn run(&self, whose: &str, tool: &str, args: &[&str]) -> String {
        let out = Command::new(self.path(&format!("{whose}/{tool}")))
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .output()
            .unwrap();
        self.show(whose, out)
    }

    fn show(&self, whose: &str, out: std::process::Output) -> String {
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

    fn same(&self, tool: &str, args: &[&str]) {
        let theirs = self.run("kmod", tool, args);
        let ours = self.run("lkm", tool, args);
        assert_eq!(theirs, ours, "{tool} {args:?}: kmod on the left");
    }

    /// In the scratch root as root directory, with a /proc and /sys of files.
    fn same_inside(&self, tool: &str, args: &[&str]) -> String {
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
    fn furnish(&self) -> bool {
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

fn dump(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let file = RealFiles.open(path.as_os_str().as_bytes()).unwrap();
    if file.stat().unwrap().size == 0 {
        return "empty".into();
    }
    let mut out = Vec::new();
    Index::open(file).unwrap().dump(&mut out, "").unwrap();
    String::from_utf8(out).unwrap()
}

const TEXTS: [&str; 5] = [
    "modules.dep",
    "modules.alias",
    "modules.softdep",
    "modules.symbols",
    "modules.devname",
];
const BINARIES: [&str; 5] = [
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.symbols.bin",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
];

#[test]
fn depmod_writes_what_kmod_writes() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let (root, version) = (r.dir.path().to_str().unwrap(), r.version.clone());
    let args = ["-b", root, &version[..]];
    let theirs = r.run("kmod", "depmod", &args);
    let read = |names: &[&str]| {
        names
            .iter()
            .map(|n| fs::read(r.tree_file(n)).unwrap())
            .collect()
    };
    let their_texts: Vec<Vec<u8>> = read(&TEXTS);
    let their_dumps: Vec<String> = BINARIES.iter().map(|n| dump(&r.tree_file(n))).collect();
    assert_eq!(theirs, r.run("lkm", "depmod", &args));
    for ((name, theirs), ours) in TEXTS.iter().zip(their_texts).zip(read(&TEXTS)) {
        assert_eq!(
            String::from_utf8_lossy(&theirs),
            String::from_utf8_lossy(&ours),
            "{name}"
        );
    }
    for (name, theirs) in BINARIES.iter().zip(their_dumps) {
        assert_eq!(theirs, dump(&r.tree_file(name)), "{name}");
    }
}

#[test]
fn depmod_options() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let root = r.dir.path().to_str().unwrap().to_string();
    let version = r.version.clone();
    r.put(
        "symvers",
        "0x1\tlkmt_nobody2\tvmlinux\tEXPORT_SYMBOL\nbad x vmlinux\n",
    );
    r.put("map", "c0 R __ksymtab_lkmt_nobody\nc1 T other\n");
    for args in [
        &["-e", "-E", "symvers"][..],
        &["-e", "-F", "map"],
        &["-E", "nowhere"],
        &["-e"],
        &["-w"],
        &["-P", "xx"],
    ] {
        r.same("depmod", &[args, &["-b", &root, &version]].concat());
    }
    for args in [
        &["zz"][..],
        &["-b", "/nowhere", "1.2.3"],
        &["--nonsense"],
        &["-b"],
        &["--basedi"],
        &["1.2.3", "relative.ko"],
        &["1.2.3", "/nowhere.ko"],
    ] {
        r.same("depmod", args);
    }
}

#[test]
fn depmod_decides_between_modules_of_one_name() {
    let Some(kmod) = kmod() else { return };
    for config in [
        "",
        "search extra updates built-in\n",
        "search built-in\n",
        "override lkmt_a * extra\n",
        "override lkmt_a ^[0-9]+\\. extra\n",
        "override lkmt_a 0.0.0 extra\n",
        "exclude updates\n",
        "search\nbad line\ninclude x\noverride a\n",
    ] {
        let r = Root::new(&kmod);
        let m = Module::new("lkmt_a").exports("lkmt_s").build();
        for dir in ["kernel", "updates", "extra"] {
            r.put(&format!("lib/modules/{}/{dir}/lkmt_a.ko", r.version), &m);
        }
        r.put("depmod.conf", config);
        let root = r.dir.path().to_str().unwrap().to_string();
        let version = r.version.clone();
        let file = format!("{root}/depmod.conf");
        let args = ["-C", &file, "-b", &root, &version];
        let theirs = r.run("kmod", "depmod", &args);
        let dep = fs::read(r.tree_file("modules.dep")).unwrap();
        assert_eq!(theirs, r.run("lkm", "depmod", &args), "{config}");
        assert_eq!(
            dep,
            fs::read(r.tree_file("modules.dep")).unwrap(),
            "{config}"
        );
    }
}

#[test]
fn modprobe_queries() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let root = r.dir.path().to_str().unwrap().to_string();
    let version = r.version.clone();
    r.run("kmod", "depmod", &["-b", &root, &version]);
    let config = r.path("etc/modprobe.d");
    let config = config.to_str().unwrap();
    let base = ["-C", config, "-d", &root, "-S", &version];
    let names = [
        "lkmt_a",
        "lkmt_b",
        "lkmt-b",
        "lkmt_c",
        "lkmt_d",
        "lkmt_e",
        "lkmt_in",
        "fs-lkmt",
        "lkmt-alias-1",
        "lkmt_alias_xyz",
        "lkmt-cmd",
        "lkmt_cmd",
        "lkmt_rm",
        "lkmt:bee",
        "lkmt-dash-5x",
        "lkmt_dash_x",
        "pci:v00001234d0sv0sd0bc03sc0i0",
        "symbol:lkmt_sym_b",
        "char-major-10-200",
        "nowhere",
        "bad]",
        "bad[",
        "",
    ];
    for n in names {
        for option in ["-R", "-D", "-nv"] {
            r.same("modprobe", &[&base[..], &[option, n]].concat());
        }
        r.same("modprobe", &[&base[..], &["-q", "-R", n]].concat());
        r.same("modprobe", &[&base[..], &["-b", "-D", n]].concat());
        r.same("modprobe", &[&base[..], &["-i", "-D", n]].concat());
        r.same(
            "modprobe",
            &[&base[..], &["-a", "-D", n, "lkmt_a"]].concat(),
        );
        r.same(
            "modprobe",
            &[&base[..], &["-D", n, "p=1", "q=a b", "r='x y'"]].concat(),
        );
        r.same("modprobe", &[&base[..], &["-r", "-nv", n]].concat());
    }
    for args in [
        &["-c"][..],
        &[],
        &["-r"],
        &["-w", "x", "a"],
        &["--wait"],
        &["--ver=3"],
        &["-Z"],
    ] {
        let theirs = r.run("kmod", "modprobe", &[&base[..], args].concat());
        let ours = r.run("lkm", "modprobe", &[&base[..], args].concat());
        // kmod writes `pre: apost: b`.
        let theirs = theirs.replace("lkmt_dpost:", "lkmt_d post:");
        assert_eq!(theirs, ours, "{args:?}");
    }
}

#[test]
fn modinfo_answers() {
    let Some(kmod) = kmod() else { return };
    let r = Root::sample(&kmod);
    let root = r.dir.path().to_str().unwrap().to_string();
    let version = r.version.clone();
    r.run("kmod", "depmod", &["-b", &root, &version]);
    r.put("garbage.ko", "this is not a module");
    r.put("tiny.ko", "x");
    r.put("half.ko", &Module::new("half").build()[..200]);
    let file = r.tree_file("kernel/lkmt_e.ko");
    let base = ["-b", &root[..], "-k", &version];
    for n in [
        "lkmt_a",
        "lkmt_e",
        "lkmt-b",
        "lkmt_in",
        "fs-lkmt",
        "pci:v00001234d0sv0sd0bc03sc0i0",
        "nowhere",
        "bad]",
        file.to_str().unwrap(),
        "garbage.ko",
        "tiny.ko",
        "half.ko",
        "none.ko",
    ] {
        for option in [
            "-a",
            "-d",
            "-l",
            "-p",
            "-n",
            "-0",
            "-Falias",
            "-Fnothing",
            "-Fname",
            "-Fparm",
        ] {
            r.same("modinfo", &[&base[..], &[option, n]].concat());
        }
        r.same("modinfo", &[&base[..], &[n]].concat());
    }
    r.same(
        "modinfo",
        &[&base[..], &["lkmt_a", "nowhere", "lkmt_d"]].concat(),
    );
    r.same("modinfo", &[]);
    r.same("modinfo", &["--filed"]);
}

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

/// depmod killed at any moment leaves each file as it was or as it will be.
#[test]
fn a_killed_depmod_leaves_whole_files() {
    let dir = tempfile::tempdir().unwrap();
    let modules = dir.path().join("lib/modules/1.2.3");
    fs::create_dir_all(modules.join("kernel")).unwrap();
    let many = |export: &str| {
        for i in 0..400 {
            let m = Module::new(&format!("m{i}")).exports(&format!("{export}{i}"));
            fs::write(modules.join(format!("kernel/m{i}.ko")), m.build()).unwrap();
        }
    };
    let depmod = || {
        let mut c = Command::new(OURS);
        c.args(["depmod", "-b"])
            .arg(dir.path())
            .arg("1.2.3")
            .stderr(std::process::Stdio::null());
        c
    };
    let names = [
        "modules.dep",
        "modules.symbols",
        "modules.symbols.bin",
        "modules.dep.bin",
    ];
    let contents = || names.map(|n| fs::read(modules.join(n)).unwrap());
    many("new_");
    assert!(depmod().status().unwrap().success());
    let new = contents();
    many("old_");
    let start = std::time::Instant::now();
    assert!(depmod().status().unwrap().success());
    let whole = start.elapsed();
    let old = contents();
    assert_ne!(old[1], new[1]);
    many("new_");
    for step in 0..40u32 {
        let mut child = depmod().spawn().unwrap();
        std::thread::sleep(whole * step / 32);
        // It may be done by then.
        let _ = child.kill();
        child.wait().unwrap();
        for (i, now) in contents().into_iter().enumerate() {
            assert!(now == old[i] || now == new[i], "{} is neither", names[i]);
        }
    }
    assert!(depmod().status().unwrap().success());
    assert_eq!(contents(), new);
    let left: Vec<_> = fs::read_dir(&modules)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with('.'))
        .collect();
    assert!(
        left.is_empty(),
        "temporary files of killed runs stay: {left:?}"
    );
}
