//! Checked access to guest memory. A bad pointer is an error value, never a crash of the host:
//! the loads and stores below are listed in a fixup range, and the fault handler makes them return
//! "failed" instead of repeating them.

use crate::map::{GUEST_END, GUEST_START};
use std::arch::global_asm;

/// A guest access that could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The address that was wanted.
    pub addr: u64,
    /// Whether it was to be written.
    pub write: bool,
}

global_asm!(
    r#"
    .globl lkm_access_start
lkm_access_start:
    .globl lkm_load1
lkm_load1:  movzx eax, byte ptr [rdi]
            xor edx, edx
            ret
    .globl lkm_load2
lkm_load2:  movzx eax, word ptr [rdi]
            xor edx, edx
            ret
    .globl lkm_load4
lkm_load4:  mov eax, dword ptr [rdi]
            xor edx, edx
            ret
    .globl lkm_load8
lkm_load8:  mov rax, qword ptr [rdi]
            xor edx, edx
            ret
    .globl lkm_store1
lkm_store1: mov byte ptr [rdi], sil
            xor edx, edx
            ret
    .globl lkm_store2
lkm_store2: mov word ptr [rdi], si
            xor edx, edx
            ret
    .globl lkm_store4
lkm_store4: mov dword ptr [rdi], esi
            xor edx, edx
            ret
    .globl lkm_store8
lkm_store8: mov qword ptr [rdi], rsi
            xor edx, edx
            ret
    # copy rdx bytes from rsi to rdi; rcx counts what is left when a fault ends it
    .globl lkm_copy
lkm_copy:   mov rcx, rdx
            rep movsb
            xor edx, edx
            ret
    .globl lkm_fill
lkm_fill:   mov rcx, rdx
            mov eax, esi
            rep stosb
            xor edx, edx
            ret
    .globl lkm_access_end
lkm_access_end:
    .globl lkm_access_failed
lkm_access_failed:
            mov rax, rcx
            mov edx, 1
            ret
"#
);

#[repr(C)]
struct Pair {
    value: u64,
    failed: u64,
}

unsafe extern "sysv64" {
    fn lkm_load1(addr: u64) -> Pair;
    fn lkm_load2(addr: u64) -> Pair;
    fn lkm_load4(addr: u64) -> Pair;
    fn lkm_load8(addr: u64) -> Pair;
    fn lkm_store1(addr: u64, value: u64) -> Pair;
    fn lkm_store2(addr: u64, value: u64) -> Pair;
    fn lkm_store4(addr: u64, value: u64) -> Pair;
    fn lkm_store8(addr: u64, value: u64) -> Pair;
    fn lkm_copy(to: u64, from: u64, len: u64) -> Pair;
    fn lkm_fill(to: u64, byte: u64, len: u64) -> Pair;
    static lkm_access_start: u8;
    static lkm_access_end: u8;
    static lkm_access_failed: u8;
}

/// Where the fault handler must continue when `rip` is one of the accesses above.
pub(crate) fn fixup(rip: u64) -> Option<u64> {
    let (start, end) = (
        &raw const lkm_access_start as u64,
        &raw const lkm_access_end as u64,
    );
    (rip >= start && rip < end).then_some(&raw const lkm_access_failed as u64)
}

fn inside(addr: u64, len: u64) -> bool {
    (GUEST_START..GUEST_END).contains(&addr) && len <= GUEST_END - addr
}

macro_rules! access {
    ($load:ident $store:ident $asm_load:ident $asm_store:ident $ty:ty) => {
        /// Reads a little-endian value at `addr`, of any alignment.
        #[inline]
        pub fn $load(addr: u64) -> Result<$ty, Fault> {
            if !inside(addr, size_of::<$ty>() as u64) {
                return Err(Fault { addr, write: false });
            }
            // SAFETY: the address is in the guest's reservation, which Rust holds no reference
            // into; a fault is turned into `failed` by the handler.
            let got = unsafe { $asm_load(addr) };
            if got.failed == 0 {
                Ok(got.value as $ty)
            } else {
                Err(Fault { addr, write: false })
            }
        }
        /// Writes a little-endian value at `addr`, of any alignment.
        #[inline]
        pub fn $store(addr: u64, value: $ty) -> Result<(), Fault> {
            if !inside(addr, size_of::<$ty>() as u64) {
                return Err(Fault { addr, write: true });
            }
            // SAFETY: as for the load above.
            let got = unsafe { $asm_store(addr, value as u64) };
            if got.failed == 0 {
                Ok(())
            } else {
                Err(Fault { addr, write: true })
            }
        }
    };
}

access!(r8 w8 lkm_load1 lkm_store1 u8);
access!(r16 w16 lkm_load2 lkm_store2 u16);
access!(r32 w32 lkm_load4 lkm_store4 u32);
access!(r64 w64 lkm_load8 lkm_store8 u64);

/// Copies guest bytes into `buf`.
pub fn read(addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
    let len = buf.len() as u64;
    if len == 0 {
        return Ok(());
    }
    if !inside(addr, len) {
        return Err(Fault { addr, write: false });
    }
    // SAFETY: the source is guest memory; the destination is `buf`, which is ours for its length.
    let got = unsafe { lkm_copy(buf.as_mut_ptr() as u64, addr, len) };
    if got.failed == 0 {
        Ok(())
    } else {
        Err(Fault {
            addr: addr + (len - got.value),
            write: false,
        })
    }
}

/// Copies bytes into guest memory.
pub fn write(addr: u64, bytes: &[u8]) -> Result<(), Fault> {
    let len = bytes.len() as u64;
    if len == 0 {
        return Ok(());
    }
    if !inside(addr, len) {
        return Err(Fault { addr, write: true });
    }
    // SAFETY: the destination is guest memory; the source is `bytes`, readable for its length.
    let got = unsafe { lkm_copy(addr, bytes.as_ptr() as u64, len) };
    if got.failed == 0 {
        Ok(())
    } else {
        Err(Fault {
            addr: addr + (len - got.value),
            write: true,
        })
    }
}

/// Fills guest memory with one byte.
pub fn fill(addr: u64, byte: u8, len: u64) -> Result<(), Fault> {
    if len == 0 {
        return Ok(());
    }
    if !inside(addr, len) {
        return Err(Fault { addr, write: true });
    }
    // SAFETY: the destination is guest memory, checked above.
    let got = unsafe { lkm_fill(addr, u64::from(byte), len) };
    if got.failed == 0 {
        Ok(())
    } else {
        Err(Fault {
            addr: addr + (len - got.value),
            write: true,
        })
    }
}

/// Copies between two guest ranges that do not overlap, or with `to` below `from`.
pub fn copy(to: u64, from: u64, len: u64) -> Result<(), Fault> {
    if len == 0 {
        return Ok(());
    }
    if !inside(from, len) {
        return Err(Fault {
            addr: from,
            write: false,
        });
    }
    if !inside(to, len) {
        return Err(Fault {
            addr: to,
            write: true,
        });
    }
    // SAFETY: both ranges are guest memory.
    let got = unsafe { lkm_copy(to, from, len) };
    if got.failed == 0 {
        return Ok(());
    }
    let done = len - got.value;
    // Which side failed shows when the source byte is tried alone.
    match r8(from + done) {
        Ok(_) => Err(Fault {
            addr: to + done,
            write: true,
        }),
        Err(fault) => Err(fault),
    }
}

/// Reads a NUL-terminated string of at most `max` bytes (the NUL not counted).
pub fn cstr(addr: u64, max: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut at = addr;
    while out.len() < max {
        // To the end of the page, so that no access runs into a page that the string does not reach.
        let room = (4096 - (at & 4095)).min((max - out.len()) as u64) as usize;
        let mut buf = [0u8; 256];
        let want = room.min(buf.len());
        read(at, &mut buf[..want])?;
        if let Some(end) = buf[..want].iter().position(|&b| b == 0) {
            out.extend_from_slice(&buf[..end]);
            return Ok(out);
        }
        out.extend_from_slice(&buf[..want]);
        at += want as u64;
    }
    Ok(out)
}
