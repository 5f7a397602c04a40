//! What is missing, may not be read or may not be written: messages and exit
//! codes, with the installed kmod first where it has an answer.
//!
//! Root may read everything: both programs run as another user, and the tests
//! say so and pass where that cannot be.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::support::Module;
use common::{Root, kmod};

/// Nobody in particular.
const AS_OTHER: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

fn as_other(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(AS_OTHER).arg(program);
    command
}

/// A tree that another user may write, and three modules in it.
fn tree() -> Option<Root> {
    let works = as_other(Path::new("true")).output();
    if !works.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: cannot run as another user");
        return None;
    }
    let r = Root::new(&kmod()?);
    r.module("a/lkmt_a.ko", &Module::new("lkmt_a").exports("lkmt_s"));
    r.module("b/lkmt_b.ko", &Module::new("lkmt_b").imports("lkmt_s"));
    r.module("b/lkmt_c.ko", &Module::new("lkmt_c"));
    for source in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        fs::write(r.tree_file(source), "").unwrap();
    }
    r.put("conf.d/x.conf", "search built-in\n");
    for dir in ["", "conf.d", "lib", "lib/modules"] {
        mode(&r.path(dir), 0o755);
    }
    mode(&r.tree_file(""), 0o777);
    Some(r)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a tool as another user, as of the tree's root.
fn run(r: &Root, whose: &str, tool: &str, args: &[&str]) -> (String, i32) {
    let mut command = as_other(&r.path(&format!("{whose}/{tool}")));
    let out = command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    let out = out.output().unwrap();
    let code = out.status.code().unwrap_or(-1);
    (r.show(whose, out), code)
}

fn depmod_args(r: &Root) -> [String; 3] {
    let root = r.dir.path().to_str().unwrap();
    ["-b".into(), root.into(), r.version.clone()]
}

fn depmod(r: &Root, whose: &str) -> (String, i32) {
    let args = depmod_args(r);
    run(r, whose, "depmod", &args.each_ref().map(|a| &a[..]))
}

/// Both say the same, and end the same.
fn same_depmod(r: &Root, says: &str, code: i32) {
    let theirs = depmod(r, "kmod");
    assert_eq!(theirs, depmod(r, "lkm"), "kmod on the left");
    assert!(theirs.0.contains(says) && theirs.1 == code, "{theirs:?}");
}

fn deps(r: &Root) -> String {
    fs::read_to_string(r.tree_file("modules.dep")).unwrap()
}

#[test]
fn a_directory_that_may_not_be_read_costs_only_itself() {
    let Some(r) = tree() else { return };
    mode(&r.tree_file("kernel/b"), 0);
    let (theirs, their_code) = depmod(&r, "kmod");
    let (ours, code) = depmod(&r, "lkm");
    // kmod names a descriptor, and calls it a success.
    assert!(theirs.contains("b, O_RDONLY): Permission denied") && their_code == 0);
    let path = r.tree_file("kernel/b");
    let told = format!(
        "could not open directory {}: Permission denied",
        path.display()
    );
    assert!(ours.contains(&told) && code == 1, "{ours}");
    assert_eq!(deps(&r), "kernel/a/lkmt_a.ko:\n");
    // The cache does not hide it, and forgets it when it is repaired.
    for _ in 0..2 {
        let root = r.dir.path().to_str().unwrap();
        let args = ["--incremental", "-b", root, &r.version];
        let (again, code) = run(&r, "lkm", "depmod", &args);
        assert!(again.contains(&told) && code == 1, "{again}");
    }
    mode(&r.tree_file("kernel/b"), 0o755);
    assert_eq!(depmod(&r, "lkm").1, 0);
    assert!(deps(&r).contains("kernel/b/lkmt_b.ko: kernel/a/lkmt_a.ko\n"));
}

#[test]
fn a_module_that_may_not_be_read_costs_only_itself() {
    let Some(r) = tree() else { return };
    mode(&r.tree_file("kernel/b/lkmt_c.ko"), 0);
    let (theirs, their_code) = depmod(&r, "kmod");
    let (ours, code) = depmod(&r, "lkm");
    let path = r.tree_file("kernel/b/lkmt_c.ko");
    let told = format!(
        "failed to load symbols from {}: Permission denied",
        path.display()
    );
    assert!(theirs.contains(&told) && ours.contains(&told), "{ours}");
    assert_eq!((their_code, code), (0, 1));
    assert!(!deps(&r).contains("lkmt_c"));
    assert!(deps(&r).contains("kernel/b/lkmt_b.ko: kernel/a/lkmt_a.ko\n"));
}

#[test]
fn nothing_to_read_at_all() {
    let Some(r) = tree() else { return };
    mode(&r.tree_file(""), 0);
    same_depmod(&r, "FATAL: could not search modules: Permission denied", 1);
    mode(&r.tree_file(""), 0o777);
    let args = ["-b", "/nowhere/at/all", &r.version];
    let theirs = run(&r, "kmod", "depmod", &args);
    assert_eq!(theirs, run(&r, "lkm", "depmod", &args));
    let told = "FATAL: could not search modules: No such file or directory";
    assert!(theirs.0.contains(told) && theirs.1 == 1, "{theirs:?}");
}

#[test]
fn nothing_may_be_written() {
    let Some(r) = tree() else { return };
    mode(&r.tree_file(""), 0o555);
    // kmod tells of each file, and calls it a success.
    assert_eq!(depmod(&r, "kmod").1, 0);
    let (ours, code) = depmod(&r, "lkm");
    let told = "depmod: ERROR: Could not write index 'modules.dep': Permission denied";
    assert!(ours.contains(told) && code == 1, "{ours}");
    assert!(!r.tree_file("modules.dep").exists());
    // What is in the place of an index stays there, and so do the others.
    mode(&r.tree_file(""), 0o777);
    assert_eq!(depmod(&r, "lkm").1, 0);
    fs::remove_file(r.tree_file("modules.dep")).unwrap();
    fs::create_dir(r.tree_file("modules.dep")).unwrap();
    let alias = fs::metadata(r.tree_file("modules.alias"))
        .unwrap()
        .modified()
        .unwrap();
    let (ours, code) = depmod(&r, "lkm");
    let told = "Could not rename index 'modules.dep': Is a directory";
    assert!(ours.contains(told) && code == 1, "{ours}");
    assert_eq!(depmod(&r, "kmod").1, 1);
    let now = fs::metadata(r.tree_file("modules.alias")).unwrap();
    assert_eq!(now.modified().unwrap(), alias);
}

#[test]
fn sources_that_are_missing_or_may_not_be_read() {
    for source in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        let Some(r) = tree() else { return };
        let told = |why: &str| {
            format!("WARNING: could not open {source} at ")
                + &format!(
                    "{}: {why}",
                    r.tree_file("").display().to_string().trim_end_matches('/')
                )
        };
        mode(&r.tree_file(source), 0);
        same_depmod(&r, &told("Permission denied"), 0);
        fs::remove_file(r.tree_file(source)).unwrap();
        same_depmod(&r, &told("No such file or directory"), 0);
        assert_eq!(deps(&r).lines().count(), 3);
    }
}

#[test]
fn links_that_lead_nowhere_or_back_up() {
    let Some(r) = tree() else { return };
    symlink("nowhere.ko", r.tree_file("kernel/a/gone.ko")).unwrap();
    symlink("..", r.tree_file("kernel/b/up")).unwrap();
    let (ours, code) = depmod(&r, "lkm");
    assert!(
        ours.contains("kernel/a/gone.ko: No such file or directory"),
        "{ours}"
    );
    assert_eq!(ours.matches("directory loop at ").count(), 1, "{ours}");
    let all = deps(&r);
    // kmod goes round until a path is too long, or it has no more descriptors.
    assert_eq!((depmod(&r, "kmod").1, code), (0, 0));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .map(|l| l.split('/').next_back().unwrap_or("").into())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&deps(&r)), sorted(&all));
}

#[test]
fn configuration_that_may_not_be_read() {
    let Some(r) = tree() else { return };
    let file = r.path("conf.d/x.conf");
    let dir = r.path("conf.d");
    let args = depmod_args(&r);
    let mut args: Vec<&str> = args.iter().map(|a| &a[..]).collect();
    args.extend(["-C", dir.to_str().unwrap()]);
    let modprobe = [
        "-C",
        dir.to_str().unwrap(),
        "-d",
        r.dir.path().to_str().unwrap(),
        "-S",
        &r.version,
        "-D",
        "lkmt_b",
    ];
    assert_eq!(depmod(&r, "kmod").1, 0);
    for (what, path, told) in [
        (
            "a file",
            &file,
            format!("file parse {}: Permission denied", file.display()),
        ),
        (
            "a directory",
            &dir,
            format!("files list {}: Permission denied", dir.display()),
        ),
    ] {
        mode(path, 0);
        let theirs = run(&r, "kmod", "depmod", &args);
        assert_eq!(theirs, run(&r, "lkm", "depmod", &args), "{what}");
        assert!(
            theirs.0.contains(&told) && theirs.1 == 0,
            "{what}: {theirs:?}"
        );
        let theirs = run(&r, "kmod", "modprobe", &modprobe);
        assert_eq!(theirs, run(&r, "lkm", "modprobe", &modprobe), "{what}");
        assert_eq!(
            (theirs.0.matches("insmod ").count(), theirs.1),
            (2, 0),
            "{what}"
        );
    }
}

#[test]
fn indexes_that_are_missing_or_may_not_be_read() {
    let Some(r) = tree() else { return };
    let root = r.dir.path().to_str().unwrap();
    let of_tree = ["-d", root, "-S", &r.version, "-D", "lkmt_b"];
    let same = |tool: &str, args: &[&str]| {
        let theirs = run(&r, "kmod", tool, args);
        assert_eq!(theirs, run(&r, "lkm", tool, args), "{tool} {args:?}");
        assert_eq!(theirs.1, 1, "{theirs:?}");
    };
    same("modprobe", &of_tree);
    assert_eq!(depmod(&r, "kmod").1, 0);
    mode(&r.tree_file("kernel/b"), 0);
    same("modinfo", &["-b", root, "-k", &r.version, "lkmt_b"]);
    for e in fs::read_dir(r.tree_file("")).unwrap().flatten() {
        if e.file_name().to_string_lossy().ends_with(".bin") {
            mode(&e.path(), 0);
        }
    }
    same("modprobe", &of_tree);
}

#[test]
fn loops_missing_needs_and_long_names() {
    let Some(r) = tree() else { return };
    // The longest name of a file, and one of a module that no kernel takes.
    for len in [56, 252] {
        let name = "n".repeat(len);
        r.module(
            &format!("a/{name}.ko"),
            &Module::new(&name).exports("lkmt_long"),
        );
        r.module(
            "a/lkmt_user.ko",
            &Module::new("lkmt_user")
                .imports("lkmt_long")
                .imports("lkmt_nobodys"),
        );
        same_depmod(&r, "", 0);
        let theirs = deps(&r);
        assert!(theirs.contains(&format!("kernel/a/lkmt_user.ko: kernel/a/{name}.ko\n")));
        assert_eq!(depmod(&r, "lkm").1, 0);
        assert_eq!(deps(&r), theirs);
        fs::remove_file(r.tree_file(&format!("kernel/a/{name}.ko"))).unwrap();
    }
    fs::write(r.path("map"), "c0 R __ksymtab_other\n").unwrap();
    let map = r.path("map");
    let args = depmod_args(&r);
    let mut args: Vec<&str> = args.iter().map(|a| &a[..]).collect();
    args.extend(["-e", "-F", map.to_str().unwrap()]);
    let theirs = run(&r, "kmod", "depmod", &args);
    assert_eq!(theirs, run(&r, "lkm", "depmod", &args));
    assert!(
        theirs
            .0
            .contains("lkmt_user.ko needs unknown symbol lkmt_nobodys")
            && theirs.1 == 0
    );
    r.module(
        "b/lkmt_c.ko",
        &Module::new("lkmt_c").exports("lkmt_t").imports("lkmt_u"),
    );
    r.module(
        "b/lkmt_d.ko",
        &Module::new("lkmt_d").exports("lkmt_u").imports("lkmt_t"),
    );
    same_depmod(&r, "Found 2 modules in dependency cycles!", 1);
    assert_eq!(depmod(&r, "lkm").1, 1);
}
