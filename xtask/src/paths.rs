//! Where things are: the workspace and the installed kernel headers.

use std::path::{Path, PathBuf};

/// The root of the workspace, from the place xtask was compiled in.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// An installed kernel with headers that modules can be built against.
#[derive(Debug, Clone)]
pub struct Headers {
    /// What `uname -r` would say there.
    pub release: String,
    /// The kbuild directory of its headers.
    pub build: PathBuf,
}

/// The kernels under /lib/modules that have headers, newest last (in version order).
pub fn installed_headers() -> Vec<Headers> {
    let mut found: Vec<Headers> = std::fs::read_dir("/lib/modules")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let build = entry.path().join("build");
            build.join("Makefile").is_file().then(|| Headers {
                release: entry.file_name().to_string_lossy().into_owned(),
                build,
            })
        })
        .collect();
    found.sort_by_key(|k| version_key(&k.release));
    found
}

/// The kernel that test modules are built for: `LKM_KVER` when set, else the newest 6.1 (the
/// reference profile), else the newest.
pub fn headers() -> Result<Headers, String> {
    let mut all = installed_headers();
    if let Ok(want) = std::env::var("LKM_KVER") {
        return all
            .into_iter()
            .find(|k| k.release == want)
            .ok_or_else(|| format!("no headers for {want} under /lib/modules"));
    }
    let reference = all.iter().rposition(|k| k.release.starts_with("6.1."));
    match reference {
        Some(at) => Ok(all.swap_remove(at)),
        None => all.pop().ok_or_else(|| {
            "no kernel headers under /lib/modules/*/build: run `cargo xtask setup`".to_owned()
        }),
    }
}

/// The numbers in a release, for ordering (6.1.0-9 before 6.1.0-56).
fn version_key(release: &str) -> Vec<u64> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::version_key;

    #[test]
    fn releases_order_by_number() {
        assert!(version_key("6.1.0-9-amd64") < version_key("6.1.0-56-amd64"));
        assert!(version_key("6.1.0-56-amd64") < version_key("6.12.1-1-amd64"));
    }
}
