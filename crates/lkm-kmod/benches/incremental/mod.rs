//! An incremental depmod after ten modules have changed, beside a full one:
//! by kind of change, ratios of CPU and wall time. Full runs, in a copy of the
//! tree, take turns with incremental ones: other load hits both.

use std::collections::BTreeSet;
use std::io::{Error, Result, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::measure::{child_seconds, median};
use super::{copy_tree, run};

/// As many modules change.
const TEN: usize = 10;
const ROUNDS: usize = 20;

/// A module's file before and after; none where there is none.
type Change = (PathBuf, Option<Vec<u8>>, Option<Vec<u8>>);

/// What the indexes of a tree say of its modules.
struct Tree {
    base: PathBuf,
    modules: Vec<PathBuf>,
    with_aliases: BTreeSet<String>,
    with_symbols: BTreeSet<String>,
    with_needs: BTreeSet<String>,
}

fn name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split(".ko").next().unwrap_or("").replace('-', "_")
}

impl Tree {
    fn read(base: &Path, modules: Vec<PathBuf>) -> Result<Tree> {
        let text = |file: &str| std::fs::read_to_string(base.join(file));
        let last = |file: &str| -> Result<BTreeSet<String>> {
            let text = text(file)?;
            let lines = text.lines().filter(|l| !l.starts_with('#'));
            Ok(lines
                .filter_map(|l| Some(l.rsplit_once(' ')?.1.into()))
                .collect())
        };
        let needs = text("modules.dep")?;
        let needs = needs.lines().filter_map(|l| l.split_once(": "));
        Ok(Tree {
            with_aliases: last("modules.alias")?,
            with_symbols: last("modules.symbols")?,
            with_needs: needs.map(|(path, _)| name(Path::new(path))).collect(),
            base: base.into(),
            modules,
        })
    }

    /// Ten modules from all over the tree.
    fn ten(&self, which: impl Fn(&str) -> bool) -> Vec<&PathBuf> {
        let all: Vec<&PathBuf> = self.modules.iter().filter(|p| which(&name(p))).collect();
        all.iter()
            .step_by((all.len() / TEN).max(1))
            .take(TEN)
            .copied()
            .collect()
    }

    /// The same modules with the strings that begin like this made others.
    fn edited(&self, which: &BTreeSet<String>, begin: &[u8]) -> Result<Vec<Change>> {
        let edit = |path: &PathBuf| {
            let old = std::fs::read(path)?;
            let new = packed(path, &edit(&unpacked(path, &old)?, begin))?;
            Ok((path.clone(), Some(old), Some(new)))
        };
        self.ten(|n| which.contains(n))
            .into_iter()
            .map(edit)
            .collect()
    }

    /// Modules each of which gets the content of another.
    fn exchanged(&self, which: impl Fn(&str) -> bool) -> Result<Vec<Change>> {
        let ten = self.ten(which);
        let read = |p: &&PathBuf| std::fs::read(p);
        let contents: Vec<Vec<u8>> = ten.iter().map(read).collect::<Result<_>>()?;
        let mut others = contents.clone();
        others.rotate_left(1);
        let pairs = contents.into_iter().zip(others);
        Ok(ten
            .into_iter()
            .zip(pairs)
            .map(|(p, (old, new))| (p.clone(), Some(old), Some(new)))
            .collect())
    }

    fn changes(&self) -> Result<Vec<(&'static str, Vec<Change>)>> {
        let read = |p: &PathBuf| std::fs::read(p);
        let same = |p: &PathBuf| Ok((p.clone(), Some(read(p)?), Some(read(p)?)));
        let gone = |p: &PathBuf| Ok((p.clone(), Some(read(p)?), None));
        let came = |p: &PathBuf| {
            let new = format!(
                "added_{}",
                p.file_name().unwrap_or_default().to_string_lossy()
            );
            Ok((
                self.base.join("updates/added").join(new),
                None,
                Some(read(p)?),
            ))
        };
        let leaf = |n: &str| !self.with_symbols.contains(n);
        let plain =
            |n: &str| leaf(n) && !self.with_aliases.contains(n) && self.with_needs.contains(n);
        let all = |of: Vec<&PathBuf>, f: &dyn Fn(&PathBuf) -> Result<Change>| {
            of.into_iter().map(f).collect::<Result<Vec<_>>>()
        };
        Ok(vec![
            ("rebuilt", all(self.ten(|_| true), &same)?),
            (
                "with other aliases",
                self.edited(&self.with_aliases, b"alias=")?,
            ),
            (
                "with other symbols",
                self.edited(&self.with_symbols, b"__crc_")?,
            ),
            ("with other needs", self.exchanged(plain)?),
            ("with all of that", self.exchanged(|_| true)?),
            ("added, and gone again", all(self.ten(leaf), &came)?),
            ("removed, and back again", all(self.ten(leaf), &gone)?),
        ])
    }
}

/// Changes the last letter of each string that begins like this.
fn edit(image: &[u8], begin: &[u8]) -> Vec<u8> {
    let mut out = image.to_vec();
    let mut from = 0;
    let find = |bytes: &[u8]| bytes.windows(begin.len()).position(|w| w == begin);
    while let Some(at) = find(&image[from..]) {
        let text = from + at + begin.len();
        let len = image[text..].iter().position(|&c| c == 0).unwrap_or(0);
        if len > 0 {
            let last = &mut out[text + len - 1];
            *last = if *last == b'Z' { b'Y' } else { b'Z' };
        }
        from = text + len;
    }
    out
}

/// The program that packs such a file.
fn packer(path: &Path) -> Option<&'static [&'static str]> {
    match path.extension()?.to_str()? {
        "zst" => Some(&["zstd", "-qc"]),
        "xz" => Some(&["xz", "-c", "--check=crc32", "--lzma2=dict=1MiB"]),
        "gz" => Some(&["gzip", "-nc"]),
        _ => None,
    }
}

fn unpacked(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    match packer(path) {
        Some([program, ..]) => pipe(program, &["-dc"], bytes),
        _ => Ok(bytes.to_vec()),
    }
}

fn packed(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    match packer(path) {
        Some([program, args @ ..]) => pipe(program, args, bytes),
        _ => Ok(bytes.to_vec()),
    }
}

fn pipe(program: &str, args: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or(Error::other("no pipe"))?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let out = child.wait_with_output()?;
    writer.join().map_err(|_| Error::other("writer"))??;
    match out.status.success() {
        true => Ok(out.stdout),
        false => Err(Error::other(format!("{program} failed"))),
    }
}

/// As a package manager does it: a new file under the old name.
fn put(path: &Path, content: Option<&Vec<u8>>) -> Result<()> {
    match content {
        Some(content) => {
            let new = path.with_extension("new");
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(&new, content)?;
            std::fs::rename(&new, path)
        }
        None => std::fs::remove_file(path),
    }
}

/// Prints the ratios for the tree of a root.
pub fn measure(depmod: &Path, root: &str, modules: &Path, version: &str) -> Result<()> {
    let (near, beside) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let other = beside.path().join("lib/modules").join(version);
    std::fs::create_dir_all(&other)?;
    copy_tree(&modules.join(version), &other, &mut Vec::new())?;
    let other = beside.path().to_string_lossy().into_owned();
    let long_way = ["-b", &other, "--no-incremental", version];
    let base = near.path().join("lib/modules").join(version);
    std::fs::create_dir_all(&base)?;
    let mut all = Vec::new();
    copy_tree(&modules.join(version), &base, &mut all)?;
    all.sort();
    let dir = near.path().to_string_lossy().into_owned();
    let full = ["-b", &dir, "--no-incremental", version];
    let again = ["-b", &dir, "--incremental", version];
    run(depmod, &full);
    let tree = Tree::read(&base, all)?;
    for (what, changes) in tree.changes()? {
        run(depmod, &full);
        run(depmod, &again);
        // What was written a moment ago is not remembered.
        std::thread::sleep(Duration::from_millis(2100));
        run(depmod, &again);
        run(depmod, &long_way);
        // CPU time is counted in ticks of 10 ms, which begin anywhere in a run:
        // what is too much once is too little another time.
        let (mut short, mut long) = (Vec::new(), Vec::new());
        let (mut short_cpu, mut long_cpu) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            let begin = child_seconds();
            for (path, _, new) in &changes {
                put(path, new.as_ref())?;
            }
            short.extend(run(depmod, &again));
            for (path, old, _) in &changes {
                put(path, old.as_ref())?;
            }
            short.extend(run(depmod, &again));
            let between = child_seconds();
            short_cpu += (between - begin) / 2.0;
            long.extend(run(depmod, &long_way));
            long_cpu += child_seconds() - between;
        }
        let cpu = short_cpu / long_cpu;
        let (wall, full_wall) = (median(short), median(long));
        println!(
            "{:<40} {full_wall:9.2} {wall:9.2} ms  wall {:.3}  cpu {cpu:.3}  (full, incremental)",
            format!("depmod {root}: {} modules {what}", changes.len()),
            wall / full_wall
        );
    }
    Ok(())
}
