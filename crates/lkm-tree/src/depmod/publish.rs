//! Writes the files into a directory that was opened once: all of them under
//! temporary names first, on the disk, then each to its own name. A run that
//! is killed, or a full disk, leaves the old files or the new ones, whole.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

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
pub struct Publication<'s, 'e> {
    dir: &'e dyn OpenDir,
    queue: &'e Queue,
    scope: &'s Scope<'s, 'e>,
    helpers: Vec<ScopedJoinHandle<'s, ()>>,
}

/// Files that were written and have to come to the disk.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    /// Names, and temporary ones.
    files: Vec<(&'static str, Vec<u8>)>,
    /// The first that nobody syncs yet.
    next: usize,
    /// No more will come.
    closed: bool,
    failed: Option<PublishError>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs files until no more come.
    fn work(&self, dir: &dyn OpenDir) {
        let mut state = self.lock();
        while state.failed.is_none() {
            if let Some((name, temporary)) = state.files.get(state.next).cloned() {
                state.next += 1;
                drop(state);
                let done = dir.sync_file(&temporary);
                state = self.lock();
                if let Err(e) = done {
                    state.failed = Some(PublishError::Write(name, e));
                }
            } else if state.closed {
                return;
            } else {
                let waited = self.more.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }
}

/// Runs `make` with files to be published in a directory. While it makes the
/// next one, those before it are on their way to the disk.
pub fn publishing<R>(
    dir: &dyn OpenDir,
    make: impl for<'s, 'e> FnOnce(Publication<'s, 'e>) -> R,
) -> R {
    let queue = Queue::default();
    std::thread::scope(|scope| {
        make(Publication {
            dir,
            queue: &queue,
            scope,
            helpers: Vec::new(),
        })
    })
}

impl Publication<'_, '_> {
    /// Writes one of them, piece by piece.
    pub fn add(&mut self, name: &'static str, content: &[&[u8]]) -> Result<(), PublishError> {
        match self.dir.create_temporary(content, 0o644) {
            Ok(temporary) => {
                self.queue.lock().files.push((name, temporary));
                if self.helpers.is_empty() {
                    self.help();
                }
                self.queue.more.notify_one();
                Ok(())
            }
            Err(e) => Err(PublishError::Write(name, e)),
        }
    }

    /// Lets one more thread sync files. Where none can be had, or there is no
    /// disk, [`Publication::commit`] does it alone.
    fn help(&mut self) {
        let (queue, dir) = (self.queue, self.dir);
        if dir.on_disk() {
            let thread = std::thread::Builder::new();
            let started = thread.spawn_scoped(self.scope, move || queue.work(dir));
            self.helpers.extend(started.ok());
        }
    }

    /// Waits until all are on the disk. At once: a disk that has to be told to
    /// write what it holds is then told once, not eleven times.
    fn sync_all(&mut self) -> Result<(), PublishError> {
        /// More threads than this gain nothing, besides our own.
        const HELPERS_MAX: usize = 3;
        let left = {
            let state = self.queue.lock();
            state.files.len() - state.next
        };
        // Each has more than one to sync, or is not worth its start.
        for _ in self.helpers.len()..(left / 2).min(HELPERS_MAX) {
            self.help();
        }
        self.queue.close();
        self.queue.work(self.dir);
        for helper in self.helpers.drain(..) {
            let ended = helper.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        self.queue.lock().failed.map_or(Ok(()), Err)
    }

    /// Replaces the files.
    pub fn commit(mut self) -> Result<(), PublishError> {
        if self.queue.lock().files.is_empty() {
            return Ok(());
        }
        self.sync_all()?;
        let files = &mut self.queue.lock().files;
        while let Some((name, temporary)) = files.first() {
            self.dir
                .rename(temporary, name.as_bytes())
                .map_err(|e| PublishError::Rename(name, e))?;
            files.remove(0);
        }
        // The files are there; that a directory cannot be synced is no failure.
        let _ = self.dir.sync();
        Ok(())
    }
}

impl Drop for Publication<'_, '_> {
    fn drop(&mut self) {
        self.queue.close();
        for (_, temporary) in &self.queue.lock().files {
            // It may be gone; there is nothing else to do about it.
            let _ = self.dir.remove(temporary);
        }
    }
}

/// Replaces the files.
pub fn publish(dir: &dyn OpenDir, files: &[File]) -> Result<(), PublishError> {
    publishing(dir, |mut publication| {
        for f in files {
            publication.add(f.name, &[&f.content])?;
        }
        publication.commit()
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
