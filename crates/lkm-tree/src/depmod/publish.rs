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

/// New files under temporary names, which are removed again unless
/// [`Publication::commit`] gives them their own.
pub struct Publication<'a> {
    dir: &'a dyn OpenDir,
    /// Names, and temporary ones.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl<'a> Publication<'a> {
    pub fn new(dir: &'a dyn OpenDir) -> Publication<'a> {
        let files = Vec::new();
        Publication { dir, files }
    }

    /// Writes one of them, piece by piece.
    pub fn add(&mut self, name: &'static str, content: &[&[u8]]) -> Result<(), PublishError> {
        match self.dir.create_temporary(content, 0o644) {
            Ok(temporary) => {
                self.files.push((name, temporary));
                Ok(())
            }
            Err(e) => Err(PublishError::Write(name, e)),
        }
    }

    /// Replaces the files.
    pub fn commit(mut self) -> Result<(), PublishError> {
        if self.files.is_empty() {
            return Ok(());
        }
        sync_all(self.dir, &self.files)?;
        while let Some((name, temporary)) = self.files.first() {
            self.dir
                .rename(temporary, name.as_bytes())
                .map_err(|e| PublishError::Rename(name, e))?;
            self.files.remove(0);
        }
        // The files are there; that a directory cannot be synced is no failure.
        let _ = self.dir.sync();
        Ok(())
    }
}

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        for (_, temporary) in &self.files {
            // It may be gone; there is nothing else to do about it.
            let _ = self.dir.remove(temporary);
        }
    }
}

/// Replaces the files.
pub fn publish(dir: &dyn OpenDir, files: &[File]) -> Result<(), PublishError> {
    let mut publication = Publication::new(dir);
    for f in files {
        publication.add(f.name, &[&f.content])?;
    }
    publication.commit()
}

/// Waits until all are on the disk. At once: a disk that has to be told to
/// write what it holds is then told once, not eleven times.
fn sync_all(dir: &dyn OpenDir, files: &[(&'static str, Vec<u8>)]) -> Result<(), PublishError> {
    let sync = |(name, temporary): &(&'static str, Vec<u8>)| {
        let done = dir.sync_file(temporary);
        done.map_err(|e| PublishError::Write(name, e))
    };
    /// More threads than this gain nothing.
    const THREADS_MAX: usize = 4;
    let each = |files: &[(&'static str, Vec<u8>)]| files.iter().try_for_each(sync);
    let (mine, others) = files.split_at(files.len().div_ceil(THREADS_MAX));
    if !dir.on_disk() || others.is_empty() {
        return each(files);
    }
    std::thread::scope(|s| {
        let waiting: Vec<_> = others
            .chunks(mine.len())
            .map(|files| {
                let start = std::thread::Builder::new().spawn_scoped(s, move || each(files));
                // Where no thread can be had, one after the other.
                start.map_err(|_| each(files))
            })
            .collect();
        let done = each(mine);
        waiting.into_iter().try_for_each(|w| match w {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(done) => done,
        })?;
        done
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
