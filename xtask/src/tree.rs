//! `cargo xtask tree`: what depmod, modinfo and modprobe make of whole module trees, ours beside kmod's.
//!
//! The trees are those of the installed kernel and of a 6.12 kernel (unpacked beside the build), each raw,
//! with gzip, zstd and xz, and mixed ([`crate::tree_forms`]). Every file that depmod writes must be equal
//! byte for byte, as must be what modinfo says of every module, and the plans and aliases of modprobe for
//! every name and 5,000 aliases. Compared is with the newest kmod when it can be built (as `cargo xtask
//! kmod-suite` does), and else with the installed one, whose text files are the same.

use crate::kernel::Kernel;
use crate::kmod_suite;
use crate::tally::{self, Tally};
use crate::tree_forms::{FORMS, FORMS_WITHOUT_GZIP, make};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

/// As many aliases are looked up.
const ALIASES: usize = 5000;

const TEXTS: [&str; 5] = [
    "modules.dep",
    "modules.alias",
    "modules.softdep",
    "modules.symbols",
    "modules.devname",
];
/// What older kmods write otherwise, or not at all.
const NEWEST_ONLY: [&str; 6] = [
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.symbols.bin",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
    "modules.weakdep",
];

/// The task.
pub fn task(args: &[String]) -> crate::Outcome {
    let mut series: Vec<&str> = args.iter().map(String::as_str).collect();
    if series.is_empty() {
        series = vec!["", "6.12"];
    }
    let groups: Vec<Tally> = series.iter().map(|s| all(s)).collect();
    let good = tally::close(&groups);
    Ok(ExitCode::from(u8::from(!good)))
}

/// All forms of the tree of a kernel series; the newest installed one when that is empty.
pub fn all(series: &str) -> Tally {
    let mut tally = Tally::new(&format!("tree {series}"));
    let kernel = match Kernel::find_or_fetch(series, |_| true) {
        Ok(kernel) => kernel,
        Err(e) => {
            tally.skip("all", &format!("no kernel {series}: {e}"));
            return tally;
        }
    };
    if let Err(e) = forms(&kernel, &mut tally) {
        tally.add("set-up", &[e.to_string()]);
    }
    tally
}

/// Two sets of tools.
struct Pair {
    kmod: PathBuf,
    ours: PathBuf,
    /// kmod is the newest, so that all files must be the same.
    newest: bool,
}

fn forms(kernel: &Kernel, tally: &mut Tally) -> Result<(), Box<dyn std::error::Error>> {
    let ours = kmod_suite::tools()?;
    let pair = match kmod_suite::built() {
        Ok(build) => Pair {
            kmod: build.join("kmod"),
            ours,
            newest: true,
        },
        Err(e) => {
            println!("compared with the installed kmod only: {e}");
            Pair {
                kmod: installed().ok_or("no kmod is installed")?,
                ours,
                newest: false,
            }
        }
    };
    // Debian's kmod is built without zlib.
    let gzip = pair.newest || reads_gzip(&pair.kmod)?;
    if !gzip {
        tally.skip("gzip", "the installed kmod is built without zlib");
    }
    for &form in if gzip { FORMS } else { FORMS_WITHOUT_GZIP } {
        let base = match make(kernel, form) {
            Ok(base) => base,
            Err(e) => {
                tally.add(&format!("make {form}"), &[e.to_string()]);
                continue;
            }
        };
        let tree = Tree {
            base: &base,
            release: &kernel.release,
            pair: &pair,
        };
        tree.depmod(form, tally)?;
        tree.modinfo(form, tally)?;
        if form == "raw" {
            tree.modprobe(tally)?;
        }
    }
    Ok(())
}

/// Whether a kmod names zlib among what it was built with.
fn reads_gzip(kmod: &Path) -> io::Result<bool> {
    let told = Command::new(kmod).arg("--version").output()?.stdout;
    Ok(String::from_utf8_lossy(&told)
        .split_whitespace()
        .any(|word| word == "+ZLIB"))
}

fn installed() -> Option<PathBuf> {
    ["/usr/bin/kmod", "/bin/kmod"]
        .map(PathBuf::from)
        .into_iter()
        .find(|p| p.exists())
}

struct Tree<'a> {
    base: &'a Path,
    release: &'a str,
    pair: &'a Pair,
}

impl Tree<'_> {
    fn dir(&self) -> PathBuf {
        self.base.join("lib/modules").join(self.release)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let dep = fs::read_to_string(self.dir().join("modules.dep"))?;
        let name = |line: &str| {
            let path = line.split(':').next().unwrap_or("");
            let file = path.rsplit('/').next().unwrap_or("");
            file.split(".ko").next().unwrap_or("").to_owned()
        };
        Ok(dep.lines().map(name).collect())
    }

    /// What a tool says, standard output, errors and status.
    fn say(&self, program: &Path, tool: &str, args: &[&str]) -> io::Result<String> {
        use std::os::unix::process::CommandExt;
        let out = Command::new(program)
            .arg0(tool)
            .args(args)
            .env_clear()
            .output()?;
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let code = out.status.code();
        Ok(format!(
            "{}{}{code:?}",
            text(&out.stdout),
            text(&out.stderr)
        ))
    }

    fn depmod(&self, form: &str, tally: &mut Tally) -> io::Result<()> {
        let base = self.base.to_string_lossy().into_owned();
        let args = ["-b", &base, self.release];
        let mut names = TEXTS.to_vec();
        if self.pair.newest {
            names.extend(NEWEST_ONLY);
        }
        let written = |program: &Path| -> io::Result<Vec<Option<Vec<u8>>>> {
            for name in &names {
                let _ = fs::remove_file(self.dir().join(name));
            }
            self.say(program, "depmod", &args)?;
            Ok(names
                .iter()
                .map(|n| fs::read(self.dir().join(n)).ok())
                .collect())
        };
        let (theirs, ours) = (written(&self.pair.kmod)?, written(&self.pair.ours)?);
        for ((name, a), b) in names.iter().zip(theirs).zip(ours) {
            let wrong = match (a, b) {
                (Some(a), Some(b)) if a == b => None,
                (Some(a), Some(b)) => {
                    let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
                    Some(format!(
                        "differs from byte {at} on ({} and {} bytes)",
                        a.len(),
                        b.len()
                    ))
                }
                (a, b) => Some(format!(
                    "written: {} by kmod, {} by us",
                    a.is_some(),
                    b.is_some()
                )),
            };
            tally.add(&format!("{form} {name}"), &Vec::from_iter(wrong));
        }
        Ok(())
    }

    fn modinfo(&self, form: &str, tally: &mut Tally) -> io::Result<()> {
        let base = self.base.to_string_lossy().into_owned();
        let names = self.names()?;
        let said = |program: &Path| -> io::Result<Vec<String>> {
            let mut lines = Vec::new();
            for some in names.chunks(500) {
                let mut args = vec!["-b", &base, "-k", self.release];
                args.extend(some.iter().map(String::as_str));
                lines.extend(
                    self.say(program, "modinfo", &args)?
                        .lines()
                        .map(str::to_owned),
                );
            }
            if !self.pair.newest {
                // Which older ones do not know.
                lines.retain(|l| !l.starts_with("build-id:"));
            }
            Ok(lines)
        };
        let (theirs, ours) = (said(&self.pair.kmod)?, said(&self.pair.ours)?);
        let what = format!(
            "{form} modinfo of {} modules ({} lines)",
            names.len(),
            ours.len()
        );
        tally.add(&what, &differences(&theirs, &ours));
        Ok(())
    }

    fn modprobe(&self, tally: &mut Tally) -> io::Result<()> {
        let names = self.names()?;
        let aliases = self.aliases()?;
        let softdeps = fs::read_to_string(self.dir().join("modules.softdep"))?;
        let many = with_several_softdeps(&softdeps);
        for (option, what) in [("-D", "-D of"), ("-R", "-R of")] {
            for (asked, kind) in [(&names, "modules"), (&aliases, "aliases")] {
                let (wrong, meant) = self.each(option, asked, &many)?;
                let mut title = format!("modprobe {what} {} {kind}", asked.len());
                if meant > 0 {
                    title += &format!(" ({meant} with all their softdep lines)");
                }
                tally.add(&title, &wrong);
            }
        }
        Ok(())
    }

    /// Device names that the aliases match, spread over all of them.
    fn aliases(&self) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(self.dir().join("modules.alias"))?;
        let patterns: Vec<&str> = text.lines().filter_map(|l| l.split(' ').nth(1)).collect();
        let step = (patterns.len() / ALIASES).max(1);
        let name = |pattern: &&str| {
            let mut name = String::new();
            let mut inside = false;
            for c in pattern.chars() {
                match c {
                    '[' => inside = true,
                    ']' => {
                        inside = false;
                        name.push('0');
                    }
                    _ if inside => {}
                    '*' => name.push_str("00"),
                    '?' => name.push('0'),
                    c => name.push(c),
                }
            }
            name
        };
        Ok(patterns
            .iter()
            .skip(1)
            .step_by(step)
            .take(ALIASES)
            .map(name)
            .collect())
    }

    /// Asks for each; what differs, and how many differ as they are meant to.
    fn each(
        &self,
        option: &str,
        asked: &[String],
        many: &BTreeSet<String>,
    ) -> io::Result<(Vec<String>, usize)> {
        let base = self.base.to_string_lossy().into_owned();
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<(Vec<String>, usize)> {
            let (mut wrong, mut meant) = (Vec::new(), 0);
            while let Some(name) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                // No configuration but the modules' own: there is none in the root.
                let args = ["-C", &base, "-d", &base, "-S", self.release, option, name];
                let theirs = self.say(&self.pair.kmod, "modprobe", &args)?;
                let ours = self.say(&self.pair.ours, "modprobe", &args)?;
                if theirs == ours {
                    continue;
                }
                // All softdep lines of a module count, where kmod takes the first.
                if option == "-D"
                    && theirs.lines().all(|l| ours.contains(l))
                    && many
                        .iter()
                        .any(|m| ours.replace('-', "_").contains(&format!("/{m}.ko")))
                {
                    meant += 1;
                } else if wrong.len() < 10 {
                    wrong.push(format!("{name}: kmod: {theirs:?} ours: {ours:?}"));
                }
            }
            Ok((wrong, meant))
        };
        std::thread::scope(|s| {
            let threads: Vec<_> = (0..2).map(|_| s.spawn(work)).collect();
            let (mut wrong, mut meant) = (Vec::new(), 0);
            for thread in threads {
                let (w, m) = thread
                    .join()
                    .map_err(|_| io::Error::other("a comparing thread panicked"))??;
                wrong.extend(w);
                meant += m;
            }
            Ok((wrong, meant))
        })
    }
}

/// The modules that have more than one line in modules.softdep.
fn with_several_softdeps(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let names = text.lines().filter_map(|l| l.strip_prefix("softdep "));
    names
        .filter_map(|l| l.split(' ').next())
        .filter(|name| !seen.insert(*name))
        .map(str::to_owned)
        .collect()
}

/// The first lines that differ.
fn differences(a: &[String], b: &[String]) -> Vec<String> {
    let mut out: Vec<String> = a
        .iter()
        .zip(b)
        .filter(|(a, b)| a != b)
        .take(5)
        .map(|(a, b)| format!("kmod {a:?}, ours {b:?}"))
        .collect();
    if a.len() != b.len() {
        out.push(format!("kmod has {} lines, ours {}", a.len(), b.len()));
    }
    out
}
