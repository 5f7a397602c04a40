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
        match dir.create_temporary(&f.content, 0o644) {
            Ok(name) => temporary.push(name),
            Err(e) => {
                clean_up(&temporary);
                return Err(PublishError::Write(f.name, e));
            }
        }
    }
    if let Err((name, e)) = sync_all(dir, files, &temporary) {
        clean_up(&temporary);
        return Err(PublishError::Write(name, e));
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

/// Waits until all are on the disk. At once: a disk that has to be told to
/// write what it holds is then told once, not eleven times.
fn sync_all(
    dir: &dyn OpenDir,
    files: &[File],
    temporary: &[Vec<u8>],
) -> Result<(), (&'static str, Errno)> {
    let failed = |(f, t): (&File, &Vec<u8>)| dir.sync_file(t).map_err(|e| (f.name, e));
    if !dir.on_disk() {
        return files.iter().zip(temporary).try_for_each(failed);
    }
    std::thread::scope(|s| {
        let waiting: Vec<_> = files
            .iter()
            .zip(temporary)
            .map(|pair| {
                let start = std::thread::Builder::new().spawn_scoped(s, move || failed(pair));
                // Where no thread can be had, one after the other.
                start.map_err(|_| failed(pair))
            })
            .collect();
        waiting.into_iter().try_for_each(|w| match w {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(done) => done,
        })
    })
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
