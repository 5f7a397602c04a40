//! The story scripts of modules/stories, on modules built for the installed headers: each must meet all of its own
//! expectations.

use crate::kbuild;
use crate::paths;
use crate::rename::Renaming;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts of a directory, in order.
fn scripts(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut scripts: Vec<_> = std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "lab"))
        .collect();
    scripts.sort();
    Ok(scripts)
}

/// Runs every story with the program at `lkm`.
pub fn all(lkm: &Path) -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("stories");
    let headers = paths::headers()?;
    let modules = kbuild::build(&headers, false)?;
    crate::compare::take_selftests(&headers, &modules.join("selftests"))?;
    let scripts = scripts(&paths::root().join("modules/stories"))?;
    let variants = self::scripts(&paths::root().join("modules/variants"))?;
    // Built anew, and as the program embeds them; what the variants load is not embedded.
    let prebuilt = paths::root().join("crates/lkm/examples-ko");
    let both = scripts
        .iter()
        .flat_map(|script| [(script, &modules, ""), (script, &prebuilt, " prebuilt")])
        .chain(variants.iter().map(|script| (script, &modules, "")));
    for (script, modules, which) in both {
        let output = Command::new(lkm)
            .args(["lab", "--modules"])
            .arg(modules)
            .arg(script)
            .output()?;
        let name = script.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{name}{which}");
        let wrong: Vec<String> = if output.status.success() {
            Vec::new()
        } else {
            let text = String::from_utf8_lossy(&output.stderr);
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.push(output.status.to_string());
            lines
        };
        tally.add(&name, &wrong);
    }
    if scripts.is_empty() {
        tally.add("scripts", &["there are none".to_owned()]);
    }
    Ok(tally)
}

/// Runs every story on copies of its modules in which all names are others: the answers may differ in those only.
pub fn renamed(lkm: &Path) -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("stories renamed");
    let headers = paths::headers()?;
    let modules = kbuild::build(&headers, false)?;
    let home = crate::kernel::target_directory().join("renamed");
    let (plain, other) = (home.join("plain"), home.join("other"));
    for directory in [&plain, &other] {
        if directory.exists() {
            std::fs::remove_dir_all(directory)?;
        }
        std::fs::create_dir_all(directory)?;
    }
    let sources = paths::root().join("modules/stories");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&sources)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "c")
            && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
        {
            let name = format!("{stem}.ko");
            files.push((name.clone(), std::fs::read(modules.join(&name))?));
        }
    }
    let mut renaming = Renaming::new(files.iter().map(|(_, bytes)| bytes.as_slice()));
    for (name, bytes) in &files {
        std::fs::write(plain.join(name), bytes)?;
        let copy = renaming.copy(bytes)?;
        if copy[..64] == bytes[..64] && copy.len() == bytes.len() {
            tally.add(name, &["the copy is the original".to_owned()]);
        }
        std::fs::write(other.join(renaming.file(name)), copy)?;
    }
    for script in scripts(&sources)? {
        let name = script.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&script)?;
        // What it expects is said in the old names; here the whole answers are compared.
        let lines: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.starts_with("expect "))
            .chain(["findings"])
            .collect();
        let run = |directory: &Path, lines: Vec<String>| -> std::io::Result<Vec<String>> {
            let script = directory.join(format!("{name}.lab"));
            std::fs::write(&script, lines.join("\n") + "\n")?;
            let output = Command::new(lkm)
                .args(["lab", "--modules"])
                .arg(directory)
                .arg(&script)
                .output()?;
            let mut said: Vec<String> = String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|l| steady(&renaming.undo(l)))
                .collect();
            said.push(output.status.to_string());
            Ok(said)
        };
        let one = run(&plain, lines.iter().map(|&l| l.to_owned()).collect())?;
        let two = run(&other, lines.iter().map(|l| renaming.line(l)).collect())?;
        let mut wrong = Vec::new();
        if one != two {
            let differs = one.iter().zip(&two).find(|(a, b)| a != b);
            wrong.push(match differs {
                Some((a, b)) => format!("\"{a}\" has become \"{b}\""),
                None => format!("{} lines have become {}", one.len(), two.len()),
            });
        }
        tally.add(&name, &wrong);
    }
    Ok(tally)
}

/// A line without what depends on the bytes themselves: long numbers in hexadecimal, and lsmod's sizes.
fn steady(line: &str) -> String {
    if line.contains("Code: ") {
        return "Code:".to_owned();
    }
    let word = |w: &str| {
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
