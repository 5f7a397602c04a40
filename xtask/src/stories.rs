//! The story scripts of modules/stories, on modules built for the installed headers: each must meet all of its own
//! expectations.

use crate::kbuild;
use crate::paths;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts of a directory, in order.
pub fn scripts(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
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
