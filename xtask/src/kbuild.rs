//! `cargo xtask modules`: builds every C module of `modules/` out of tree, with kbuild, against
//! the installed headers.
//!
//! All sources are copied (when they changed) into one flat directory under `target/modules`, so
//! that exports of one are seen by another through a single modpost run, and so that kbuild's own
//! time stamps make a second run cheap. Module names are therefore unique over all directories.

use crate::expect::{self, Directives};
use crate::kernel::target_directory;
use crate::paths::{self, Headers};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A module source: its name (file stem) and where it is.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub path: PathBuf,
}

impl Source {
    /// What its head says.
    pub fn directives(&self) -> Result<Directives, String> {
        let text = fs::read_to_string(&self.path).map_err(|e| e.to_string())?;
        expect::parse(&text).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

/// Where the built modules of a kernel are.
pub fn built_dir(headers: &Headers) -> PathBuf {
    target_directory().join("modules").join(&headers.release)
}

/// Every `modules/**/*.c`, by name. Two of one name are an error.
pub fn sources() -> Result<Vec<Source>, Box<dyn std::error::Error>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![paths::root().join("modules")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "c") {
                let name = path
                    .file_stem()
                    .map(|s| s.to_string_lossy().into_owned())
                    .unwrap_or_default();
                if let Some(twin) = found.insert(name.clone(), path.clone()) {
                    return Err(
                        format!("{} and {} share a name", path.display(), twin.display()).into(),
                    );
                }
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|(name, path)| Source { name, path })
        .collect())
}

/// The headers that modules share, beside them.
fn shared_headers() -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![paths::root().join("modules")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "h") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Writes a file only when its text differs, so that time stamps stay.
pub fn write_if_changed(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)
}

/// Why kbuild cannot work in a directory: its makefiles take a blank for the end of a name, and a colon for that of a
/// target.
fn unfit(dir: &Path) -> Option<String> {
    let path = dir.display().to_string();
    path.contains([' ', '\t', ':']).then(|| {
        format!(
            "kbuild cannot build in a directory with a blank or a colon in its path: {path}; \
             CARGO_TARGET_DIR can name one without"
        )
    })
}

/// Runs kbuild in `dir`, which holds a Kbuild file. Sections that do not match and symbols that
/// no kernel exports are part of what the modules test: they stay warnings.
pub fn make(
    headers: &Headers,
    dir: &Path,
    more: &[String],
    quiet: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(why) = unfit(dir) {
        return Err(why.into());
    }
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(&headers.build)
        .arg(format!("M={}", dir.display()))
        .args(["-j2", "-k", "KBUILD_MODPOST_WARN=1"])
        .args(more)
        .arg("modules");
    let output = make.output().map_err(|e| format!("make: {e}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("kbuild failed in {}:\n{text}", dir.display()).into());
    }
    if !quiet {
        eprint!("{text}");
    }
    Ok(())
}

/// Builds all modules for a kernel and answers the directory of the `.ko` files.
pub fn build(headers: &Headers, verbose: bool) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let out = built_dir(headers);
    let sources = sources()?;
    build_into(headers, &sources, &out, verbose)?;
    let mut idle = Vec::new();
    for source in &sources {
        idle.extend(idle_claims(source, &out)?);
    }
    if idle.is_empty() {
        Ok(out)
    } else {
        Err(format!("//#Conforms: {}", idle.join("; ")).into())
    }
}

/// Builds those modules of the sources that have one of these names, in a directory of their own.
pub fn build_some(
    headers: &Headers,
    wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let out = target_directory()
        .join("modules-some")
        .join(&headers.release);
    let mut sources = sources()?;
    sources.retain(|s| wanted(&s.name));
    build_into(headers, &sources, &out, false)?;
    Ok(out)
}

fn build_into(
    headers: &Headers,
    sources: &[Source],
    out: &Path,
    verbose: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let blind = out.join("blind");
    fs::create_dir_all(&blind)?;
    // modpost refuses what the loader is to refuse: such modules are built in a second run, which
    // knows the exports of the first without their licences and namespaces.
    let (hidden, open): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|s| {
        fs::read_to_string(&s.path).is_ok_and(|t| t.lines().any(|l| l.trim() == "//#Build: blind"))
    });
    copy_sources(&open, out)?;
    drop_stale(out, sources)?;
    make(headers, out, &[], !verbose)?;
    if !hidden.is_empty() {
        let exports = fs::read_to_string(out.join("Module.symvers"))?;
        let known = blind.join("exports.symvers");
        write_if_changed(&known, without_conditions(&exports).as_bytes())?;
        copy_sources(&hidden, &blind)?;
        let extra = format!("KBUILD_EXTRA_SYMBOLS={}", known.display());
        make(headers, &blind, &[extra], !verbose)?;
        for source in &hidden {
            let ko = format!("{}.ko", source.name);
            fs::copy(blind.join(&ko), out.join(&ko))?;
        }
    }
    let missing: Vec<&str> = sources
        .iter()
        .filter(|s| !out.join(format!("{}.ko", s.name)).is_file())
        .map(|s| s.name.as_str())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("not built: {}", missing.join(" ")).into())
    }
}

/// Builds modules from texts, of which some are changed, in a directory of their own.
pub fn build_texts(
    headers: &Headers,
    texts: &[(&str, &str)],
    dir: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(dir)?;
    let mut kbuild = String::from("# written by cargo xtask test\n");
    for (name, text) in texts {
        kbuild.push_str(&format!("obj-m += {name}.o\n"));
        write_if_changed(&dir.join(format!("{name}.c")), text.as_bytes())?;
    }
    write_if_changed(&dir.join("Kbuild"), kbuild.as_bytes())?;
    make(headers, dir, &[], true)
}

/// A module that says that it shows the behaviour of a function must call that function: what it
/// names and has no undefined symbol for.
fn idle_claims(source: &Source, dir: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let claims = source.directives()?.conforms;
    let idle = unused(&dir.join(format!("{}.ko", source.name)), claims)?;
    Ok(idle
        .into_iter()
        .map(|name| format!("{} does not use {name}", source.name))
        .collect())
}

/// Those of some functions that a module does not import.
pub fn unused(ko: &Path, claims: Vec<String>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    if claims.is_empty() {
        return Ok(claims);
    }
    let nm = Command::new("nm")
        .arg("--undefined-only")
        .arg(ko)
        .output()
        .map_err(|e| format!("nm: {e}"))?;
    let text = String::from_utf8_lossy(&nm.stdout);
    let used: Vec<&str> = text
        .lines()
        .filter_map(|l| l.split_whitespace().last())
        .collect();
    Ok(claims
        .into_iter()
        .filter(|name| !used.contains(&name.as_str()))
        .collect())
}

/// Copies sources beside a Kbuild file that names them.
fn copy_sources(sources: &[&Source], dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut kbuild = String::from("# written by cargo xtask modules\n");
    for source in sources {
        kbuild.push_str(&format!("obj-m += {}.o\n", source.name));
        let copy = dir.join(format!("{}.c", source.name));
        write_if_changed(&copy, &fs::read(&source.path)?)?;
    }
    for header in shared_headers()? {
        let copy = dir.join(header.file_name().unwrap_or_default());
        write_if_changed(&copy, &fs::read(&header)?)?;
    }
    write_if_changed(&dir.join("Kbuild"), kbuild.as_bytes())?;
    Ok(())
}

/// A Module.symvers with every export plain and in no namespace.
fn without_conditions(symvers: &str) -> String {
    symvers
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').take(3).collect();
            format!("{}\tEXPORT_SYMBOL\t\n", fields.join("\t"))
        })
        .collect()
}

/// Removes copies and modules whose source has gone.
fn drop_stale(out: &Path, sources: &[Source]) -> std::io::Result<()> {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        let ours = path.extension().is_some_and(|e| e == "c" || e == "ko");
        let stem = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        let stem = stem.strip_suffix(".mod").unwrap_or(&stem);
        if ours && !sources.iter().any(|s| s.name == stem) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let headers = paths::headers()?;
    for source in sources()? {
        source.directives()?;
    }
    let verbose = args.iter().any(|a| a == "--verbose");
    let out = build(&headers, verbose)?;
    println!(
        "{} modules for {} in {}",
        sources()?.len(),
        headers.release,
        out.display()
    );
    match crate::selftests::build(&headers) {
        Ok(dir) => println!("the kernel's own test modules in {}", dir.display()),
        Err(e) => println!("the kernel's own test modules: {e}"),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::{unfit, without_conditions};
    use std::path::Path;

    #[test]
    fn a_directory_that_kbuild_would_take_for_several_is_told() {
        assert_eq!(unfit(Path::new("/home/me/lkm-1.0/target")), None);
        for bad in ["/home/my work/lkm", "/home/a:b/lkm"] {
            assert!(
                unfit(Path::new(bad)).is_some_and(|why| why.contains(bad)),
                "{bad}"
            );
        }
    }

    #[test]
    fn exports_lose_their_conditions() {
        let symvers = "0x1\ta\tdir/m\tEXPORT_SYMBOL_GPL\tSECRETS\n0x2\tb\tdir/m\tEXPORT_SYMBOL\t\n";
        assert_eq!(
            without_conditions(symvers),
            "0x1\ta\tdir/m\tEXPORT_SYMBOL\t\n0x2\tb\tdir/m\tEXPORT_SYMBOL\t\n"
        );
    }
}
