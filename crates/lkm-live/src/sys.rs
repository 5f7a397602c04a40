//! The system calls that the standard library does not offer. All of this crate's
//! `unsafe` that talks to the kernel is here.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Turns the kernel's -1 into the error it left.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A descriptor the kernel has just given to us.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel returned it as a new descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// delete_module(2). `flags` are `O_NONBLOCK`, and `O_TRUNC` to force.
///
/// # Errors
/// The kernel's errno.
pub fn delete_module(name: &str, flags: i32) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name is a terminated string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), flags) }).map(drop)
}

/// init_module(2) with an empty parameter string.
///
/// # Errors
/// The kernel's errno.
pub fn init_module(image: &[u8]) -> io::Result<()> {
    let (start, length) = (image.as_ptr(), image.len());
    // SAFETY: the image is readable for its whole length and the kernel copies it; the
    // parameter string is terminated and static.
    check(unsafe { libc::syscall(libc::SYS_init_module, start, length, c"".as_ptr()) }).map(drop)
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// The kernel's errno.
pub fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain call on integers; the descriptor is open while it is borrowed.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }.into()).map(drop)
}

/// A raw netlink socket of this protocol, as a file: write sends to the kernel, read receives.
///
/// # Errors
/// The kernel's errno.
pub fn netlink(protocol: i32) -> io::Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: a plain call on integers.
    owned(unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) }.into()).map(File::from)
}

/// A raw IPv4 (`AF_INET`) or IPv6 (`AF_INET6`) socket, for the options of ip_tables.
///
/// # Errors
/// The kernel's errno.
pub fn raw_socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: a plain call on integers.
    owned(unsafe { libc::socket(family, kind, libc::IPPROTO_RAW) }.into())
}

/// getsockopt(2) into `buffer`, which also carries the question; the length of the answer.
///
/// # Errors
/// The kernel's errno.
pub fn socket_option(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    let (fd, data) = (socket.as_raw_fd(), buffer.as_mut_ptr().cast());
    // SAFETY: buffer and length are valid for writes; the kernel writes at most `length`
    // bytes, which is the buffer's size.
    let result = unsafe { libc::getsockopt(fd, level, option, data, &raw mut length) };
    check(result.into())?;
    Ok(length as usize)
}

/// A device-mapper ioctl. `buffer` is a `struct dm_ioctl` with its room behind it, and its
/// `data_size` must say the buffer's size.
///
/// # Errors
/// The kernel's errno; `InvalidInput` when the sizes disagree.
pub fn device_mapper(control: &File, request: u64, buffer: &mut [u8]) -> io::Result<()> {
    let said = buffer
        .get(12..16)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_ne_bytes);
    if said.map(|n| n as usize) != Some(buffer.len()) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: dm-ioctl reads and writes at most `data_size` bytes at the pointer, and that
    // was just checked to be the buffer's length.
    check(unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) }.into())
        .map(drop)
}

/// The line discipline of a terminal (TIOCGETD).
///
/// # Errors
/// The kernel's errno.
pub fn line_discipline(terminal: BorrowedFd<'_>) -> io::Result<i32> {
    let mut number: libc::c_int = 0;
    // SAFETY: TIOCGETD writes one int at the pointer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGETD, &raw mut number) }.into())?;
    Ok(number)
}

/// A duplicate of another process's descriptor (pidfd_getfd(2)): the same open file,
/// without opening the device again.
///
/// # Errors
/// The kernel's errno.
pub fn borrow_descriptor(pid: i32, descriptor: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain calls on integers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: as above; the process descriptor is open.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0) })
}

/// True when this process runs as root as far as files are concerned.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

static ENDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

extern "C" fn note_end(_: libc::c_int) {
    ENDED.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// From now on the signals that usually end a program only set what [`ended`] answers, so
/// that there is time to clean up.
pub fn catch_endings() {
    let handler = note_end as extern "C" fn(libc::c_int);
    for signal in [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
    ] {
        // SAFETY: an all-zero sigaction is a valid one (no flags, an empty mask).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the action is initialised, and its handler only stores to an atomic.
        unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    }
}

/// True when a signal has asked the program to end.
pub fn ended() -> bool {
    ENDED.load(std::sync::atomic::Ordering::Relaxed)
}
