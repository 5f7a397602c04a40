//! A confined child that is asked one thing after another: messages go to it through a pipe, what it records comes
//! back in the memory that both share. Between two messages the child sleeps, and the parent empties the record.

use crate::fork::{Ended, Limits, Record, confined, wait_for};
use crate::sys::{self, Failure};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Most bytes of one message.
const MAX_MESSAGE: u64 = 1 << 30;
/// Most bytes of a question of the child's.
const MAX_QUESTION: usize = 4096;
/// The child's ends: standard input and output, which confinement leaves open.
const IN: i32 = 0;
const OUT: i32 = 1;

/// Set by an interrupt from the terminal while [`catch_interrupts`] is in force.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT ends what a [`Session`] is asked, and not this process.
pub fn catch_interrupts() {
    // SAFETY: the handler only stores to an atomic; without SA_RESTART a waiting poll returns.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupt as *const () as usize;
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut());
    }
}

/// The child's side: the messages.
pub struct Inbox(());

impl Inbox {
    /// Says that all is done so far, and waits for the next message; None when the parent has gone.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        write_exactly(b".")?;
        read_message()
    }

    /// For questions in between.
    pub fn broker(&self) -> Broker {
        Broker(())
    }
}

/// The child's way to ask the parent for something in the middle of a message.
#[derive(Clone, Copy)]
pub struct Broker(());

impl Broker {
    /// What the parent answers; None when it has gone, or the question is too long.
    pub fn ask(self, what: &[u8]) -> Option<Vec<u8>> {
        if what.len() > MAX_QUESTION {
            return None;
        }
        let length = (what.len() as u64).to_le_bytes();
        write_exactly(&[b"?", &length[..], what].concat())?;
        read_message()
    }
}

/// A length and so many bytes.
fn read_message() -> Option<Vec<u8>> {
    let mut length = [0; 8];
    read_exactly(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_MESSAGE {
        return None;
    }
    let mut message = Vec::new();
    message.try_reserve_exact(length as usize).ok()?;
    message.resize(length as usize, 0);
    read_exactly(&mut message)?;
    Some(message)
}

/// Writes all of it to the pipe; alarms interrupt it.
fn write_exactly(mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer is a live slice of that length.
        let put = unsafe { libc::write(OUT, bytes.as_ptr().cast(), bytes.len()) };
        match put {
            1.. => bytes = &bytes[put as usize..],
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            _ => return None,
        }
    }
    Some(())
}

/// Fills the slice from the pipe; alarms interrupt it.
fn read_exactly(mut bytes: &mut [u8]) -> Option<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer is a live slice of that length.
        let got = unsafe { libc::read(IN, bytes.as_mut_ptr().cast(), bytes.len()) };
        match got {
            1.. => bytes = &mut bytes[got as usize..],
            0 => return None,
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            _ => return None,
        }
    }
    Some(())
}

/// The parent's side of a child that waits for messages.
pub struct Session {
    pid: libc::pid_t,
    record: Record,
    to: File,
    from: File,
    gone: bool,
    serve: Option<Serve>,
}

/// Answers a question of the child's.
type Serve = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// What came of a message.
#[derive(Debug)]
pub struct Answer {
    /// What the child recorded since the message before.
    pub record: Vec<u8>,
    /// None while it lives and waits for more.
    pub ended: Option<Ended>,
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors, which are ours from then on.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(sys::failed("pipe"));
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Starts a child: `prepare` runs in it before it is confined (its error ends the child with a line on standard
/// error), then `body` with what that made. The caller has one thread only.
pub fn start<T>(
    limits: Limits,
    prepare: impl FnOnce() -> Result<T, String>,
    body: impl FnOnce(T, Record, Inbox),
) -> Result<Session, Failure> {
    let record = Record::new(limits.record)?;
    let (in_read, in_write) = pipe()?;
    let (out_read, out_write) = pipe()?;
    // SAFETY: as for `fork::run`: a single-threaded caller, a child that leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(sys::failed("fork"));
    }
    if pid == 0 {
        confined(|| {
            // A key at the terminal is the parent's business.
            // SAFETY: changes a disposition of this process's only.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
            let made = prepare()?;
            // The order matters: an end may already have the other's number.
            // SAFETY: copies descriptors that are open; dup2 clears close-on-exec, and nothing is executed.
            let moved = unsafe {
                let (a, b) = (
                    libc::fcntl(in_read.as_raw_fd(), libc::F_DUPFD, 3),
                    libc::fcntl(out_write.as_raw_fd(), libc::F_DUPFD, 3),
                );
                a >= 0 && b >= 0 && libc::dup2(a, IN) >= 0 && libc::dup2(b, OUT) >= 0
            };
            if !moved {
                return Err("the pipes could not be placed".into());
            }
            crate::confine::confine(limits.memory, true).map_err(|e| e.to_string())?;
            crate::trap::start_alarm().map_err(|e| e.to_string())?;
            body(made, record, Inbox(()));
            Ok(())
        });
    }
    Ok(Session {
        pid,
        record,
        to: in_write.into(),
        from: out_read.into(),
        gone: false,
        serve: None,
    })
}

impl Session {
    /// From now on questions of the child's ([`Broker`]) are answered by `serve`; without it they get no bytes.
    pub fn answer_with(&mut self, serve: impl FnMut(&[u8]) -> Vec<u8> + 'static) {
        self.serve = Some(Box::new(serve));
    }

    /// Reads a question and answers it.
    fn serve(&mut self) -> std::io::Result<()> {
        let mut length = [0; 8];
        self.from.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_QUESTION as u64 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut what = vec![0; length as usize];
        self.from.read_exact(&mut what)?;
        let answer = match &mut self.serve {
            Some(serve) => serve(&what),
            None => Vec::new(),
        };
        self.to.write_all(&(answer.len() as u64).to_le_bytes())?;
        self.to.write_all(&answer)
    }

    /// Waits until the child is ready for its first message.
    pub fn ready(&mut self, wall: Duration) -> Answer {
        INTERRUPTED.store(false, Ordering::Relaxed);
        self.answer(wall)
    }

    /// Sends a message and waits until the child is ready for the next, has ended, or was killed for its time.
    pub fn ask(&mut self, message: &[u8], wall: Duration) -> Answer {
        INTERRUPTED.store(false, Ordering::Relaxed);
        if !self.gone {
            // A child that has died does not read: how it ended is found below.
            let length = (message.len() as u64).to_le_bytes();
            let _ = self
                .to
                .write_all(&length)
                .and_then(|()| self.to.write_all(message));
        }
        self.answer(wall)
    }

    fn answer(&mut self, wall: Duration) -> Answer {
        let ended = if self.gone {
            Some(Ended::LabFailure("the child is gone".into()))
        } else {
            self.wait(wall)
        };
        self.gone |= ended.is_some();
        Answer {
            record: self.record.drain(),
            ended,
        }
    }

    /// None: the child says that it is ready.
    fn wait(&mut self, wall: Duration) -> Option<Ended> {
        let deadline = Instant::now() + wall;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let stopped = INTERRUPTED.swap(false, Ordering::Relaxed);
            if left.is_zero() || stopped {
                self.kill();
                let _ = wait_for(self.pid);
                return Some(if stopped {
                    Ended::Signal(libc::SIGINT)
                } else {
                    Ended::TimedOut
                });
            }
            let mut poll = libc::pollfd {
                fd: self.from.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // An interrupt that comes between the look above and the poll is seen a little later.
            let millis = left.as_millis().clamp(1, 200) as i32;
            // SAFETY: one valid pollfd.
            let rc = unsafe { libc::poll(&mut poll, 1, millis) };
            if rc > 0 {
                let mut byte = [0];
                match self.from.read(&mut byte) {
                    Ok(1..) if byte == *b"?" && self.serve().is_ok() => {}
                    Ok(1..) if byte == *b"." => return None,
                    Ok(1..) => {
                        self.kill();
                        return Some(wait_for(self.pid));
                    }
                    _ => return Some(wait_for(self.pid)),
                }
            }
        }
    }

    fn kill(&self) {
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.gone {
            self.kill();
            let _ = wait_for(self.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        wall: Duration::from_secs(10),
        record: 1 << 16,
        memory: 1 << 30,
    };

    #[test]
    fn a_child_answers_until_it_is_told_to_end_and_its_room_comes_back() {
        // The test harness has threads; this body allocates nothing that another thread could hold a lock of
        // for long, and the machine is not used.
        let mut session = start(
            LIMITS,
            || Ok(7u8),
            |seven, mut record, mut inbox| {
                while let Some(message) = inbox.receive() {
                    if message == b"end" {
                        return;
                    }
                    assert!(record.append(&message));
                    assert!(record.append(&[seven]));
                }
            },
        )
        .unwrap();
        let wall = Duration::from_secs(10);
        assert!(session.ready(wall).ended.is_none());
        // More in all than the record has room for.
        for n in 0..40u8 {
            let answer = session.ask(&[n; 4000], wall);
            assert!(answer.ended.is_none());
            assert_eq!(answer.record.len(), 4001);
            assert_eq!((answer.record[0], answer.record[4000]), (n, 7));
        }
        assert_eq!(session.ask(b"end", wall).ended, Some(Ended::Normally));
        assert!(session.ask(b"more", wall).ended.is_some());
    }

    #[test]
    fn a_child_asks_in_the_middle_of_a_message() {
        let mut session = start(
            LIMITS,
            || Ok(()),
            |(), mut record, mut inbox| {
                let broker = inbox.broker();
                while inbox.receive().is_some() {
                    for what in [&b"one"[..], b"two"] {
                        let answer = broker.ask(what).unwrap_or_default();
                        assert!(record.append(&answer));
                    }
                    assert!(broker.ask(&[0; MAX_QUESTION + 1]).is_none());
                }
            },
        )
        .unwrap();
        let wall = Duration::from_secs(10);
        assert!(session.ready(wall).ended.is_none());
        // Nobody answers yet.
        assert!(session.ask(b"x", wall).record.is_empty());
        session.answer_with(|what| [what, b"!"].concat());
        let answer = session.ask(b"x", wall);
        assert!(answer.ended.is_none());
        assert_eq!(answer.record, b"one!two!");
    }

    #[test]
    fn a_child_that_does_not_answer_is_ended() {
        let mut session = start(
            LIMITS,
            || crate::trap::install().map_err(|e| e.to_string()),
            |(), _, mut inbox| {
                let _ = inbox.receive();
                loop {
                    std::hint::spin_loop();
                }
            },
        )
        .unwrap();
        assert!(session.ready(Duration::from_secs(10)).ended.is_none());
        let answer = session.ask(b"x", Duration::from_millis(100));
        assert_eq!(answer.ended, Some(Ended::TimedOut));
    }

    #[test]
    fn a_child_that_cannot_be_prepared_says_so() {
        let made = start(
            LIMITS,
            || Err::<(), _>("no such thing".into()),
            |(), _, _| {},
        );
        let answer = made.unwrap().ready(Duration::from_secs(10));
        assert!(matches!(answer.ended, Some(Ended::LabFailure(_))));
    }
}
