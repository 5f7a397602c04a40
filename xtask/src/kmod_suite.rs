//! `cargo xtask kmod-suite`: the tests that kmod's own suite makes of its tools, run with ours.
//!
//! The suite's programs fake the root directory, `uname` and the module system calls with preloaded
//! libraries, and look at output, exit status and the files written. Its comparison takes any
//! beginning of the expected output for good; here it is made strict. Nothing of kmod is kept in the
//! repository: its source is cloned into `target/kmod` when the task first runs (`LKM_KMOD_SOURCE`
//! names another repository to clone, such as a local mirror), and built there with meson.

use crate::kernel::target_directory;
use crate::paths;
use crate::tally::{self, Tally};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const REPOSITORY: &str = "https://github.com/kmod-project/kmod";

/// The programs of the suite that run a tool, and the test that does where
/// others of the program call the library.
const PROGRAMS: [(&str, Option<&str>); 4] = [
    ("test-depmod", None),
    ("test-modinfo", None),
    ("test-modprobe", None),
    ("test-weakdep", Some("modprobe_config")),
];
const SHIMS: [&str; 4] = ["delete_module", "init_module", "path", "uname"];

/// Where the suite compares, and what makes that strict.
const LOOSE: &str =
    "static int fd_cmp_check_activity(struct fd_cmp *fd_cmp)\n{\n\tstruct stat st;\n";
const STRICT: &str = "\tif (fd_cmp != NULL && fd_cmp->type != FD_CMP_MONITOR && \
     fd_cmp->fd_match > 0) {\n\t\tchar more;\n\t\tif (read(fd_cmp->fd_match, &more, 1) == 1) {\n\
     \t\t\tERR(\"more output was expected\\n\");\n\t\t\treturn -1;\n\t\t}\n\t}\n";

/// The task.
pub fn task(_: &[String]) -> crate::Outcome {
    let group = all()?;
    let good = tally::close(&[group]);
    Ok(ExitCode::from(u8::from(!good)))
}

/// kmod's newest source, built, with its suite: the build directory, where the tools are.
pub fn built() -> io::Result<PathBuf> {
    let root = target_directory().join("kmod");
    let (source, build) = (root.join("source"), root.join("build"));
    if build.join("ready").exists() {
        return Ok(build);
    }
    fs::create_dir_all(&root)?;
    if !source.exists() {
        let from = std::env::var("LKM_KMOD_SOURCE").unwrap_or_else(|_| REPOSITORY.into());
        run(Command::new("git")
            .args(["clone", "--quiet", "--depth", "1", &from])
            .arg(&source))?;
    }
    let compared = source.join("testsuite/testsuite.c");
    let text = fs::read_to_string(&compared)?;
    if !text.contains(STRICT) {
        if !text.contains(LOOSE) {
            return Err(io::Error::other(
                "kmod's suite compares in another way than it did",
            ));
        }
        fs::write(
            &compared,
            text.replacen(LOOSE, &format!("{LOOSE}{STRICT}"), 1),
        )?;
    }
    if !build.exists() {
        run(Command::new("meson")
            .args(["setup", "--buildtype=release", "-Dbuild-tests=true"])
            .args(["-Dmanpages=false", "-Ddocs=false", "-Dmbedtls=disabled"])
            .args(["bash", "fish", "zsh"].map(|s| format!("-D{s}completiondir=no")))
            .args([&build, &source]))?;
    }
    let release = paths::headers().map_err(io::Error::other)?.release;
    let mut ninja = Command::new("ninja");
    ninja
        .arg("-C")
        .arg(&build)
        .args(["all", "testsuite/stamp-rootfs"])
        .args(PROGRAMS.map(|(p, _)| format!("testsuite/{p}")))
        .args(SHIMS.map(|s| format!("testsuite/{s}.so")))
        .env("KDIR", format!("/lib/modules/{release}/build"));
    run(&mut ninja)?;
    run(Command::new("cp")
        .arg("-a")
        .arg(build.join("testsuite/rootfs"))
        .arg(build.join("testsuite/rootfs.clean")))?;
    fs::write(build.join("ready"), "")?;
    Ok(build)
}

/// Runs the suite with kmod's tools and then with ours: where kmod's pass, ours must.
pub fn all() -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("kmod's suite");
    let build = match built() {
        Ok(build) => build,
        Err(e) => {
            tally.skip("all", &format!("kmod's source cannot be had or built: {e}"));
            return Ok(tally);
        }
    };
    let ours = tools()?;
    let theirs = suite(&build, &build.join("kmod"))?;
    let lkm = suite(&build, &ours)?;
    for (test, passes) in &theirs {
        match (passes, lkm.get(test)) {
            (_, Some(true)) => tally.add(test, &[]),
            // What is wrong with the test itself is not ours to fail.
            (false, _) => tally.skip(test, "kmod's own tools do not pass it"),
            (true, _) => tally.add(test, &["kmod's tools pass it".into()]),
        }
    }
    Ok(tally)
}

/// The small program with all tools.
pub fn tools() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--package", "lkm-kmod"])
        .current_dir(paths::root())
        .status()?;
    if !status.success() {
        return Err(format!("cargo build --package lkm-kmod: {status}").into());
    }
    Ok(target_directory().join("release/lkm-kmod"))
}

/// Which tests pass with a program under the tools' names.
fn suite(build: &Path, program: &Path) -> io::Result<BTreeMap<String, bool>> {
    let suite = build.join("testsuite");
    let rootfs = suite.join("rootfs");
    if rootfs.exists() {
        fs::remove_dir_all(&rootfs)?;
    }
    run(Command::new("cp")
        .arg("-a")
        .arg(suite.join("rootfs.clean"))
        .arg(&rootfs))?;
    // Older than the tree, the suite takes it for changed.
    fs::write(suite.join("stamp-rootfs"), "")?;
    for tool in ["depmod", "modinfo", "modprobe"] {
        let link = build.join(tool);
        let _ = fs::remove_file(&link);
        symlink(program, link)?;
    }
    let mut results = BTreeMap::new();
    for (name, only) in PROGRAMS {
        let out = Command::new(suite.join(name)).current_dir(build).output()?;
        let text = [out.stdout, out.stderr].concat();
        for line in String::from_utf8_lossy(&text).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let wanted = |test: &str| only.is_none_or(|only| only == test);
            if let ["TESTSUITE:", "running", test, ..] = words[..]
                && let test = test.trim_end_matches(',')
                && wanted(test)
            {
                // Unless it is said to have passed, it has not.
                results.insert(test.to_owned(), false);
            }
            if let Some(test) = words.last()
                && wanted(test)
                && (line.contains("PASSED") || line.contains("EXPECTED FAIL"))
                && !line.contains("UNEXPECTED")
            {
                results.insert((*test).to_owned(), true);
            }
        }
    }
    for tool in ["depmod", "modinfo", "modprobe"] {
        let link = build.join(tool);
        let _ = fs::remove_file(&link);
        symlink("kmod", link)?;
    }
    Ok(results)
}

/// Runs a command to success; else the end of what it said.
fn run(command: &mut Command) -> io::Result<()> {
    let out = command.output().map_err(|e| {
        let program = command.get_program().to_string_lossy().into_owned();
        io::Error::other(format!("{program}: {e}"))
    })?;
    if out.status.success() {
        return Ok(());
    }
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(5)..].join("\n");
    Err(io::Error::other(format!(
        "{command:?}: {}\n{end}",
        out.status
    )))
}
