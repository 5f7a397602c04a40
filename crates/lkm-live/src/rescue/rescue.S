# The body of the rescue module, position-independent, with no symbol of the kernel in it: all
# addresses and offsets come from the block of words behind `params`, which the writer of
# the module fills in (see image.rs for the same layout in Rust).
#
#   0 &modules   8 &module_mutex   16 mutex_trylock   24 mutex_lock   32 mutex_unlock
#  40 the struct module meant      48.. offsets: list state refcnt init exit source_list
#  96 state seen 104 raw refcnt seen 112 flags (1 heal, 2 drop exit) 120 calls 128 words
# 144 16 calls of 104 bytes: function, then 4 arguments of {indirect, base, addend}
# 1808 16 words of 24 bytes: {address, old value, new value}
# 2192 idem_hash, or 0   2200 init_task   2208.. offsets: tasks stack signal thread_head
#      thread_node   2248 __rcu_read_lock, or 0   2256 __rcu_read_unlock, or 0
#
# In:  nothing.   Out: eax, a negative errno. ECANCELED (125) is success: the loader then
# throws this module away again, which is what is wanted.
#
#   stack     rbx params   r12 struct module   r13d answer   r14 row   r15 rows left
#   [6 saved registers][8 bytes so that calls are made on a 16-byte boundary]

.globl lkm_rescue_start, lkm_rescue_params_at, lkm_rescue_end
lkm_rescue_start:
    endbr64
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    .byte 0x48, 0x8d, 0x1d              # lea rbx, [rip + params]
lkm_rescue_params_at:
    .long 0                             # the loader fills this in: R_X86_64_PC32

    # The list may be walked under the mutex only. Waiting for it could be for ever.
    mov rdi, [rbx + 8]
    call [rbx + 16]
    mov r13d, -16                       # EBUSY
    test eax, eax
    jz 90f

    mov r13d, -3                        # ESRCH
    mov rcx, [rbx]
    mov rax, [rcx]
10: cmp rax, rcx
    je 30f
    mov r12, rax
    sub r12, [rbx + 48]
    cmp r12, [rbx + 40]
    je 20f
    mov rax, [rax]
    jmp 10b

20: mov r13d, -31                       # EMLINK: another module uses it
    mov rax, [rbx + 88]
    add rax, r12
    cmp [rax], rax
    jne 30f
    mov r13d, -116                      # ESTALE: not as it was seen
    mov rax, [rbx + 56]
    mov eax, [r12 + rax]
    cmp eax, [rbx + 96]
    jne 30f
    mov rax, [rbx + 64]
    mov eax, [r12 + rax]
    cmp eax, [rbx + 104]
    jne 30f
    xor r13d, r13d

30: mov rdi, [rbx + 8]
    call [rbx + 32]
    test r13d, r13d
    jnz 90f

    # Every indirect argument must be a pointer before the first call is made.
    mov r13d, -14                       # EFAULT
    lea r14, [rbx + 144]
    mov r15, [rbx + 120]
40: test r15, r15
    jz 50f
    lea rbp, [r14 + 8]
    mov ecx, 4
41: cmp qword ptr [rbp], 1
    jne 42f
    mov rax, [rbp + 8]
    mov rax, [rax]
    cmp rax, 4096
    jb 90f
    cmp rax, -4095
    jae 90f
42: add rbp, 24
    dec ecx
    jnz 41b
    add r14, 104
    dec r15
    jmp 40b

50: lea r14, [rbx + 144]
    mov r15, [rbx + 120]
51: test r15, r15
    jz 60f
    lea rbp, [r14 + 8]
    call 95f
    mov rdi, rax
    call 95f
    mov rsi, rax
    call 95f
    mov rdx, rax
    call 95f
    mov rcx, rax
    xor eax, eax
    call [r14]
    add r14, 104
    dec r15
    jmp 51b

    # Words to repair, each only if it still is what was seen.
60: lea r14, [rbx + 1808]
    mov r15, [rbx + 128]
61: test r15, r15
    jz 70f
    mov r13d, -116
    mov rdx, [r14]
    mov rax, [r14 + 8]
    mov rcx, [r14 + 16]
    lock cmpxchg [rdx], rcx
    jne 90f
    add r14, 24
    dec r15
    jmp 61b

    # Loads that died: when the table of loads in progress is given, entries that lie on no
    # task's stack are cut off, with what hangs behind them.
70: cmp qword ptr [rbx + 2192], 0
    je 79f
    mov rax, [rbx + 2248]
    test rax, rax
    jz 72f
    call rax
72: xor r14d, r14d
73: mov rbp, [rbx + 2192]
    lea rbp, [rbp + r14 * 8]
    mov r15d, 1000
74: mov rdi, [rbp]
    test rdi, rdi
    jz 76f
    call 97f
    jnc 75f
    mov rbp, rdi
    dec r15d
    jnz 74b
    jmp 76f
75: mov rax, rdi                        # only if it is still there
    xor ecx, ecx
    lock cmpxchg [rbp], rcx
76: inc r14d
    cmp r14d, 256
    jb 73b
    mov rax, [rbx + 2256]
    test rax, rax
    jz 79f
    call rax

79: mov r13d, -125                      # ECANCELED
    test qword ptr [rbx + 112], 1
    jz 90f
    mov rdi, [rbx + 8]
    call [rbx + 24]
    test qword ptr [rbx + 112], 2
    jz 80f
    # Neither init nor exit: delete_module then does not ask for force, and runs nothing.
    mov rax, [rbx + 80]
    mov qword ptr [r12 + rax], 0
    mov rax, [rbx + 72]
    mov qword ptr [r12 + rax], 0
80: mov rax, [rbx + 64]
    mov dword ptr [r12 + rax], 1        # MODULE_REF_BASE: no users
    mov rax, [rbx + 56]
    mov dword ptr [r12 + rax], 0        # MODULE_STATE_LIVE
    mov rdi, [rbx + 8]
    call [rbx + 32]

90: mov eax, r13d
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

    # One argument: [rbp] says whether [rbp + 8] is the value or where it is.
95: mov rax, [rbp + 8]
    cmp qword ptr [rbp], 1
    jne 96f
    mov rax, [rax]
    add rax, [rbp + 16]
96: add rbp, 24
    ret

    # Is rdi on the stack of a task? Carry says so. rsi, rdx: all thread groups; r8, rcx:
    # the threads of one.
97: mov rsi, [rbx + 2200]
    add rsi, [rbx + 2208]
    mov rdx, rsi
82: mov r8, rdx
    sub r8, [rbx + 2208]
    mov rax, [rbx + 2224]
    mov r8, [r8 + rax]
    add r8, [rbx + 2232]
    mov rcx, r8
83: mov rcx, [rcx]
    cmp rcx, r8
    je 84f
    mov rax, rcx
    sub rax, [rbx + 2240]
    mov r9, [rbx + 2216]
    mov r9, [rax + r9]
    mov rax, rdi
    sub rax, r9
    cmp rax, 16384                      # THREAD_SIZE
    jae 83b
    ret                                 # below: carry is set
84: mov rdx, [rdx]
    cmp rdx, rsi
    jne 82b
    clc
    ret
lkm_rescue_end:
