//! A kernel's module tree in several forms: as files that are not compressed, and compressed in each way.

use crate::kernel::{Kernel, target_directory};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The forms; `mixed` has each of the others in turn.
pub const FORMS: &[&str] = &["raw", "gzip", "zstd", "xz", "mixed"];
/// The same for tools that do not read gzip.
pub const FORMS_WITHOUT_GZIP: &[&str] = &["raw", "zstd", "xz", "mixed-zstd-xz"];

/// What compresses a form, and how the files end.
fn packer(form: &str) -> Option<(&'static str, &'static [&'static str], &'static str)> {
    Some(match form {
        "gzip" => ("gzip", &["-nc1"], ".gz"),
        "zstd" => ("zstd", &["-qc3"], ".zst"),
        // As the kernel's build does, but in a hurry.
        "xz" => ("xz", &["-c0", "--check=crc32"], ".xz"),
        _ => return None,
    })
}

/// Makes a kernel's tree in a form, once; the root that it is below.
///
/// # Errors
/// When a packer is missing or a module cannot be read.
pub fn make(kernel: &Kernel, form: &str) -> io::Result<PathBuf> {
    let base = target_directory()
        .join("trees")
        .join(&kernel.release)
        .join(form);
    let ready = base.join("ready");
    if ready.exists() {
        return Ok(base);
    }
    let to = base.join("lib/modules").join(&kernel.release);
    let mut modules = Vec::new();
    for part in ["kernel", "updates", "extra"] {
        if kernel.modules.join(part).is_dir() {
            list(&kernel.modules.join(part), &mut modules)?;
        }
    }
    modules.sort();
    for name in [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ] {
        fs::create_dir_all(&to)?;
        fs::copy(kernel.modules.join(name), to.join(name))?;
    }
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = modules.get(i) else {
                return Ok(());
            };
            let form = match form {
                "mixed" => FORMS[i % 4],
                "mixed-zstd-xz" => FORMS_WITHOUT_GZIP[i % 3],
                other => other,
            };
            let relative = path
                .strip_prefix(&kernel.modules)
                .map_err(io::Error::other)?;
            one(path, &to.join(relative), form)?;
        }
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..2).map(|_| s.spawn(work)).collect();
        threads.into_iter().try_for_each(|t| {
            t.join()
                .map_err(|_| io::Error::other("a packing thread panicked"))?
        })
    })?;
    fs::write(ready, "")?;
    Ok(base)
}

fn list(dir: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), out)?;
        } else if entry.file_name().to_string_lossy().contains(".ko") {
            out.push(entry.path());
        }
    }
    Ok(())
}

/// Writes one module in a form, under its name with that form's ending.
fn one(from: &Path, to: &Path, form: &str) -> io::Result<()> {
    let bytes = fs::read(from)?;
    let raw =
        lkm_object::decompress(&bytes, lkm_object::DEFAULT_LIMIT).map_err(io::Error::other)?;
    let name = to.to_string_lossy().into_owned();
    let stem = &name[..name.rfind(".ko").map_or(name.len(), |at| at + 3)];
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    let Some((program, args, ending)) = packer(form) else {
        return fs::write(stem, raw);
    };
    let mut command = Command::new(program);
    command.args(args);
    if program == "zstd" {
        // The frame is to tell the size, as it does when a file is packed: kmod asks for it.
        command.arg(format!("--stream-size={}", raw.len()));
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(fs::File::create(format!("{stem}{ending}"))?)
        .spawn()
        .map_err(|e| io::Error::other(format!("{program}: {e}")))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&raw)?;
    }
    let status = child.wait()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program}: {status}"))),
    }
}
