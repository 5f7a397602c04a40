//! Kernels to boot: those under /boot with their modules, and packages unpacked
//! beside the build without being installed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bootable kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// What `uname -r` says on it.
    pub release: String,
    /// Its module tree (`/lib/modules/RELEASE`).
    pub modules: PathBuf,
}

/// Numbers of a release, for ordering: 6.12.9 comes before 6.12.10.
fn ordering(release: &str) -> Vec<u64> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

impl Kernel {
    /// The newest kernel whose release begins with `prefix` (a whole number: `6.1`
    /// is not 6.12), among /boot and the unpacked ones; an empty prefix means the
    /// newest installed one.
    pub fn find(prefix: &str) -> io::Result<Kernel> {
        let mut roots = vec![PathBuf::from("/")];
        if let Ok(entries) = fs::read_dir(unpacked_directory()) {
            roots.extend(entries.flatten().map(|e| e.path()));
        }
        if prefix.is_empty() {
            roots.truncate(1);
        }
        let mut found: Vec<Kernel> = roots.iter().flat_map(|root| Kernel::under(root)).collect();
        found.retain(|k| {
            k.release.strip_prefix(prefix).is_some_and(|rest| {
                prefix.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit())
            })
        });
        found.sort_by_key(|k| ordering(&k.release));
        found.pop().ok_or_else(|| {
            io::Error::other(format!(
                "no kernel {prefix}* with modules here: cargo xtask vm --fetch {prefix}"
            ))
        })
    }

    /// All kernels with modules below `root`.
    fn under(root: &Path) -> Vec<Kernel> {
        let Ok(entries) = fs::read_dir(root.join("boot")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let release = name.strip_prefix("vmlinuz-")?.to_string();
                let tree = ["lib/modules", "usr/lib/modules"]
                    .iter()
                    .map(|d| root.join(d).join(&release))
                    .find(|d| d.join("modules.dep").exists())?;
                Some(Kernel {
                    image: entry.path(),
                    release,
                    modules: tree,
                })
            })
            .collect()
    }

    /// The kernel of a series that has what is needed, unpacked once when none is here; an empty series is the
    /// installed kernel, which is never fetched.
    pub fn find_or_fetch(series: &str, suits: impl Fn(&Kernel) -> bool) -> io::Result<Kernel> {
        let found = Kernel::find(series);
        if series.is_empty() || found.as_ref().is_ok_and(suits) {
            return found;
        }
        println!("fetching a kernel {series} (once)");
        Kernel::fetch(series)
    }

    /// Downloads and unpacks Debian's newest kernel package of a series (`6.12`), with
    /// its headers, without installing them.
    pub fn fetch(series: &str) -> io::Result<Kernel> {
        let root = unpacked_directory().join(series);
        let packages = root.join("packages");
        fs::create_dir_all(&packages)?;
        let output = Command::new("apt-cache")
            .args(["search", "--names-only", "^linux-image-"])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter_map(|name| name.strip_prefix("linux-image-"))
            .filter(|r| r.starts_with(&format!("{series}.")) && r.ends_with("-amd64"))
            .filter(|r| !r.contains("-rt-") && !r.contains("-cloud-"))
            .collect();
        names.sort_by_key(|r| ordering(r));
        let release = names.pop().ok_or_else(|| {
            io::Error::other(format!(
                "apt knows no linux-image-{series}.*-amd64 (apt-get update?)"
            ))
        })?;
        let common = release.trim_end_matches("-amd64");
        let wanted = [
            format!("linux-image-{release}"),
            format!("linux-headers-{release}"),
            format!("linux-headers-{common}-common"),
            format!("linux-kbuild-{common}"),
        ];
        run(Command::new("apt-get")
            .arg("download")
            .args(&wanted)
            .current_dir(&packages))?;
        for entry in fs::read_dir(&packages)?.flatten() {
            run(Command::new("dpkg-deb")
                .arg("-x")
                .arg(entry.path())
                .arg(&root))?;
        }
        run(Command::new("depmod").arg("-b").arg(&root).arg(release))?;
        fs::remove_dir_all(&packages)?;
        // The headers name each other by the place where they would be installed.
        let makefile = root.join(format!("usr/src/linux-headers-{release}/Makefile"));
        let text = fs::read_to_string(&makefile)?;
        let here = format!("include {}/usr/src/", root.display());
        fs::write(&makefile, text.replace("include /usr/src/", &here))?;
        Kernel::find(series)
    }

    /// Where kbuild builds modules for this kernel; none when the headers are missing.
    #[allow(dead_code, reason = "used by the module builds")]
    pub fn headers(&self) -> Option<PathBuf> {
        let root = self.image.parent()?.parent()?;
        let place = root.join(format!("usr/src/linux-headers-{}", self.release));
        place.join("Makefile").exists().then_some(place)
    }

    /// The names of the modules of the tree that begin so.
    pub fn module_names(&self, prefix: &str) -> Vec<String> {
        let index = fs::read_to_string(self.modules.join("modules.dep")).unwrap_or_default();
        index
            .lines()
            .filter_map(|line| line.split(':').next())
            .map(module_name)
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    /// The files of these modules and of all that they depend on, from modules.dep;
    /// names with `-` and `_` are the same. A name that is built in gives nothing.
    ///
    /// # Errors
    /// For a module that is neither in the tree nor built in.
    pub fn module_files(&self, names: &[String]) -> io::Result<BTreeSet<PathBuf>> {
        let index = fs::read_to_string(self.modules.join("modules.dep"))?;
        let builtin = fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
        let mut files = BTreeSet::new();
        for name in names {
            let name = name.replace('-', "_");
            let line = index.lines().find(|line| {
                line.split(':')
                    .next()
                    .is_some_and(|path| module_name(path) == name)
            });
            match line.and_then(|line| line.split_once(':')) {
                Some((path, needs)) => {
                    files.insert(PathBuf::from(path));
                    files.extend(needs.split_whitespace().map(PathBuf::from));
                }
                None if builtin.lines().any(|path| module_name(path) == name) => {}
                None => {
                    return Err(io::Error::other(format!(
                        "{}: no module {name}",
                        self.release
                    )));
                }
            }
        }
        Ok(files)
    }
}

/// The module's name by its file name: `kernel/net/can/can-raw.ko.xz` is `can_raw`.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Where the build puts what it makes.
pub fn target_directory() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // A relative one is cargo's from where it was started; what is run in other directories needs it whole.
    named.map_or_else(
        || workspace().join("target"),
        |dir| std::path::absolute(&dir).unwrap_or(dir),
    )
}

fn unpacked_directory() -> PathBuf {
    target_directory().join("vm/kernels")
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{command:?}: {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_number() {
        assert!(ordering("6.12.9-amd64") < ordering("6.12.10-amd64"));
        assert!(ordering("6.1.0-56-amd64") < ordering("6.12.1+deb12-amd64"));
    }

    #[test]
    fn a_module_is_named_by_its_file() {
        assert_eq!(module_name("kernel/net/can/can-raw.ko.xz"), "can_raw");
    }
}
