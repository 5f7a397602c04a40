//! Writes the files into a directory that was opened once: all of them under
//! temporary names first, on the disk, then each to its own name. A run that
//! is killed, or a full disk, leaves the old files or the new ones, whole.

use super::output::File;
use crate::errno::Errno;
use crate::fs::OpenDir;

/// Why the files could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// This file's new content; nothing was changed.
    Write(&'static str, Errno),
    /// Giving it its name.
    Rename(&'static str, Errno),
}

/// Replaces the files.
pub fn publish(dir: &dyn OpenDir, files: &[File]) -> Result<(), PublishError> {
    let mut temporary: Vec<Vec<u8>> = Vec::new();
    let clean_up = |names: &[Vec<u8>]| {
        for t in names {
            // It may be gone; there is nothing else to do about it.
            let _ = dir.remove(t);
        }
    };
    for f in files {
        match dir.create_temporary(&f.content, 0o644, true) {
            Ok(name) => temporary.push(name),
            Err(e) => {
                clean_up(&temporary);
                return Err(PublishError::Write(f.name, e));
            }
        }
    }
    for (i, (f, t)) in files.iter().zip(&temporary).enumerate() {
        if let Err(e) = dir.rename(t, f.name.as_bytes()) {
            clean_up(&temporary[i..]);
            return Err(PublishError::Rename(f.name, e));
        }
    }
    // The files are there; that a directory cannot be synced is no failure.
    let _ = dir.sync();
    Ok(())
}

/// Removes the temporary files of runs that did not end.
pub fn remove_leftovers(dir: &dyn OpenDir, alive: &dyn Fn(u32) -> bool) {
    for e in dir.entries().unwrap_or_default() {
        let pid = e.name.strip_prefix(b".lkm-depmod.").and_then(|rest| {
            let (pid, _) = std::str::from_utf8(rest).ok()?.split_once('.')?;
            pid.parse().ok()
        });
        if let Some(pid) = pid
            && !alive(pid)
        {
            let _ = dir.remove(&e.name);
        }
    }
}
