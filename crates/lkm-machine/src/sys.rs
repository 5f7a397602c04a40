//! The few system calls of the machine, each with its error told by name.

use std::fmt;

/// A system call that failed while the machine was being set up.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was attempted.
    pub what: &'static str,
    /// The errno.
    pub errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.what,
            std::io::Error::from_raw_os_error(self.errno)
        )
    }
}

impl std::error::Error for Failure {}

/// The failure that errno describes now.
pub(crate) fn failed(what: &'static str) -> Failure {
    Failure {
        what,
        errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
    }
}

/// Access that guest pages allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prot {
    /// None: a guard, or memory that was given back.
    None,
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExec,
}

impl Prot {
    fn bits(self) -> i32 {
        match self {
            Prot::None => libc::PROT_NONE,
            Prot::Read => libc::PROT_READ,
            Prot::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Prot::ReadExec => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

/// Maps private, uncommitted memory at exactly `addr`; fails if something is there already.
pub(crate) fn map_fixed(addr: u64, len: u64, prot: Prot) -> Result<(), Failure> {
    // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping, so no memory of ours is touched.
    let got = unsafe {
        libc::mmap(
            addr as *mut libc::c_void,
            len as usize,
            prot.bits(),
            libc::MAP_PRIVATE
                | libc::MAP_ANONYMOUS
                | libc::MAP_NORESERVE
                | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        )
    };
    if got as u64 == addr {
        return Ok(());
    }
    if got == libc::MAP_FAILED {
        return Err(failed("reserving the low address range"));
    }
    // A kernel older than 4.17 ignores the flag and maps elsewhere.
    // SAFETY: the range was just mapped by us and nothing points into it.
    unsafe { libc::munmap(got, len as usize) };
    Err(Failure {
        what: "reserving the low address range",
        errno: libc::EEXIST,
    })
}

/// Changes the access of guest pages. The range must lie in the guest's reservation.
pub(crate) fn protect(addr: u64, len: u64, prot: Prot) -> Result<(), Failure> {
    assert!(addr >= crate::map::GUEST_START && addr + len <= crate::map::GUEST_END);
    // SAFETY: the range is guest memory (checked above), which Rust holds no reference into.
    let rc = unsafe { libc::mprotect(addr as *mut libc::c_void, len as usize, prot.bits()) };
    if rc == 0 {
        Ok(())
    } else {
        Err(failed("changing the access of guest pages"))
    }
}

/// Gives the contents of guest pages back; they read as zeros afterwards.
pub(crate) fn discard(addr: u64, len: u64) {
    assert!(addr >= crate::map::GUEST_START && addr + len <= crate::map::GUEST_END);
    // SAFETY: the range is guest memory (checked above), which Rust holds no reference into.
    unsafe { libc::madvise(addr as *mut libc::c_void, len as usize, libc::MADV_DONTNEED) };
}

/// Keeps guest pages a mapping of their own: a change of their access does not join them to what lies beside them, and
/// costs the host kernel little. (Left out of core dumps is what sets them apart; there are none.)
pub(crate) fn set_apart(addr: u64, len: u64) {
    assert!(addr >= crate::map::GUEST_START && addr + len <= crate::map::GUEST_END);
    // SAFETY: the range is guest memory (checked above); its contents and access do not change.
    unsafe { libc::madvise(addr as *mut libc::c_void, len as usize, libc::MADV_DONTDUMP) };
}

/// Points gs at the per-CPU area. Neither Rust nor glibc uses gs on x86-64.
pub(crate) fn set_gs(base: u64) -> Result<(), Failure> {
    const ARCH_SET_GS: i32 = 0x1001;
    // SAFETY: the call sets a segment base that nothing in this process uses.
    let rc = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    if rc == 0 {
        Ok(())
    } else {
        Err(failed("setting the gs base"))
    }
}
