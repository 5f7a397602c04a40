//! The shared libraries that a dynamically linked program needs, as the dynamic
//! loader itself finds them (`ldd`).

use std::path::{Path, PathBuf};
use std::process::Command;

/// The files a program needs beside itself: libraries and the loader.
/// Empty for a static program.
///
/// # Errors
/// When `ldd` cannot be run, or a library is missing.
pub fn libraries(program: &Path, search: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let path = search
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(":");
    let output = Command::new("ldd")
        .arg(program)
        .env("LD_LIBRARY_PATH", path)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.ends_with("not found") {
            return Err(std::io::Error::other(format!(
                "{}: {line}",
                program.display()
            )));
        }
        // `name => /path (0x…)`, or `/path (0x…)` for the loader.
        let place = line.split_once("=> ").map_or(line, |(_, place)| place);
        let place = place.split(" (").next().unwrap_or("");
        if place.starts_with('/') {
            found.push(PathBuf::from(place));
        }
    }
    Ok(found)
}
