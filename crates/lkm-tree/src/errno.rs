//! Error numbers of the kernel, and the words the C library has for them.

use std::fmt;
use std::io;

/// An errno value, positive, as in `errno(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    pub const EPERM: Errno = Errno(libc::EPERM);
    pub const ENOENT: Errno = Errno(libc::ENOENT);
    pub const ESRCH: Errno = Errno(libc::ESRCH);
    pub const EIO: Errno = Errno(libc::EIO);
    pub const ENOEXEC: Errno = Errno(libc::ENOEXEC);
    pub const EAGAIN: Errno = Errno(libc::EAGAIN);
    pub const ENOMEM: Errno = Errno(libc::ENOMEM);
    pub const EBUSY: Errno = Errno(libc::EBUSY);
    pub const EEXIST: Errno = Errno(libc::EEXIST);
    pub const ENOTDIR: Errno = Errno(libc::ENOTDIR);
    pub const EINVAL: Errno = Errno(libc::EINVAL);
    pub const EFBIG: Errno = Errno(libc::EFBIG);
    pub const ENOSPC: Errno = Errno(libc::ENOSPC);
    pub const ESPIPE: Errno = Errno(libc::ESPIPE);
    pub const ERANGE: Errno = Errno(libc::ERANGE);
    pub const ELOOP: Errno = Errno(libc::ELOOP);
    pub const ENODATA: Errno = Errno(libc::ENODATA);
    pub const ENAMETOOLONG: Errno = Errno(libc::ENAMETOOLONG);
    pub const ENOSYS: Errno = Errno(libc::ENOSYS);
    pub const EOPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    pub const EKEYREJECTED: Errno = Errno(libc::EKEYREJECTED);
    pub const EACCES: Errno = Errno(libc::EACCES);

    /// What `strerror(3)` says.
    pub fn text(self) -> String {
        let mut s = io::Error::from_raw_os_error(self.0).to_string();
        // std appends the number; kmod's messages do not have it.
        if let Some(at) = s.rfind(" (os error ") {
            s.truncate(at);
        }
        s
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, self.text())
    }
}

impl std::error::Error for Errno {}

impl From<io::Error> for Errno {
    /// Errors that did not come from the system become `EIO`.
    fn from(e: io::Error) -> Errno {
        Errno(e.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(e: rustix::io::Errno) -> Errno {
        Errno(e.raw_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_strerror_says() {
        assert_eq!(Errno::ENOENT.to_string(), "No such file or directory");
        assert_eq!(
            Errno::EKEYREJECTED.to_string(),
            "Key was rejected by service"
        );
        assert_eq!(Errno::from(io::Error::other("x")), Errno::EIO);
    }
}
