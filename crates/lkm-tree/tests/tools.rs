//! The tools in a made-up world: a tree in memory and a kernel that loads
//! everything. What kmod does too is compared with kmod elsewhere; here is
//! what needs a kernel that does as it is told, and what only ours do.

#[path = "support/mod.rs"]
mod support;
#[path = "support/world.rs"]
mod world;

use lkm_tree::errno::Errno;
use lkm_tree::fs_memory::MemoryFiles;
use lkm_tree::kernel::Compression;
use support::Module;
use world::{FakeHost, FakeKernel, run};

fn put(fs: &MemoryFiles, name: &str, m: &Module) {
    fs.put(&format!("/lib/modules/1.2.3/kernel/{name}.ko"), m.build());
}

/// a <- b <- c; c has soft dependencies d (before) and e (after).
fn tree() -> MemoryFiles {
    let fs = MemoryFiles::new();
    put(&fs, "a", &Module::new("a").exports("sa"));
    put(&fs, "b", &Module::new("b").imports("sa").exports("sb"));
    put(
        &fs,
        "c",
        &Module::new("c")
            .imports("sb")
            .info("softdep=pre: d post: e")
            .info("alias=x:*"),
    );
    put(&fs, "d", &Module::new("d"));
    put(&fs, "e", &Module::new("e"));
    fs.put("/lib/modules/1.2.3/modules.order", "");
    fs.put("/lib/modules/1.2.3/modules.builtin", "");
    fs.put("/lib/modules/1.2.3/modules.builtin.modinfo", "");
    let done = run(
        &fs,
        &FakeKernel::default(),
        &FakeHost::default(),
        "depmod -a",
    );
    assert_eq!(done, (String::new(), String::new(), 0));
    fs
}

fn config(fs: &MemoryFiles, text: &str) {
    fs.put("/etc/modprobe.d/t.conf", text);
}

fn modprobe(fs: &MemoryFiles, kernel: &FakeKernel, line: &str) -> (String, String, i32) {
    run(
        fs,
        kernel,
        &FakeHost::default(),
        &format!("modprobe {line}"),
    )
}

fn log(kernel: &FakeKernel) -> Vec<String> {
    kernel.log.borrow().clone()
}

#[test]
fn loads_what_is_needed_in_order() {
    let (fs, k) = (tree(), FakeKernel::default());
    config(&fs, "options c one=1\n");
    assert_eq!(
        modprobe(&fs, &k, "c two=2"),
        (String::new(), String::new(), 0)
    );
    assert_eq!(
        log(&k),
        [
            "finit a",
            "finit b",
            "finit d",
            "finit c one=1 two=2",
            "finit e"
        ]
    );
    // Loaded is loaded.
    assert_eq!(modprobe(&fs, &k, "c").2, 0);
    assert_eq!(log(&k).len(), 5);
    let (_, err, code) = modprobe(&fs, &k, "--first-time c");
    assert_eq!(
        (err.as_str(), code),
        (
            "modprobe: ERROR: could not insert 'c': Module already in kernel\n",
            1
        )
    );
}

#[test]
fn removes_what_is_no_longer_needed() {
    let (fs, k) = (tree(), FakeKernel::default());
    modprobe(&fs, &k, "c");
    k.log.borrow_mut().clear();
    assert_eq!(modprobe(&fs, &k, "-r c"), (String::new(), String::new(), 0));
    assert_eq!(
        log(&k),
        ["delete e", "delete c", "delete a", "delete b", "delete d"]
    );
}

#[test]
fn says_who_holds_a_module() {
    let (fs, k) = (tree(), FakeKernel::default());
    k.modules.borrow_mut().push(("a".into(), 2));
    let (_, err, code) = modprobe(&fs, &k, "-r a");
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "modprobe: FATAL: Module a is in use.\nmodprobe: a: held by the test\n"
    );
    let (_, err, _) = run(&fs, &k, &FakeHost::default(), "rmmod a");
    assert_eq!(
        err,
        "rmmod: ERROR: Module a is in use\nrmmod: a: held by the test\n"
    );
    let (_, err, code) = modprobe(&fs, &k, "-q -r a");
    assert_eq!((err.as_str(), code), ("", 1));
}

#[test]
fn waits_as_long_as_it_was_told() {
    let (fs, k) = (tree(), FakeKernel::default());
    k.modules.borrow_mut().push(("a".into(), 1));
    let host = FakeHost::default();
    let (_, err, code) = run(&fs, &k, &host, "modprobe -r -w 250 a");
    assert_eq!(code, 1);
    assert!(
        err.starts_with(
            "modprobe: ERROR: could not remove 'a': Resource temporarily unavailable\n"
        ),
        "{err}"
    );
    assert_eq!(*host.time.borrow(), 250);
}

#[test]
fn denied_is_denied_by_every_way() {
    let fs = tree();
    config(&fs, "deny b bad for you\n");
    let why = "modprobe: ERROR: module 'b' must not be loaded: denied by /etc/modprobe.d/t.conf:1: bad for you\n";
    for (line, name) in [("b", "b"), ("c", "c"), ("x:1", "c"), ("-D c", "c")] {
        let k = FakeKernel::default();
        let (_, err, code) = modprobe(&fs, &k, line);
        let told = format!(
            "{why}modprobe: ERROR: could not insert '{name}': Operation not permitted\nmodprobe: the test forbids it\n"
        );
        assert_eq!((err, code), (told, 1), "{line}");
        assert!(log(&k).is_empty(), "{line}: nothing is loaded for it");
    }
    let k = FakeKernel::default();
    assert_eq!(modprobe(&fs, &k, "--ignore-deny c").2, 0);
    assert_eq!(log(&k).len(), 5);
    // As a soft dependency it is passed over, with a word.
    config(&fs, "deny d\n");
    let k = FakeKernel::default();
    let (_, err, code) = modprobe(&fs, &k, "c");
    assert_eq!(code, 0);
    assert_eq!(
        err,
        "modprobe: WARNING: not loading 'd': denied by /etc/modprobe.d/t.conf:1\n"
    );
    assert_eq!(log(&k), ["finit a", "finit b", "finit c", "finit e"]);
}

#[test]
fn only_the_allow_list_may_be_asked_for() {
    let fs = tree();
    config(&fs, "allow c e*\n");
    let k = FakeKernel::default();
    let (_, err, code) = modprobe(&fs, &k, "c");
    assert_eq!(code, 0, "{err}");
    // a and b come with c; d was only wished for.
    assert_eq!(log(&k), ["finit a", "finit b", "finit c", "finit e"]);
    let (_, err, code) = modprobe(&fs, &FakeKernel::default(), "a");
    assert_eq!(code, 1);
    assert!(
        err.contains("module 'a' must not be loaded: not on the allow-list"),
        "{err}"
    );
}

#[test]
fn an_install_line_holds_whatever_the_softdeps() {
    let fs = tree();
    config(&fs, "install c /bin/false\n");
    let (k, host) = (
        FakeKernel::default(),
        FakeHost {
            command_code: 1,
            ..FakeHost::default()
        },
    );
    let (_, err, code) = run(&fs, &k, &host, "modprobe c");
    assert_eq!(code, 1);
    assert!(err.contains("Error running install command '/bin/false' for module c: retcode 1"));
    assert!(
        !log(&k).iter().any(|l| l.contains("finit c")),
        "{:?}",
        log(&k)
    );
    assert_eq!(*host.commands.borrow(), ["MODPROBE_MODULE=c /bin/false"]);
    let (out, _, _) = modprobe(&fs, &FakeKernel::default(), "-D c");
    assert!(out.contains("install /bin/false \n"), "{out}");
    // Ignoring the line loads the module, without its soft dependencies.
    let k = FakeKernel::default();
    assert_eq!(modprobe(&fs, &k, "-i c").2, 0);
    assert_eq!(log(&k), ["finit a", "finit b", "finit c"]);
}

#[test]
fn commands_get_options_and_environment() {
    let fs = tree();
    config(&fs, "install c run $CMDLINE_OPTS now\n");
    let (k, host) = (FakeKernel::default(), FakeHost::default());
    let (_, err, code) = run(&fs, &k, &host, "modprobe -q -C /etc/modprobe.d c x=1");
    assert_eq!((err.as_str(), code), ("", 0));
    let want = "MODPROBE_OPTIONS=-q -C /etc/modprobe.d MODPROBE_MODULE=c run x=1 now";
    assert_eq!(*host.commands.borrow(), [want]);
}

#[test]
fn options_come_from_the_environment_too() {
    let fs = tree();
    let mut host = FakeHost::default();
    host.env.insert("MODPROBE_OPTIONS".into(), "-q".into());
    let (_, err, code) = run(&fs, &FakeKernel::default(), &host, "modprobe nowhere");
    assert_eq!((err.as_str(), code), ("", 1));
}

#[test]
fn syslog_gets_the_messages() {
    let fs = tree();
    let host = FakeHost::default();
    let (_, err, _) = run(&fs, &FakeKernel::default(), &host, "modprobe -s nowhere");
    assert_eq!(err, "");
    let want = "modprobe 2 FATAL: Module nowhere not found in directory /lib/modules/1.2.3";
    assert_eq!(*host.syslog.borrow(), [want]);
}

#[test]
fn compressed_modules_are_handed_over_or_unpacked() {
    let fs = MemoryFiles::new();
    let packed = gzip(&Module::new("z").build());
    fs.put("/z.ko.gz", packed);
    let insmod = |k: &FakeKernel| run(&fs, k, &FakeHost::default(), "insmod /z.ko.gz p=1");
    let k = FakeKernel {
        compression: Compression::Gzip,
        ..FakeKernel::default()
    };
    assert_eq!(insmod(&k).2, 0);
    assert_eq!(log(&k), ["finit-compressed z p=1"]);
    // A kernel without that compression, and one whose decompressor fails.
    let k = FakeKernel {
        compression: Compression::Xz,
        ..FakeKernel::default()
    };
    assert_eq!(insmod(&k).2, 0);
    assert_eq!(log(&k), ["init z p=1"]);
    let k = FakeKernel {
        compression: Compression::Gzip,
        unpack_error: Some(Errno::EINVAL),
        ..FakeKernel::default()
    };
    assert_eq!(insmod(&k).2, 0);
    assert_eq!(log(&k), ["init z p=1"]);
    // An error that is the module's is final.
    let k = FakeKernel {
        compression: Compression::Gzip,
        unpack_error: Some(Errno::EEXIST),
        ..FakeKernel::default()
    };
    let (_, err, code) = insmod(&k);
    assert_eq!(
        (err.as_str(), code),
        (
            "insmod: ERROR: could not insert module /z.ko.gz: File exists\n",
            1
        )
    );
}

/// A gzip member of stored blocks: no compressor is needed to make one.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let chunks: Vec<&[u8]> = data.chunks(0xffff).collect();
    for (i, c) in chunks.iter().enumerate() {
        out.push(u8::from(i + 1 == chunks.len()));
        out.extend_from_slice(&(c.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(c.len() as u16)).to_le_bytes());
        out.extend_from_slice(c);
    }
    let mut crc = !0u32;
    for &b in data {
        crc ^= u32::from(b);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    out.extend_from_slice(&(!crc).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out
}

#[test]
fn errors_of_the_kernel_are_told_with_their_cause() {
    let (fs, mut k) = (tree(), FakeKernel::default());
    for (errno, text) in [
        (
            Errno::EPERM,
            "Operation not permitted\nmodprobe: the test forbids it",
        ),
        (
            Errno::ENOENT,
            "Unknown symbol in module, or unknown parameter (see dmesg)",
        ),
        (Errno::ENOEXEC, "Exec format error"),
    ] {
        k.errors.insert("a".into(), errno);
        let (_, err, code) = modprobe(&fs, &k, "a");
        let want = format!("modprobe: ERROR: could not insert 'a': {text}\n");
        assert_eq!((err, code), (want, 1));
    }
    // What fails below stops what is above.
    let (_, _, code) = modprobe(&fs, &k, "c");
    assert_eq!((code, log(&k).len()), (1, 0));
    // A soft dependency may fail.
    k.errors.clear();
    k.errors.insert("d".into(), Errno::EIO);
    assert_eq!(modprobe(&fs, &k, "c").2, 0);
}

#[test]
fn json_of_plan_list_and_info() {
    let (fs, k) = (tree(), FakeKernel::default());
    let (out, _, code) = modprobe(&fs, &k, "-D --json b");
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "[{\"action\":\"insmod\",\"module\":\"a\",\"path\":\"/lib/modules/1.2.3/kernel/a.ko\",\"options\":\"\",\"required\":true},\
         {\"action\":\"insmod\",\"module\":\"b\",\"path\":\"/lib/modules/1.2.3/kernel/b.ko\",\"options\":\"\",\"required\":true}]\n"
    );
    k.has("a");
    let (out, _, _) = run(&fs, &k, &FakeHost::default(), "lsmod --json");
    assert_eq!(
        out,
        "[{\"module\":\"a\",\"size\":4096,\"refcount\":0,\"used_by\":[],\"state\":\"live\",\"taint\":\"\",\"parameters\":{}}]\n"
    );
    let (out, _, _) = run(&fs, &k, &FakeHost::default(), "modinfo --json a");
    assert!(out.starts_with("[{\"module\":\"a\",\"filename\":\"/lib/modules/1.2.3/kernel/a.ko\",\"builtin\":false,\"info\":["), "{out}");
    assert!(
        out.contains(&format!("\"build_id\":\"{}\"", "ab".repeat(20))),
        "{out}"
    );
    // One field: the rest of the module is left out.
    let (out, _, _) = run(&fs, &k, &FakeHost::default(), "modinfo --json -F alias c");
    assert_eq!(
        out,
        "[{\"module\":\"c\",\"filename\":\"/lib/modules/1.2.3/kernel/c.ko\",\"builtin\":false,\
         \"info\":[{\"key\":\"alias\",\"value\":\"x:*\"}],\"parameters\":[]}]\n"
    );
    let (out, _, _) = modprobe(&fs, &k, "-c --json");
    assert!(
        out.contains("\"softdep\":[{\"module\":\"c\",\"pre\":[\"d\"],\"post\":[\"e\"]}]"),
        "{out}"
    );
}

#[test]
fn several_plans_are_one_json_list() {
    let (fs, k) = (tree(), FakeKernel::default());
    config(&fs, "alias two d\nalias two e\n");
    let step = |m: &str| {
        format!(
            "{{\"action\":\"insmod\",\"module\":\"{m}\",\"path\":\"/lib/modules/1.2.3/kernel/{m}.ko\",\"options\":\"\",\"required\":true}}"
        )
    };
    let list = |names: &[&str]| {
        let steps: Vec<String> = names.iter().map(|n| step(n)).collect();
        format!("[{}]\n", steps.join(","))
    };
    let plan = |line: &str| {
        let (out, _, code) = modprobe(&fs, &k, line);
        (out, code)
    };
    assert_eq!(plan("-D --json two"), (list(&["d", "e"]), 0));
    assert_eq!(plan("-D -a --json e two"), (list(&["e", "d", "e"]), 0));
    // What cannot be planned is no reason for text that is not JSON.
    assert_eq!(plan("-D -a --json e nosuch"), (list(&["e"]), 1));
    assert_eq!(plan("-D --json nosuch"), (list(&[]), 1));
    // Names are text.
    assert_eq!(plan("-D -R --json two"), ("d\ne\n".into(), 0));
}

#[test]
fn lsmod_sorts_and_draws() {
    let mut k = FakeKernel::default();
    k.holders.insert("a".into(), vec!["b".into()]);
    k.has("a");
    k.has("b");
    k.has("z");
    let fs = MemoryFiles::new();
    let lsmod = |args: &str| run(&fs, &k, &FakeHost::default(), &format!("lsmod {args}"));
    assert_eq!(
        lsmod("--sort name").0,
        "Module                  Size  Used by\na                       4096  0 b\nb                       4096  0\nz                       4096  0\n"
    );
    assert_eq!(lsmod("--tree").0, "z 4096 0\nb 4096 0\n  a 4096 0\n");
    assert_eq!(lsmod("--sort colour").2, 1);
    assert!(
        lsmod("-v")
            .0
            .contains("a                       4096  0 b  [Live]\n")
    );
}

#[test]
fn modinfo_compares_the_loaded_module_with_its_file() {
    let (fs, mut k) = (tree(), FakeKernel::default());
    let modinfo = |k: &FakeKernel| run(&fs, k, &FakeHost::default(), "modinfo --check a");
    assert_eq!(modinfo(&k), ("a: not loaded\n".into(), String::new(), 1));
    k.has("a");
    let note = |b: u8| {
        [
            &[4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0][..],
            b"GNU\0",
            &[b; 20],
        ]
        .concat()
    };
    k.build_ids.insert("a".into(), note(0xab));
    let (out, _, code) = modinfo(&k);
    assert!(out.starts_with("a: loaded from /lib/modules/1.2.3/kernel/a.ko (same build-id AB:"));
    assert_eq!(code, 0);
    k.build_ids.insert("a".into(), note(0xcd));
    let (out, _, code) = modinfo(&k);
    assert!(out.starts_with("a: not the module in "), "{out}");
    assert_eq!(code, 1);
}

#[test]
fn a_further_directory_has_what_the_first_lacks() {
    let fs = tree();
    fs.put("/run/modules/1.2.3/extra/f.ko", Module::new("f").build());
    let k = FakeKernel::default();
    run(&fs, &k, &FakeHost::default(), "depmod -m /run/modules");
    assert_eq!(modprobe(&fs, &k, "f").2, 1);
    assert_eq!(modprobe(&fs, &k, "--extra-dir /run/modules f").2, 0);
    let modinfo = |args: &str| run(&fs, &k, &FakeHost::default(), &format!("modinfo -n {args}"));
    assert_eq!(modinfo("f").2, 1);
    let (out, _, code) = modinfo("--extra-dir /run/modules f");
    assert_eq!((&*out, code), ("/run/modules/1.2.3/extra/f.ko\n", 0));
    config(&fs, "directory /run/modules\n");
    let (out, _, _) = modprobe(&fs, &k, "-D f");
    assert_eq!(out, "insmod /run/modules/1.2.3/extra/f.ko \n");
}

#[test]
fn deprecated_names_still_work_and_say_so() {
    let fs = tree();
    let (out, err, code) = modprobe(&fs, &FakeKernel::default(), "--resolve-alias x:1");
    assert_eq!((out.as_str(), code), ("c\n", 0));
    assert_eq!(
        err,
        "modprobe: WARNING: --resolve-alias is deprecated and scheduled for removal; use --show-alias\n"
    );
}

#[test]
fn static_nodes() {
    let fs = MemoryFiles::new();
    fs.put(
        "/lib/modules/1.2.3/modules.devname",
        "# c\nfuse fuse c10:229\nloop dir/l b7:1\nbad line\n",
    );
    let k = FakeKernel::default();
    let nodes = |args: &str| {
        run(
            &fs,
            &k,
            &FakeHost::default(),
            &format!("kmod static-nodes {args}"),
        )
    };
    let (out, err, code) = nodes("-f tmpfiles");
    assert_eq!(
        out,
        "c! /dev/fuse 0600 - - - 10:229\nd /dev/dir 0755 - - -\nb! /dev/dir/l 0600 - - - 7:1\n"
    );
    assert_eq!(
        (err.as_str(), code),
        ("Error: invalid devname entry: bad line\n", 1)
    );
    assert!(
        nodes("")
            .0
            .starts_with("Module: fuse\n\tDevice node: /dev/fuse\n\t\tType: character device\n")
    );
    assert_eq!(
        nodes("-f devname").0,
        "fuse fuse c10:229\nloop dir/l b7:1\n"
    );
    assert_eq!(nodes("-f colour").2, 1);
}

#[test]
fn graph_draws_each_need_once() {
    let (fs, k, host) = (tree(), FakeKernel::default(), FakeHost::default());
    let draw = |args: &str| {
        let args: Vec<Vec<u8>> = args.split_whitespace().map(|w| w.into()).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let argv0 = b"graph".to_vec();
        let mut world = lkm_tree::tools::World {
            fs: &fs,
            kernel: &k,
            host: &host,
            out: &mut out,
            err: &mut err,
            argv0,
        };
        let code = lkm_tree::tools::graph::run(&mut world, &args);
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
            code,
        )
    };
    let (dot, err, code) = draw("c");
    assert_eq!((err.as_str(), code), ("", 0));
    for edge in [
        "\"c\" -> \"b\";",
        "\"b\" -> \"a\";",
        "\"c\" -> \"d\" [style=dashed];",
    ] {
        assert!(dot.contains(edge), "{edge}: {dot}");
    }
    assert!(!dot.contains("\"c\" -> \"a\""), "b brings a along: {dot}");
    assert!(draw("--svg --all").0.starts_with("<svg "));
    assert_eq!(draw("-o /out.svg c").2, 0);
    let file = lkm_tree::fs::Files::read(&fs, b"/out.svg", 1 << 20).unwrap();
    assert!(file.ends_with(b"</svg>\n"));
    assert_eq!(draw("nowhere").2, 1);
}
