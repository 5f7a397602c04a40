//! Traps of guest code: the signal handlers, and the record that a trap becomes.
//!
//! A handler does as little as possible: it sends an access of ours to its fixup, or copies the guest's
//! registers to the host stack of the current task and lets execution go on there, outside of signal
//! context. A fault in host code is a bug of lkm's and ends the process.

use crate::{gate, map, mem, sys};
use std::sync::atomic::{AtomicU64, Ordering};

/// The integer registers of the guest at a trap.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct Regs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub eflags: u64,
}

/// What kind of trap it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Cause {
    /// #PF: an address could not be reached.
    PageFault,
    /// #GP: a privileged instruction or a non-canonical address.
    GeneralProtection,
    /// #UD.
    InvalidOpcode,
    /// #DE.
    Divide,
    /// int3 or single step.
    Breakpoint,
    /// A system call instruction that the filter caught.
    Syscall,
    /// The periodic alarm found guest code running.
    Alarm,
    /// Anything else.
    Other,
}

/// A trap of guest code.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    /// Registers; changing them changes where and how the guest goes on.
    pub regs: Regs,
    /// The cause.
    pub cause: Cause,
    /// The faulting address (page faults), or the system call number.
    pub addr: u64,
    /// x86 page fault error code bits (1 protection, 2 write, 16 fetch).
    pub error: u64,
    _pad: [u64; 3],
    fx: [u8; 512],
}

const _: () = assert!(std::mem::offset_of!(Trap, fx) == 192 && size_of::<Regs>() == 144);

/// Alarms delivered so far.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Number of alarms since the process began (each 10 ms of CPU time).
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

const TRAPNO_GP: i64 = 13;
const TRAPNO_PF: i64 = 14;

extern "C" fn handler(sig: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes valid pointers to a SA_SIGINFO handler, for us alone.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    let gregs = &mut context.uc_mcontext.gregs;
    let rip = gregs[libc::REG_RIP as usize] as u64;
    if sig == libc::SIGVTALRM {
        TICKS.fetch_add(1, Ordering::Relaxed);
    }
    if let (libc::SIGSEGV | libc::SIGBUS, Some(go_on)) = (sig, mem::fixup(rip)) {
        gregs[libc::REG_RIP as usize] = go_on as i64;
        return;
    }
    // SAFETY: a plain word that only this thread changes.
    let in_guest = unsafe { (&raw const gate::lkm_in_guest).read_volatile() } != 0;
    if !in_guest {
        if sig == libc::SIGVTALRM {
            return;
        }
        host_fault(sig, rip, info);
    }
    if sig == libc::SIGVTALRM && !(map::GUEST_START..map::GUEST_END).contains(&rip) {
        return; // inside the gate; the next alarm will do
    }
    let trapno = gregs[libc::REG_TRAPNO as usize];
    let error = gregs[libc::REG_ERR as usize] as u64;
    // SAFETY: for SIGSEGV and SIGBUS the address, for SIGSYS the call number, is in the union.
    let addr = unsafe { info.si_addr() } as u64;
    let (cause, addr) = match sig {
        libc::SIGSEGV | libc::SIGBUS if trapno == TRAPNO_PF => {
            (Cause::PageFault, gregs[libc::REG_CR2 as usize] as u64)
        }
        libc::SIGSEGV | libc::SIGBUS if trapno == TRAPNO_GP => (Cause::GeneralProtection, 0),
        libc::SIGSEGV | libc::SIGBUS => (Cause::Other, addr),
        libc::SIGILL => (Cause::InvalidOpcode, rip),
        libc::SIGFPE => (Cause::Divide, rip),
        libc::SIGTRAP => (Cause::Breakpoint, rip),
        libc::SIGSYS => (Cause::Syscall, gregs[libc::REG_RAX as usize] as u64),
        libc::SIGVTALRM => (Cause::Alarm, 0),
        _ => (Cause::Other, addr),
    };
    let reg = |which: i32| gregs[which as usize] as u64;
    let mut trap = Trap {
        regs: Regs {
            rax: reg(libc::REG_RAX),
            rbx: reg(libc::REG_RBX),
            rcx: reg(libc::REG_RCX),
            rdx: reg(libc::REG_RDX),
            rsi: reg(libc::REG_RSI),
            rdi: reg(libc::REG_RDI),
            rbp: reg(libc::REG_RBP),
            rsp: reg(libc::REG_RSP),
            r8: reg(libc::REG_R8),
            r9: reg(libc::REG_R9),
            r10: reg(libc::REG_R10),
            r11: reg(libc::REG_R11),
            r12: reg(libc::REG_R12),
            r13: reg(libc::REG_R13),
            r14: reg(libc::REG_R14),
            r15: reg(libc::REG_R15),
            rip,
            eflags: reg(libc::REG_EFL),
        },
        cause,
        addr,
        error,
        _pad: [0; 3],
        fx: [0; 512],
    };
    let fp = context.uc_mcontext.fpregs;
    if !fp.is_null() {
        // SAFETY: fpregs points to the signal frame's FXSAVE image, 512 bytes.
        trap.fx = unsafe { *fp.cast::<[u8; 512]>() };
    }
    // SAFETY: lkm_host_sp is the top of the unused part of the current task's host stack; the record
    // fits far above the guard (the stacks are 256 KiB), and nothing runs on it until we return.
    unsafe {
        let top = (&raw const gate::lkm_host_sp).read();
        let record = (top - size_of::<Trap>() as u64) & !63;
        (record as *mut Trap).write(trap);
        (&raw mut gate::lkm_in_guest).write_volatile(0);
        let gregs = &mut context.uc_mcontext.gregs;
        gregs[libc::REG_RIP as usize] = gate::lkm_trap_entry as *const () as i64;
        gregs[libc::REG_RSP as usize] = record as i64;
        gregs[libc::REG_RDI as usize] = record as i64;
        gregs[libc::REG_EFL as usize] &= !0x500; // direction and trap flags
    }
}

/// A fault of lkm's own code: say where, and end the process with the status that means so.
fn host_fault(sig: i32, rip: u64, info: &libc::siginfo_t) -> ! {
    // SAFETY: for the signals handled here the field is the address.
    let addr = unsafe { info.si_addr() } as u64;
    let text = crate::fork::host_fault_text(sig, rip, addr);
    // SAFETY: write and _exit are async-signal-safe, and the text is valid for its length.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(crate::fork::HOST_FAULT)
    }
}

/// Installs the handlers on a stack of their own.
pub(crate) fn install() -> Result<(), sys::Failure> {
    const STACK: usize = 64 << 10;
    // SAFETY: a fresh private mapping, given to the kernel as this thread's signal stack for the
    // life of the process; the handler has the signature that SA_SIGINFO wants.
    unsafe {
        let stack = libc::mmap(
            std::ptr::null_mut(),
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if stack == libc::MAP_FAILED {
            return Err(sys::failed("mapping the signal stack"));
        }
        let alt = libc::stack_t {
            ss_sp: stack,
            ss_flags: 0,
            ss_size: STACK,
        };
        if libc::sigaltstack(&alt, std::ptr::null_mut()) != 0 {
            return Err(sys::failed("sigaltstack"));
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        for sig in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
            libc::SIGSYS,
            libc::SIGVTALRM,
        ] {
            if libc::sigaction(sig, &action, std::ptr::null_mut()) != 0 {
                return Err(sys::failed("sigaction"));
            }
        }
    }
    Ok(())
}

/// Starts the alarm: every 10 ms of this process's CPU time.
pub(crate) fn start_alarm() -> Result<(), sys::Failure> {
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 10_000,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the pointer is to a live local.
    let rc = unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &timer, std::ptr::null_mut()) };
    if rc == 0 {
        Ok(())
    } else {
        Err(sys::failed("setitimer"))
    }
}
