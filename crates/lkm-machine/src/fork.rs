//! The confined child: a run is a fork of a single-threaded process, and leaves a trace in memory that
//! both share, however it ends.

use crate::sys::{self, Failure};
use crate::{confine, trap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Exit status of a child whose own code faulted.
pub const HOST_FAULT: i32 = 101;
const SETUP_FAILED: i32 = 102;

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It returned from its function.
    Normally,
    /// lkm's own code in the child failed (a bug of lkm's).
    LabFailure(String),
    /// A signal that nothing handled, such as the filter's.
    Signal(i32),
    /// It did not end in time and was killed.
    TimedOut,
}

/// What a run leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// How the child ended.
    pub ended: Ended,
    /// The bytes it recorded.
    pub record: Vec<u8>,
}

/// Limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall-clock time after which the child is killed.
    pub wall: Duration,
    /// Most bytes of the record.
    pub record: usize,
    /// Most bytes of memory that the child may map beside what the machine reserves.
    pub memory: u64,
}

/// The shared record: a length, then bytes. Only the child writes; the parent reads when it is gone.
pub struct Record {
    base: *mut u8,
    size: usize,
}

const HEADER: usize = 64;

impl Record {
    pub(crate) fn new(size: usize) -> Result<Record, Failure> {
        // SAFETY: a fresh shared mapping that nothing else refers to.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size + HEADER,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(sys::failed("mapping the record"));
        }
        Ok(Record {
            base: base.cast(),
            size,
        })
    }

    fn len(&self) -> &AtomicU64 {
        // SAFETY: the header begins with the length, 8-byte aligned, for the life of the mapping.
        unsafe { AtomicU64::from_ptr(self.base.cast()) }
    }

    /// Appends bytes as one piece; false when they do not fit, and then nothing is written.
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let at = self.len().load(Ordering::Relaxed) as usize;
        if at > self.size || bytes.len() > self.size - at {
            return false;
        }
        // SAFETY: the target lies in the mapping (checked above) and the source is a slice.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(HEADER + at), bytes.len())
        };
        self.len()
            .store((at + bytes.len()) as u64, Ordering::Release);
        true
    }

    fn take(&self) -> Vec<u8> {
        // The child may have written anything here: the length is only a claim.
        let len = (self.len().load(Ordering::Acquire) as usize).min(self.size);
        // SAFETY: `len` bytes behind the header lie in the mapping; the child is dead, so they do not change.
        unsafe { std::slice::from_raw_parts(self.base.add(HEADER), len) }.to_vec()
    }
}

impl Record {
    /// What was appended since the last time, and room for as much again. The child must not be running.
    pub(crate) fn drain(&self) -> Vec<u8> {
        let bytes = self.take();
        self.len().store(0, Ordering::Release);
        bytes
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it is left.
        unsafe { libc::munmap(self.base.cast(), self.size + HEADER) };
    }
}

pub(crate) fn host_fault_text(sig: i32, rip: u64, addr: u64) -> String {
    let base = lkm_base();
    format!(
        "lkm: internal error: signal {sig} in the lab's own code at {:#x} (image offset {:#x}), address {addr:#x}\n",
        rip,
        rip.wrapping_sub(base)
    )
}

/// Load address of this program, so that a crash report can be looked up.
fn lkm_base() -> u64 {
    unsafe extern "C" {
        static __executable_start: u8;
    }
    &raw const __executable_start as u64
}

/// Whether this process has exactly one thread (a fork of another would lose the rest).
pub fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|dir| dir.count() == 1)
}

/// Runs `body` in a confined child and waits for it.
///
/// The child gets no descriptor but standard error, no privilege, the system call filter of
/// [`crate::confine`], and the alarm; `body` records through the [`Record`].
pub fn run(limits: Limits, body: impl FnOnce(Record)) -> Result<Outcome, Failure> {
    let record = Record::new(limits.record)?;
    // SAFETY: the child runs only `body` and leaves by _exit; a caller with threads is refused by
    // `single_threaded` at start-up, so no lock can be held by a thread that the child lacks.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(sys::failed("fork"));
    }
    if pid == 0 {
        confined(|| {
            confine::confine(limits.memory, false).map_err(|e| e.to_string())?;
            trap::start_alarm().map_err(|e| e.to_string())?;
            body(record);
            Ok(())
        });
    }
    let ended = wait(pid, limits.wall);
    Ok(Outcome {
        ended,
        record: record.take(),
    })
}

/// The whole life of a child: never returns into what the parent was doing, whatever the body does.
pub(crate) fn confined(body: impl FnOnce() -> Result<(), String>) -> ! {
    /// A panic ends the child where it is, also when it would unwind.
    struct Here;
    impl Drop for Here {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let here = Here;
    let done = body();
    std::mem::forget(here);
    if let Err(why) = done {
        let text = format!("lkm: cannot set up the lab: {why}\n");
        // SAFETY: async-signal-safe calls with valid arguments.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::_exit(SETUP_FAILED)
        }
    }
    // SAFETY: ends the child without running the parent's exit handlers.
    unsafe { libc::_exit(0) }
}

fn wait(pid: libc::pid_t, wall: Duration) -> Ended {
    let fd = {
        // SAFETY: asks for a descriptor of our own child.
        unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as i32 }
    };
    let mut timed_out = false;
    if fd >= 0 {
        let deadline = Instant::now() + wall;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut poll = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid pollfd.
            let rc =
                unsafe { libc::poll(&mut poll, 1, left.as_millis().min(i32::MAX as u128) as i32) };
            if rc > 0 {
                break;
            }
            if rc == 0 {
                timed_out = true;
                // SAFETY: our own child, not yet waited for.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                break;
            }
        }
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(fd) };
    }
    let ended = wait_for(pid);
    if timed_out { Ended::TimedOut } else { ended }
}

/// Waits for a child's end.
pub(crate) fn wait_for(pid: libc::pid_t) -> Ended {
    let mut status = 0;
    // SAFETY: waits for our own child; the pointer is to a live local.
    while unsafe { libc::waitpid(pid, &mut status, 0) } < 0 {
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return Ended::LabFailure("the child could not be waited for".into());
        }
    }
    if libc::WIFSIGNALED(status) {
        match libc::WTERMSIG(status) {
            libc::SIGABRT => Ended::LabFailure("the lab panicked".into()),
            signal => Ended::Signal(signal),
        }
    } else {
        match libc::WEXITSTATUS(status) {
            0 => Ended::Normally,
            HOST_FAULT => Ended::LabFailure("the lab's own code faulted".into()),
            SETUP_FAILED => Ended::LabFailure("the child could not be set up".into()),
            other => Ended::LabFailure(format!("the child left with status {other}")),
        }
    }
}
