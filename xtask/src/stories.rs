//! The story scripts of modules/stories, on modules built for the installed headers: each must meet all of its own
//! expectations.

use crate::kbuild;
use crate::paths;
use crate::tally::Tally;
use std::path::Path;
use std::process::Command;

/// Runs every story with the program at `lkm`.
pub fn all(lkm: &Path) -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("stories");
    let headers = paths::headers()?;
    let modules = kbuild::build(&headers, false)?;
    let directory = paths::root().join("modules/stories");
    let mut scripts: Vec<_> = std::fs::read_dir(&directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "lab"))
        .collect();
    scripts.sort();
    for script in &scripts {
        let output = Command::new(lkm)
            .args(["lab", "--modules"])
            .arg(&modules)
            .arg(script)
            .output()?;
        let name = script.file_stem().unwrap_or_default().to_string_lossy();
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
