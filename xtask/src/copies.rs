//! The story scripts on copies of their modules: first with other numbers, made from the source, then with other names
//! as well, made from the built files.

use crate::kbuild::{self, Source};
use crate::numbers::{self, Numbers};
use crate::paths;
use crate::rename::Renaming;
use crate::tally::Tally;
use lkm_object::elf::Elf;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

type Error = Box<dyn std::error::Error>;

/// A script: its name, its text, and the same with other numbers.
struct Script {
    name: String,
    text: String,
    numbers: Numbers,
    renumbered: String,
}

/// The scripts of the stories and of their variants; one whose numbers are not declared counts as failed.
fn scripts(tally: &mut Tally) -> Result<Vec<Script>, Error> {
    let mut all = Vec::new();
    for directory in ["stories", "variants"] {
        let directory = paths::root().join("modules").join(directory);
        for path in crate::stories::scripts(&directory)? {
            let stem = path.file_stem().unwrap_or_default();
            let name = stem.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)?;
            let made = Numbers::of_script(&text).and_then(|n| Ok((n.script(&text)?, n)));
            match made {
                Ok((renumbered, numbers)) => all.push(Script {
                    name,
                    text,
                    numbers,
                    renumbered,
                }),
                Err(e) => tally.add(&name, &[e]),
            }
        }
    }
    if all.is_empty() {
        tally.add("scripts", &["there are none".to_owned()]);
    }
    Ok(all)
}

/// The sources of the modules that scripts name; the kernel's own tests have none here.
fn sources(scripts: &[Script]) -> Result<Vec<Source>, Error> {
    let named: BTreeSet<&str> = scripts
        .iter()
        .flat_map(|s| s.text.split_whitespace())
        .filter_map(|word| word.strip_suffix(".ko"))
        .collect();
    let mut sources = kbuild::sources()?;
    sources.retain(|s| named.contains(s.name.as_str()));
    Ok(sources)
}

/// Builds the modules with other numbers. The built files must differ from the old ones in what the kernel sees, but
/// for those that are declared to have no numbers.
fn renumber(sources: &[Source], old: &Path, to: &Path, tally: &mut Tally) -> Result<(), Error> {
    let mut copies = Vec::new();
    for source in sources {
        let text = std::fs::read_to_string(&source.path)?;
        match source.directives().and_then(|d| d.numbers.module(&text)) {
            Ok(copy) => copies.push((source, copy != text, copy)),
            Err(e) => tally.add(&source.name, &[e]),
        }
    }
    let texts: Vec<(&str, &str)> = copies
        .iter()
        .map(|(source, _, copy)| (source.name.as_str(), copy.as_str()))
        .collect();
    kbuild::build_texts(&paths::headers()?, &texts, to)?;
    for (source, changed, _) in &copies {
        let file = format!("{}.ko", source.name);
        let same = loaded(&old.join(&file))? == loaded(&to.join(&file))?;
        let wrong = (same == *changed).then(|| match same {
            true => "other numbers in the source, and none in what is built".to_owned(),
            false => "without other numbers something else is built".to_owned(),
        });
        tally.add(&source.name, &Vec::from_iter(wrong));
    }
    Ok(())
}

/// What a module file has of code and data: not what identifies the build.
fn loaded(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    const ALLOC: u64 = 2;
    const NOBITS: u32 = 8;
    let bytes = std::fs::read(path)?;
    let elf = Elf::parse(&bytes).map_err(|e| e.to_string())?;
    let sections = elf.sections.iter().filter(|s| {
        let build = s.name.starts_with(".note") || s.name == ".modinfo" || s.name == ".BTF";
        s.flags & ALLOC != 0 && s.sh_type != NOBITS && !build
    });
    let content = |offset: u64, size: u64| {
        let range = offset as usize..offset.saturating_add(size) as usize;
        bytes.get(range).unwrap_or_default().to_vec()
    };
    Ok(sections
        .map(|s| (s.name.to_owned(), content(s.offset, s.size)))
        .collect())
}

/// Runs the story scripts with the program at `lkm` on the copies: those with other numbers must meet the scripts' own
/// expectations, told in the new numbers, and say the same in the same order but for numbers; those that have other
/// names, too, must say the very same but for the names.
pub fn all(lkm: &Path) -> Result<[Tally; 2], Error> {
    let mut counted = Tally::new("stories renumbered");
    let mut named = Tally::new("stories renamed");
    let headers = paths::headers()?;
    let modules = kbuild::build(&headers, false)?;
    let home = crate::kernel::target_directory().join("renamed");
    let (numbered, other) = (home.join("numbers"), home.join("names"));
    if other.exists() {
        std::fs::remove_dir_all(&other)?;
    }
    std::fs::create_dir_all(&other)?;
    let scripts = scripts(&mut counted)?;
    let sources = sources(&scripts)?;
    renumber(&sources, &modules, &numbered, &mut counted)?;
    for directory in [&modules, &numbered, &other] {
        crate::compare::take_selftests(&headers, &directory.join("selftests"))?;
    }
    let renaming = rename(&sources, &numbered, &other, &mut named)?;
    for script in &scripts {
        let lab = Lab {
            lkm,
            file: home.join(format!("{}.lab", script.name)),
        };
        // As it is, for its expectations; then without them, for its whole answers.
        let output = lab.run(&numbered, &script.renumbered)?;
        let mut wrong = Vec::new();
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            wrong.extend(text.lines().map(str::to_owned));
            wrong.push(output.status.to_string());
        }
        let plain = lab.answers(&modules, &steps(&script.text))?;
        let changed = lab.answers(&numbered, &steps(&script.renumbered))?;
        let words: BTreeSet<String> = script.numbers.words().map(str::to_owned).collect();
        wrong.extend(script.numbers.idle(&script.text, &plain));
        let mask = |l: String| numbers::masked(&steady(&l), &words);
        let one = plain.iter().map(|l| mask(script.numbers.line(l)));
        let two = changed.iter().map(|l| mask(l.clone()));
        wrong.extend(difference(&squeezed(one), &squeezed(two)));
        counted.add(&script.name, &wrong);
        let lines: Vec<String> = steps(&script.renumbered)
            .lines()
            .map(|l| renaming.line(l))
            .collect();
        let answered = lab.answers(&other, &(lines.join("\n") + "\n"))?;
        let neutral = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|l| steady(&renaming.neutral(l))).collect()
        };
        let (one, two) = (neutral(&changed), neutral(&answered));
        named.add(&script.name, &Vec::from_iter(difference(&one, &two)));
    }
    Ok([counted, named])
}

/// Writes the copies with other names.
fn rename(
    sources: &[Source],
    from: &Path,
    to: &Path,
    tally: &mut Tally,
) -> Result<Renaming, Error> {
    let mut files = Vec::new();
    for source in sources {
        let name = format!("{}.ko", source.name);
        files.push((name.clone(), std::fs::read(from.join(name))?));
    }
    let mut renaming = Renaming::new(files.iter().map(|(_, bytes)| bytes.as_slice()));
    for (name, bytes) in &files {
        let copy = renaming.copy(bytes)?;
        if copy[..64] == bytes[..64] && copy.len() == bytes.len() {
            tally.add(name, &["the copy is the original".to_owned()]);
        }
        std::fs::write(to.join(renaming.file(name)), copy)?;
    }
    Ok(renaming)
}

/// The lines of a script that do something, and a question for all findings.
fn steps(text: &str) -> String {
    text.lines()
        .filter(|l| !l.starts_with('#') && !l.starts_with("expect "))
        .chain(["findings"])
        .map(|l| format!("{l}\n"))
        .collect()
}

/// The program, and where it gets its script from.
struct Lab<'a> {
    lkm: &'a Path,
    file: PathBuf,
}

impl Lab<'_> {
    fn run(&self, modules: &Path, script: &str) -> std::io::Result<std::process::Output> {
        std::fs::write(&self.file, script)?;
        Command::new(self.lkm)
            .args(["lab", "--modules"])
            .arg(modules)
            .arg(&self.file)
            .output()
    }

    fn answers(&self, modules: &Path, script: &str) -> std::io::Result<Vec<String>> {
        let output = self.run(modules, script)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let status = output.status.to_string();
        Ok(said.lines().map(str::to_owned).chain([status]).collect())
    }
}

/// The first line in which two answers differ.
fn difference(one: &[String], two: &[String]) -> Option<String> {
    if one == two {
        return None;
    }
    let differs = one.iter().zip(two).find(|(a, b)| a != b);
    Some(match differs {
        Some((a, b)) => format!("\"{a}\" has become \"{b}\""),
        None => format!("{} lines have become {}", one.len(), two.len()),
    })
}

/// Lines without repetitions of up to forty of them: there are so many, where the number is another one.
fn squeezed(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        out.push(line);
        let len = out.len();
        let again = (1..=40).find(|&k| len >= 2 * k && out[len - k..] == out[len - 2 * k..len - k]);
        out.truncate(len - again.unwrap_or(0));
    }
    out
}

/// A line without what depends on the bytes themselves and on where they were built: long numbers in hexadecimal,
/// lsmod's sizes, directories of sources.
fn steady(line: &str) -> String {
    if line.contains("Code: ") {
        return "Code:".to_owned();
    }
    let word = |w: &str| {
        if w.contains(".c:") {
            return w.rsplit('/').next().unwrap_or(w).to_owned();
        }
        let digits = w.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = digits.trim_start_matches("0x");
        let hex = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit());
        if hex || size {
            "N".to_owned()
        } else {
            w.to_owned()
        }
    };
    line.split_whitespace()
        .map(word)
        .collect::<Vec<_>>()
        .join(" ")
}
