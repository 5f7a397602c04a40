//! How guest code calls kernel functions: registers, variadic arguments, and the ways a call can end.

use crate::Cx;
use lkm_machine::Fault;

/// A call of a kernel function by guest code.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The gate slot it came through.
    pub slot: u32,
    /// Guest address of the saved argument registers (see `lkm_machine::gate`).
    pub frame: u64,
    /// The six register arguments.
    pub a: [u64; 6],
    /// The return address: where in the guest the call was made.
    pub ret: u64,
}

impl Call {
    pub(crate) fn read(cx: &Cx, slot: u32, frame: u64) -> Result<Call, Fault> {
        let mut raw = [0u8; 64];
        cx.read(frame, &mut raw)?;
        let word =
            |i: usize| u64::from_le_bytes(raw[i * 8..i * 8 + 8].try_into().unwrap_or_default());
        Ok(Call {
            slot,
            frame,
            a: [word(0), word(1), word(2), word(3), word(4), word(5)],
            ret: word(7),
        })
    }

    /// A call that kernel code makes for itself (no guest caller).
    pub fn internal(a: [u64; 6]) -> Call {
        Call {
            slot: u32::MAX,
            frame: 0,
            a,
            ret: 0,
        }
    }

    /// Argument `n`, from a register or from the caller's stack.
    pub fn arg(&self, cx: &Cx, n: usize) -> Result<u64, Fault> {
        match self.a.get(n) {
            Some(&value) => Ok(value),
            None => cx.r64(self.frame + 64 + 8 * (n as u64 - 6)),
        }
    }

    /// Argument `n` as a C `int`.
    pub fn int(&self, n: usize) -> i32 {
        self.a[n] as i32
    }

    /// The variadic arguments behind `fixed` named ones.
    pub fn va(&self, fixed: u64) -> VaList {
        VaList {
            gp: 8 * fixed,
            reg_save: self.frame,
            overflow: self.frame + 64,
        }
    }
}

/// A `va_list` of the System V x86-64 ABI (§3.5.7): registers first, then the stack. No floating point.
#[derive(Debug, Clone, Copy)]
pub struct VaList {
    gp: u64,
    reg_save: u64,
    overflow: u64,
}

impl VaList {
    /// Reads the `struct __va_list_tag` at `addr`.
    pub fn at(cx: &Cx, addr: u64) -> Result<VaList, Fault> {
        Ok(VaList {
            gp: u64::from(cx.r32(addr)?),
            overflow: cx.r64(addr + 8)?,
            reg_save: cx.r64(addr + 16)?,
        })
    }

    /// Writes the state back to a `struct __va_list_tag`, as va_arg in the callee would.
    pub fn store(&self, cx: &Cx, addr: u64) -> Result<(), Fault> {
        cx.w32(addr, self.gp as u32)?;
        cx.w64(addr + 8, self.overflow)
    }

    /// The next argument, as a 64-bit word.
    pub fn next(&mut self, cx: &Cx) -> Result<u64, Fault> {
        if self.gp < 48 {
            let value = cx.r64(self.reg_save.wrapping_add(self.gp))?;
            self.gp += 8;
            Ok(value)
        } else {
            let value = cx.r64(self.overflow)?;
            self.overflow = self.overflow.wrapping_add(8);
            Ok(value)
        }
    }
}

/// Why a kernel function could not finish: the calling task oopses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It followed a bad pointer.
    Fault(Fault),
    /// It hit a BUG() of its own; the text is what the kernel prints about it. A text that begins with `lab:` is a
    /// limit of the lab's own and no fault of the module's.
    Bug(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// What a kernel function gives back: the value of rax, or an oops of its caller.
pub type R<T = u64> = Result<T, Stop>;

/// A kernel function.
pub type Fun = fn(&mut Cx, &Call) -> R;

/// The kernel's errno values, as positive numbers.
#[allow(missing_docs, reason = "the names are those of errno(3)")]
pub mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ESRCH: i32 = 3;
    pub const EINTR: i32 = 4;
    pub const EIO: i32 = 5;
    pub const ENXIO: i32 = 6;
    pub const E2BIG: i32 = 7;
    pub const ENOEXEC: i32 = 8;
    pub const EBADF: i32 = 9;
    pub const ECHILD: i32 = 10;
    pub const EAGAIN: i32 = 11;
    pub const EWOULDBLOCK: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EACCES: i32 = 13;
    pub const EFAULT: i32 = 14;
    pub const ENOTBLK: i32 = 15;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const EXDEV: i32 = 18;
    pub const ENODEV: i32 = 19;
    pub const ENOTDIR: i32 = 20;
    pub const EISDIR: i32 = 21;
    pub const EINVAL: i32 = 22;
    pub const ENFILE: i32 = 23;
    pub const EMFILE: i32 = 24;
    pub const ENOTTY: i32 = 25;
    pub const ETXTBSY: i32 = 26;
    pub const EFBIG: i32 = 27;
    pub const ENOSPC: i32 = 28;
    pub const ESPIPE: i32 = 29;
    pub const EROFS: i32 = 30;
    pub const EPIPE: i32 = 32;
    pub const ERANGE: i32 = 34;
    pub const EDEADLK: i32 = 35;
    pub const ENAMETOOLONG: i32 = 36;
    pub const ENOSYS: i32 = 38;
    pub const ENOTEMPTY: i32 = 39;
    pub const ETIME: i32 = 62;
    pub const EALREADY: i32 = 114;
    pub const EOVERFLOW: i32 = 75;
    pub const EOPNOTSUPP: i32 = 95;
    pub const EMSGSIZE: i32 = 90;
    pub const EPROTONOSUPPORT: i32 = 93;
    pub const ESOCKTNOSUPPORT: i32 = 94;
    pub const EAFNOSUPPORT: i32 = 97;
    pub const EADDRINUSE: i32 = 98;
    pub const EADDRNOTAVAIL: i32 = 99;
    pub const ENOBUFS: i32 = 105;
    pub const ETIMEDOUT: i32 = 110;
    pub const ECONNREFUSED: i32 = 111;
    pub const EKEYREJECTED: i32 = 129;
    pub const ENOKEY: i32 = 126;
    pub const EBADMSG: i32 = 74;
    pub const ENOPKG: i32 = 65;
    pub const ERESTARTSYS: i32 = 512;
    pub const ENOIOCTLCMD: i32 = 515;
    pub const EPROBE_DEFER: i32 = 517;
}

/// A negative errno as the value of an `int` function.
pub const fn neg(errno: i32) -> u64 {
    -(errno as i64) as u64
}

/// Whether a pointer is an error pointer (`IS_ERR`).
pub const fn is_err(ptr: u64) -> bool {
    ptr >= (-4095i64) as u64
}
