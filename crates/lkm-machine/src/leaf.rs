//! Native leaves: kernel functions that are machine code in the guest, because they have register
//! contracts that a gate cannot keep (thunks, get_user, hweight) or are called too often to cross for
//! (memcpy). A fault in one is the caller's, as it is in the kernel; those that the kernel lets fail
//! (user accesses) name where to go on.

use crate::map;
use std::arch::global_asm;

/// Offset in the per-CPU area of the word that holds the interrupt flag (0x200 when enabled).
pub const IRQ_FLAG: u64 = map::PERCPU.size - 8;

/// A piece of guest machine code.
#[derive(Debug, Clone, Copy)]
pub struct Leaf {
    /// The kernel symbols that it is.
    pub names: &'static [&'static str],
    /// Its position-independent code.
    pub code: &'static [u8],
    /// When it faults between its start and this offset, it goes on at the offset; 0: a fault is an oops.
    pub fixup: u64,
}

macro_rules! leaves {
    ($($start:ident $end:ident $fix:expr, [$($name:literal),+] : $code:literal)+) => {
        $(global_asm!(concat!(".globl ", stringify!($start), "\n", stringify!($start), ":\n", $code, "\n.globl ", stringify!($end), "\n", stringify!($end), ":\n# {user_start} {user_end} {irq_flag}\n"),
            user_start = const map::USER.start, user_end = const map::USER.start + map::USER.size, irq_flag = const IRQ_FLAG);)+
        unsafe extern "C" { $(static $start: u8; static $end: u8;)+ }
        /// All leaves.
        pub fn all() -> Vec<Leaf> {
            vec![$({
                let (start, end) = (&raw const $start, &raw const $end);
                // SAFETY: both labels are in one piece of this program's text, start before end.
                let code = unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) };
                Leaf { names: &[$($name),+], code, fixup: fix($fix, code) }
            }),+]
        }
    };
}

/// Fixups are marked in the code by `nop dword ptr [rax + rax + 0x5a]` before the landing point.
fn fix(has: bool, code: &[u8]) -> u64 {
    if !has {
        return 0;
    }
    let mark = [0x0f, 0x1f, 0x44, 0x00, 0x5a];
    code.windows(mark.len())
        .position(|w| w == mark)
        .map_or(0, |at| (at + mark.len()) as u64)
}

leaves! {
    lkm_leaf_ret lkm_leaf_ret_end false, ["__fentry__", "__x86_return_thunk", "srso_return_thunk", "retbleed_return_thunk", "entry_ibpb",
        "__SCT__preempt_schedule", "__SCT__preempt_schedule_notrace", "__lkm_pv_nop"] : "ret; int3"
    lkm_leaf_hw32 lkm_leaf_hw32_end false, ["__sw_hweight32"] : "popcnt eax, edi; ret"
    lkm_leaf_hw64 lkm_leaf_hw64_end false, ["__sw_hweight64"] : "popcnt rax, rdi; ret"
    lkm_leaf_get1 lkm_leaf_get1_end true, ["__get_user_1"] :
        "cmp rax, {user_start}; jb 2f; cmp rax, {user_end} - 1; ja 2f; movzx edx, byte ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_get2 lkm_leaf_get2_end true, ["__get_user_2"] :
        "cmp rax, {user_start}; jb 2f; cmp rax, {user_end} - 2; ja 2f; movzx edx, word ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_get4 lkm_leaf_get4_end true, ["__get_user_4"] :
        "cmp rax, {user_start}; jb 2f; cmp rax, {user_end} - 4; ja 2f; mov edx, dword ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_get8 lkm_leaf_get8_end true, ["__get_user_8"] :
        "cmp rax, {user_start}; jb 2f; cmp rax, {user_end} - 8; ja 2f; mov rdx, qword ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_getn1 lkm_leaf_getn1_end true, ["__get_user_nocheck_1"] :
        "movzx edx, byte ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_getn2 lkm_leaf_getn2_end true, ["__get_user_nocheck_2"] :
        "movzx edx, word ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_getn4 lkm_leaf_getn4_end true, ["__get_user_nocheck_4"] :
        "mov edx, dword ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    lkm_leaf_getn8 lkm_leaf_getn8_end true, ["__get_user_nocheck_8"] :
        "mov rdx, qword ptr [rax]; xor eax, eax; ret; nop dword ptr [rax + rax + 0x5a]; 2: xor edx, edx; mov rax, -14; ret"
    // put_user: value in rax, address in rcx, result in ecx.
    lkm_leaf_put1 lkm_leaf_put1_end true, ["__put_user_1"] :
        "cmp rcx, {user_start}; jb 2f; cmp rcx, {user_end} - 1; ja 2f; mov byte ptr [rcx], al; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_put2 lkm_leaf_put2_end true, ["__put_user_2"] :
        "cmp rcx, {user_start}; jb 2f; cmp rcx, {user_end} - 2; ja 2f; mov word ptr [rcx], ax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_put4 lkm_leaf_put4_end true, ["__put_user_4"] :
        "cmp rcx, {user_start}; jb 2f; cmp rcx, {user_end} - 4; ja 2f; mov dword ptr [rcx], eax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_put8 lkm_leaf_put8_end true, ["__put_user_8"] :
        "cmp rcx, {user_start}; jb 2f; cmp rcx, {user_end} - 8; ja 2f; mov qword ptr [rcx], rax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_putn1 lkm_leaf_putn1_end true, ["__put_user_nocheck_1"] :
        "mov byte ptr [rcx], al; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_putn2 lkm_leaf_putn2_end true, ["__put_user_nocheck_2"] :
        "mov word ptr [rcx], ax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_putn4 lkm_leaf_putn4_end true, ["__put_user_nocheck_4"] :
        "mov dword ptr [rcx], eax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    lkm_leaf_putn8 lkm_leaf_putn8_end true, ["__put_user_nocheck_8"] :
        "mov qword ptr [rcx], rax; xor ecx, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov ecx, -14; ret"
    // copy_user: rdi to, rsi from, edx bytes; eax what is left.
    lkm_leaf_cu lkm_leaf_cu_end true, ["copy_user_generic_unrolled", "copy_user_generic_string", "copy_user_enhanced_fast_string", "__copy_user_nocache"] :
        "mov ecx, edx; rep movsb; mov eax, ecx; ret; nop dword ptr [rax + rax + 0x5a]; 2: mov eax, ecx; ret"
    // rep_movs_alternative (6.4 and later): rdi, rsi, rcx; rcx what is left.
    lkm_leaf_rm lkm_leaf_rm_end true, ["rep_movs_alternative"] :
        "rep movsb; ret; nop dword ptr [rax + rax + 0x5a]; 2: ret"
    // clear_user: rdi to, rcx bytes; rcx what is left.
    lkm_leaf_clu lkm_leaf_clu_end true, ["clear_user_original", "clear_user_rep_good", "clear_user_erms", "rep_stos_alternative"] :
        "xor eax, eax; rep stosb; ret; nop dword ptr [rax + rax + 0x5a]; 2: ret"
    lkm_leaf_cp lkm_leaf_cp_end false, ["clear_page_orig", "clear_page_rep", "clear_page_erms"] : "mov ecx, 512; xor eax, eax; rep stosq; ret"
    lkm_leaf_cpp lkm_leaf_cpp_end false, ["copy_page"] : "mov ecx, 512; rep movsq; ret"
    lkm_leaf_memcpy lkm_leaf_memcpy_end false, ["memcpy", "__memcpy"] : "mov rax, rdi; mov rcx, rdx; rep movsb; ret"
    lkm_leaf_memmove lkm_leaf_memmove_end false, ["memmove", "__memmove"] :
        "mov rax, rdi; mov rcx, rdx; cmp rsi, rdi; jae 1f; lea r8, [rsi + rdx]; cmp r8, rdi; jbe 1f; lea rsi, [rsi + rdx - 1]; lea rdi, [rdi + rdx - 1]; std; rep movsb; cld; ret; 1: rep movsb; ret"
    lkm_leaf_memset lkm_leaf_memset_end false, ["memset", "__memset"] : "mov r9, rdi; mov eax, esi; mov rcx, rdx; rep stosb; mov rax, r9; ret"
    lkm_leaf_strlen lkm_leaf_strlen_end false, ["strlen"] : "xor eax, eax; 1: cmp byte ptr [rdi + rax], 0; je 2f; inc rax; jmp 1b; 2: ret"
    lkm_leaf_strcmp lkm_leaf_strcmp_end false, ["strcmp"] :
        "xor ecx, ecx; 1: movzx eax, byte ptr [rdi + rcx]; movzx edx, byte ptr [rsi + rcx]; inc rcx; cmp eax, edx; jne 2f; test eax, eax; jne 1b; ret; 2: sbb eax, eax; or eax, 1; ret"
    lkm_leaf_strcpy lkm_leaf_strcpy_end false, ["strcpy"] :
        "mov rax, rdi; 1: mov cl, byte ptr [rsi]; mov byte ptr [rdi], cl; inc rsi; inc rdi; test cl, cl; jne 1b; ret"
    lkm_leaf_memcmp lkm_leaf_memcmp_end false, ["memcmp", "bcmp"] :
        "xor ecx, ecx; 1: cmp rcx, rdx; je 3f; movzx eax, byte ptr [rdi + rcx]; movzx r8d, byte ptr [rsi + rcx]; inc rcx; cmp eax, r8d; je 1b; sub eax, r8d; ret; 3: xor eax, eax; ret"
    // Interrupt flag of the one CPU: what pv_ops' callee-save slots do.
    lkm_leaf_save_fl lkm_leaf_save_fl_end false, ["__lkm_save_fl", "__raw_callee_save_xen_save_fl"] : "mov rax, qword ptr gs:[{irq_flag}]; ret"
    lkm_leaf_irq_off lkm_leaf_irq_off_end false, ["__lkm_irq_disable"] : "mov qword ptr gs:[{irq_flag}], 0; ret"
    lkm_leaf_irq_on lkm_leaf_irq_on_end false, ["__lkm_irq_enable"] : "mov qword ptr gs:[{irq_flag}], 0x200; ret"
    lkm_leaf_ident lkm_leaf_ident_end false, ["__lkm_ident_64", "_paravirt_ident_64"] : "mov rax, rdi; ret"
    lkm_leaf_t0 lkm_leaf_t0_end false, ["__x86_indirect_thunk_rax", "__x86_indirect_call_thunk_rax", "__x86_indirect_jump_thunk_rax"] : "jmp rax"
    lkm_leaf_t1 lkm_leaf_t1_end false, ["__x86_indirect_thunk_rbx", "__x86_indirect_call_thunk_rbx", "__x86_indirect_jump_thunk_rbx"] : "jmp rbx"
    lkm_leaf_t2 lkm_leaf_t2_end false, ["__x86_indirect_thunk_rcx", "__x86_indirect_call_thunk_rcx", "__x86_indirect_jump_thunk_rcx"] : "jmp rcx"
    lkm_leaf_t3 lkm_leaf_t3_end false, ["__x86_indirect_thunk_rdx", "__x86_indirect_call_thunk_rdx", "__x86_indirect_jump_thunk_rdx"] : "jmp rdx"
    lkm_leaf_t4 lkm_leaf_t4_end false, ["__x86_indirect_thunk_rsi", "__x86_indirect_call_thunk_rsi", "__x86_indirect_jump_thunk_rsi"] : "jmp rsi"
    lkm_leaf_t5 lkm_leaf_t5_end false, ["__x86_indirect_thunk_rdi", "__x86_indirect_call_thunk_rdi", "__x86_indirect_jump_thunk_rdi"] : "jmp rdi"
    lkm_leaf_t6 lkm_leaf_t6_end false, ["__x86_indirect_thunk_rbp", "__x86_indirect_call_thunk_rbp", "__x86_indirect_jump_thunk_rbp"] : "jmp rbp"
    lkm_leaf_t8 lkm_leaf_t8_end false, ["__x86_indirect_thunk_r8", "__x86_indirect_call_thunk_r8", "__x86_indirect_jump_thunk_r8"] : "jmp r8"
    lkm_leaf_t9 lkm_leaf_t9_end false, ["__x86_indirect_thunk_r9", "__x86_indirect_call_thunk_r9", "__x86_indirect_jump_thunk_r9"] : "jmp r9"
    lkm_leaf_t10 lkm_leaf_t10_end false, ["__x86_indirect_thunk_r10", "__x86_indirect_call_thunk_r10", "__x86_indirect_jump_thunk_r10"] : "jmp r10"
    lkm_leaf_t11 lkm_leaf_t11_end false, ["__x86_indirect_thunk_r11", "__x86_indirect_call_thunk_r11", "__x86_indirect_jump_thunk_r11"] : "jmp r11"
    lkm_leaf_t12 lkm_leaf_t12_end false, ["__x86_indirect_thunk_r12", "__x86_indirect_call_thunk_r12", "__x86_indirect_jump_thunk_r12"] : "jmp r12"
    lkm_leaf_t13 lkm_leaf_t13_end false, ["__x86_indirect_thunk_r13", "__x86_indirect_call_thunk_r13", "__x86_indirect_jump_thunk_r13"] : "jmp r13"
    lkm_leaf_t14 lkm_leaf_t14_end false, ["__x86_indirect_thunk_r14", "__x86_indirect_call_thunk_r14", "__x86_indirect_jump_thunk_r14"] : "jmp r14"
    lkm_leaf_t15 lkm_leaf_t15_end false, ["__x86_indirect_thunk_r15", "__x86_indirect_call_thunk_r15", "__x86_indirect_jump_thunk_r15"] : "jmp r15"
}
