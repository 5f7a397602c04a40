//! What a child may still do: compute, change its own memory, and end. Module code is hostile native
//! code; this filter, not the model, is what keeps the host safe.
//!
//! A system call executed at a guest address traps whatever its number, and so does a call through
//! another architecture's entry; both arrive as `Cause::Syscall` and are reported with their place. From
//! lkm's own code only what memory allocation and ending need is allowed.

use crate::sys::{self, Failure};

const ALLOWED: &[i64] = &[
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_setitimer,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_gettid,
    libc::SYS_getpid,
];

/// Allowed with this first argument only: module code that finds such an instruction in lkm's own text must not
/// reach another process or descriptor with it.
fn allowed_with(pid: i32) -> [(i64, u32); 4] {
    [
        // The pipes of a session; nowhere otherwise.
        (libc::SYS_read, 0),
        (libc::SYS_write, 1),
        // Words about a failure of the lab's own.
        (libc::SYS_write, 2),
        // abort() signals itself.
        (libc::SYS_tgkill, pid as u32),
    ]
}

const PR_SET_TSC: i32 = 26;
const PR_TSC_SIGSEGV: u64 = 2;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const X32_BIT: u32 = 0x4000_0000;
// Offsets in struct seccomp_data.
const NR: u32 = 0;
const ARCH: u32 = 4;
const IP_HIGH: u32 = 12;
const ARG0_LOW: u32 = 16;

fn filter(pid: i32) -> Vec<libc::sock_filter> {
    let stmt = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let jump = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: (libc::BPF_JMP | code | libc::BPF_K) as u16,
        jt,
        jf,
        k,
    };
    let load = |off: u32| stmt(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, off);
    let ret = |action: u32| stmt(libc::BPF_RET | libc::BPF_K, action);
    let trap = || ret(libc::SECCOMP_RET_TRAP);
    let mut program = vec![
        load(ARCH),
        jump(libc::BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
        trap(),
        // All guest addresses are below 4 GiB, none of ours is.
        load(IP_HIGH),
        jump(libc::BPF_JEQ, 0, 0, 1),
        trap(),
        load(NR),
        jump(libc::BPF_JGE, X32_BIT, 0, 1),
        trap(),
    ];
    for &number in ALLOWED {
        program.push(jump(libc::BPF_JEQ, number as u32, 0, 1));
        program.push(ret(libc::SECCOMP_RET_ALLOW));
    }
    for (number, first) in allowed_with(pid) {
        program.push(jump(libc::BPF_JEQ, number as u32, 0, 3));
        // Descriptors and pids are 32 bits wide; the kernel looks at no others.
        program.push(load(ARG0_LOW));
        program.push(jump(libc::BPF_JEQ, first, 0, 1));
        program.push(ret(libc::SECCOMP_RET_ALLOW));
        program.push(load(NR));
    }
    program.push(trap());
    program
}

/// Gives up everything the child does not need. Nothing here needs privilege.
/// `pipes`: standard input and output stay as they are.
pub(crate) fn confine(memory: u64, pipes: bool) -> Result<(), Failure> {
    // SAFETY: plain system calls; the structures passed live on this stack for the call.
    unsafe {
        // Descriptors other than standard error: the record is memory, files were read before.
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 && !pipes {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
        }
        if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) != 0 {
            for fd in 3..1024 {
                libc::close(fd);
            }
        }
        let limit = |which, value: u64| {
            let r = libc::rlimit {
                rlim_cur: value,
                rlim_max: value,
            };
            libc::setrlimit(which, &r)
        };
        let reserved = crate::map::GUEST_END + (1 << 30);
        if limit(libc::RLIMIT_CORE, 0) != 0 || limit(libc::RLIMIT_AS, reserved + memory) != 0 {
            return Err(sys::failed("setrlimit"));
        }
        // A child must not outlive a killed parent.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // rdtsc and cpuid trap, so that time and features are the lab's.
        if libc::prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0 {
            return Err(sys::failed("prctl(PR_SET_TSC)"));
        }
        const ARCH_CPUID_SET: i32 = 0x1012;
        let _ = libc::syscall(libc::SYS_arch_prctl, ARCH_CPUID_SET, 0u64);
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(sys::failed("prctl(PR_SET_NO_NEW_PRIVS)"));
        }
        let mut program = filter(libc::getpid());
        let prog = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &prog) != 0 {
            return Err(sys::failed("prctl(PR_SET_SECCOMP)"));
        }
    }
    Ok(())
}
