//! The crossing between guest and host: one slot of machine code per kernel function, and the
//! assembly that changes stacks.
//!
//! A guest call of a kernel function lands in its slot (`mov r11d, N; jmp lkm_gate`). The gate saves the
//! argument registers below the return address, so that together with the caller's stack they form a
//! `va_list`, and continues on the task's host stack:
//!
//! ```text
//!   guest stack                         host stack (grows down from lkm_host_sp)
//!   | stack arguments … |               |                      |
//!   | return address    |  frame+56     | frame                |
//!   | saved rbp         |  frame+48     | previous guest_sp    |
//!   | r9 r8 rcx rdx rsi |               | … Rust dispatcher …  |
//!   | rdi               |  <- frame     |                      |
//! ```
//!
//! `lkm_call_guest` goes the other way: below the current frame of the guest stack, with the host
//! stack pointer of this moment saved as the new top for gates that the callee enters.

use std::arch::global_asm;

/// Bytes between two slots.
pub const SLOT: u64 = 32;

global_asm!(
    r#"
    .bss
    .balign 8
    .globl lkm_host_sp
lkm_host_sp:  .quad 0
    .globl lkm_guest_sp
lkm_guest_sp: .quad 0
    .globl lkm_dispatch
lkm_dispatch: .quad 0
    .globl lkm_on_trap
lkm_on_trap:  .quad 0
    .globl lkm_in_guest
lkm_in_guest: .quad 0
    .text

    .globl lkm_gate
lkm_gate:
    push rbp
    mov rbp, rsp
    push r9
    push r8
    push rcx
    push rdx
    push rsi
    push rdi
    mov r10, rsp
    mov byte ptr [rip + lkm_in_guest], 0
    mov rsp, [rip + lkm_host_sp]
    push r10
    push qword ptr [rip + lkm_guest_sp]
    mov [rip + lkm_guest_sp], r10
    mov edi, r11d
    mov rsi, r10
    cld
    call [rip + lkm_dispatch]
    pop qword ptr [rip + lkm_guest_sp]
    pop rsp
    mov byte ptr [rip + lkm_in_guest], 1
    add rsp, 48
    pop rbp
    # Registers that a call may change hold nothing of the host's.
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    ret

    # rax = lkm_call_guest(function, args[6])
    .globl lkm_call_guest
lkm_call_guest:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push qword ptr [rip + lkm_host_sp]
    mov [rip + lkm_host_sp], rsp
    mov r11, rdi
    mov r10, rsi
    mov rsp, [rip + lkm_guest_sp]
    and rsp, -16
    mov rdi, [r10]
    mov rsi, [r10 + 8]
    mov rdx, [r10 + 16]
    mov rcx, [r10 + 24]
    mov r8,  [r10 + 32]
    mov r9,  [r10 + 40]
    # What the guest starts with is the same in every run.
    xor eax, eax
    xor ebx, ebx
    xor ebp, ebp
    xor r10d, r10d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    cld
    mov byte ptr [rip + lkm_in_guest], 1
    # Above the return address stands what was called, twice for the alignment: a call that is the last thing it
    # does is a jump, and leaves no other trace of it.
    push r11
    push r11
    call r11
    .globl lkm_call_guest_return
lkm_call_guest_return:
    mov byte ptr [rip + lkm_in_guest], 0
    mov rsp, [rip + lkm_host_sp]
    cld
    pop qword ptr [rip + lkm_host_sp]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

    # lkm_switch(save: *mut Context, load: *const Context)
    # a Context is: host stack pointer, lkm_host_sp, lkm_guest_sp
    .globl lkm_switch
lkm_switch:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rax, [rip + lkm_host_sp]
    mov [rdi + 8], rax
    mov rax, [rip + lkm_guest_sp]
    mov [rdi + 16], rax
    mov rax, [rsi + 8]
    mov [rip + lkm_host_sp], rax
    mov rax, [rsi + 16]
    mov [rip + lkm_guest_sp], rax
    mov rsp, [rsi]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

    # First code of a task: its entry function is in r12; it never returns.
    .globl lkm_task_start
lkm_task_start:
    xor ebp, ebp
    call r12
    ud2

    # A guest trap continues here, on the host stack, rdi = rsp = the record (64-byte aligned).
    .globl lkm_trap_entry
lkm_trap_entry:
    push qword ptr [rip + lkm_guest_sp]
    push qword ptr [rip + lkm_host_sp]
    mov [rip + lkm_host_sp], rsp
    mov rbx, rdi
    cld
    call [rip + lkm_on_trap]
    pop qword ptr [rip + lkm_host_sp]
    pop qword ptr [rip + lkm_guest_sp]
    fxrstor64 [rbx + 192]
    mov rdi, rbx
    mov rsp, [rdi + 56]
    mov byte ptr [rip + lkm_in_guest], 1
    push qword ptr [rdi + 128]
    push qword ptr [rdi + 136]
    push qword ptr [rdi + 40]
    mov rax, [rdi]
    mov rbx, [rdi + 8]
    mov rcx, [rdi + 16]
    mov rdx, [rdi + 24]
    mov rsi, [rdi + 32]
    mov rbp, [rdi + 48]
    mov r8,  [rdi + 64]
    mov r9,  [rdi + 72]
    mov r10, [rdi + 80]
    mov r11, [rdi + 88]
    mov r12, [rdi + 96]
    mov r13, [rdi + 104]
    mov r14, [rdi + 112]
    mov r15, [rdi + 120]
    pop rdi
    popfq
    ret
"#
);

unsafe extern "sysv64" {
    pub(crate) static mut lkm_host_sp: u64;
    pub(crate) static mut lkm_guest_sp: u64;
    pub(crate) static mut lkm_dispatch: u64;
    pub(crate) static mut lkm_on_trap: u64;
    pub(crate) static mut lkm_in_guest: u64;
    pub(crate) fn lkm_gate();
    pub(crate) fn lkm_call_guest(function: u64, args: *const [u64; 6]) -> u64;
    pub(crate) fn lkm_call_guest_return();
    pub(crate) fn lkm_switch(save: *mut Context, load: *const Context);
    pub(crate) fn lkm_task_start();
    pub(crate) fn lkm_trap_entry();
}

/// What a suspended context needs to go on.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    pub rsp: u64,
    pub host_sp: u64,
    pub guest_sp: u64,
}

/// The machine code of slot `index`.
pub(crate) fn slot_code(index: u32) -> [u8; SLOT as usize] {
    let mut code = [0xccu8; SLOT as usize];
    // endbr64; mov r11d, index; mov r10, lkm_gate; jmp r10
    code[..4].copy_from_slice(&[0xf3, 0x0f, 0x1e, 0xfa]);
    code[4..6].copy_from_slice(&[0x41, 0xbb]);
    code[6..10].copy_from_slice(&index.to_le_bytes());
    code[10..12].copy_from_slice(&[0x49, 0xba]);
    code[12..20].copy_from_slice(&(lkm_gate as *const () as u64).to_le_bytes());
    code[20..23].copy_from_slice(&[0x41, 0xff, 0xe2]);
    code
}
