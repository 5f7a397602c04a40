//! What a tool needs of the process around it: environment, commands, time
//! and the system log.

use std::cell::OnceCell;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::errno::Errno;

/// How a command of an `install` or `remove` line ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With this exit code; a signal counts as 0, as `WEXITSTATUS` of it does.
    Code(i32),
    /// It could not be started.
    NotStarted(Errno),
}

/// The process's surroundings.
pub trait Host {
    fn env(&self, name: &str) -> Option<Vec<u8>>;
    /// `system(3)`, with these variables added to the environment.
    fn system(&self, command: &[u8], env: &[(&str, &[u8])]) -> Ended;
    /// Milliseconds on a clock that only goes forward.
    fn now_msec(&self) -> u64;
    fn sleep_msec(&self, msec: u64);
    /// One line to `syslog(3)`, facility daemon, with a priority of 0 to 7.
    fn syslog(&self, ident: &str, priority: i32, text: &[u8]);
    /// Whether standard error is closed, so that messages must go to the log.
    fn stderr_closed(&self) -> bool;
    /// How many threads may run at a time; more than one only where the process may make threads.
    fn processors(&self) -> usize {
        1
    }
}

/// `system(3)` with these variables added to the environment, of whoever may
/// call the C library.
pub type System = fn(&[u8], &[(&str, &[u8])]) -> Ended;

/// The process itself.
#[derive(Debug)]
pub struct Process {
    system: System,
    /// When the clock was first asked for.
    start: OnceCell<Instant>,
    stderr_closed: bool,
}

impl Process {
    /// Sees to the standard streams, too.
    pub fn new(system: System) -> Process {
        Process {
            system,
            start: OnceCell::new(),
            stderr_closed: open_standard_streams(),
        }
    }
}

/// Opens /dev/null for each of the three standard streams that is closed, so
/// that no file opened later takes its number and gets what is written there.
/// Whether standard error was one of them.
fn open_standard_streams() -> bool {
    use rustix::stdio::{stderr, stdin, stdout};

    let mut closed = false;
    for stream in [stdin(), stdout(), stderr()] {
        closed = rustix::fs::fstat(stream).is_err();
        if closed
            && let Ok(null) = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
        {
            // The lowest free number is the stream's, which stays open to the end.
            let _ = null.into_raw_fd();
        }
    }
    closed
}

/// Standard output as it is: whoever writes to it much has a buffer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Facility `daemon`, shifted to its place.
const LOG_DAEMON: i32 = 3 << 3;

impl Host for Process {
    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, |n| n.get())
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        Some(std::env::var_os(name)?.into_vec())
    }

    fn system(&self, command: &[u8], env: &[(&str, &[u8])]) -> Ended {
        (self.system)(command, env)
    }

    fn now_msec(&self) -> u64 {
        let start = self.start.get_or_init(Instant::now);
        u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_msec(&self, msec: u64) {
        std::thread::sleep(Duration::from_millis(msec));
    }

    fn syslog(&self, ident: &str, priority: i32, text: &[u8]) {
        let Ok(socket) = UnixDatagram::unbound() else {
            return;
        };
        let head = format!("<{}>{ident}: ", LOG_DAEMON | (priority & 7));
        // Nobody listening is no reason to fail: syslog(3) does not either.
        let _ = socket.send_to(&[head.as_bytes(), text].concat(), "/dev/log");
    }

    fn stderr_closed(&self) -> bool {
        self.stderr_closed
    }
}
