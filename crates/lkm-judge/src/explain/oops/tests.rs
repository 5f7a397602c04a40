//! Oops texts of three families, and what they must be read as.

use super::*;

/// A thread stopped after it ended, on ARM 4.4, as the serial line gives it.
const ARM_44: &str = "\
[  204.512345] Unable to handle kernel NULL pointer dereference at virtual address 00000000
[  204.520000] pgd = 862f4000
[  204.523000] [00000000] *pgd=00000000
[  204.526000] Internal error: Oops: 5 [#1] PREEMPT SMP ARM
[  204.531000] Modules linked in: bridge(O) gadget(-) nls_utf8
[  204.535000] CPU: 0 PID: 3248 Comm: rmmod Tainted: P                4.4.60 #0
[  204.541000] Hardware name: Generic DT based system
[  204.546000] task: 87a1a400 ti: 8a1c4000 task.ti: 8a1c4000
[  204.551000] PC is at exit_creds+0x1c/0x7c
[  204.555000] LR is at __put_task_struct+0x6c/0xb8
[  204.560000] pc : [<8123cf8c>]    lr : [<81223378>]    psr: 20000013
[  204.560000] sp : 8a1c5f28  ip : 00000090  fp : 00000000
[  204.572000] r10: 00000000  r9 : 8a1c4000  r8 : 81209ce4
[  204.577000] r7 : 00000081  r6 : 00000000  r5 : 86475f88  r4 : 86475f80
[  204.583000] r3 : 00000000  r2 : ffffffff  r1 : 00000091  r0 : 00000000
[  204.590000] Flags: nzCv  IRQs on  FIQs on  Mode SVC_32  ISA ARM  Segment user
[  204.597000] Control: 10c0383d  Table: 462f406a  DAC: 00000055
[  204.603000] Process rmmod (pid: 3248, stack limit = 0x8a1c4210)
[  204.609000] Stack: (0x8a1c5f28 to 0x8a1c6000)
[  204.613000] 5f20:                   86475f80 86475f88 00000000 81223378 86475f80 8123bdc0
[  204.680000] [<8123cf8c>] (exit_creds) from [<81223378>] (__put_task_struct+0x6c/0xb8)
[  204.688000] [<81223378>] (__put_task_struct) from [<8123bdc0>] (kthread_stop+0x94/0x9c)
[  204.696000] [<8123bdc0>] (kthread_stop) from [<8127ebe4>] (SyS_delete_module+0x11c/0x1e0)
[  204.704000] [<8127ebe4>] (SyS_delete_module) from [<81209b40>] (ret_fast_syscall+0x0/0x34)
[  204.712000] Code: e590031c e584331c f57ff05b f590f000 (e1902f9f)
[  204.718000] ---[ end trace 1049bc8959325377 ]---
";

#[test]
fn a_thread_stopped_after_its_end_on_arm() {
    let e = explain_text(ARM_44).unwrap();
    assert_eq!(e.rule, Some("kthread-stop-after-exit"));
    assert_eq!(e.task, "rmmod/3248");
    assert_eq!(e.module, "gadget");
    assert_eq!(e.state, Some(State::Unloading));
    assert_eq!(e.oops.machine, Machine::Arm);
    assert_eq!(e.oops.release, "4.4.60");
    assert_eq!(e.oops.access, Some(Access::Read));
    let chain: Vec<_> = e.oops.frames.iter().map(|f| f.symbol.as_str()).collect();
    assert_eq!(
        chain,
        [
            "__put_task_struct",
            "kthread_stop",
            "SyS_delete_module",
            "ret_fast_syscall"
        ]
    );
    assert!(e.evidence.iter().any(|l| l.contains("tail call")));
    // A GOING module refuses a second load with EEXIST on 4.4.
    assert!(e.left.iter().any(|l| l.contains("EEXIST")), "{:?}", e.left);
    assert!(e.text().contains("lkm explain kthread-stop-after-exit"));
}

#[test]
fn the_same_pasted_into_one_line_between_other_words() {
    let one: String = ARM_44
        .lines()
        .map(|l| l.split_once("] ").unwrap().1.trim())
        .collect::<Vec<_>>()
        .join(" ");
    let page = format!(
        "卸载模块的时候, 出现kernel panic 1 2 3 | {one} |\n查看代码, static int thread_fn(void *data) {{ return 0; }}"
    );
    let a = explain_text(&page).unwrap();
    let b = explain_text(ARM_44).unwrap();
    assert_eq!(
        (a.rule, &a.task, &a.module, a.state),
        (b.rule, &b.task, &b.module, b.state)
    );
    assert_eq!(a.oops.frames, b.oops.frames);
}

const INIT_61: &str = "\
BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
PGD 0 P4D 0 
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 412 Comm: insmod Tainted: G           OE      6.1.0-56-amd64 #1  Debian 6.1.192-1
Hardware name: QEMU Standard PC
RIP: 0010:strcpy+0xc/0x30
Code: 89 f8 48 89 fa <88> 0a
RSP: 0018:ffffc90000537c60 EFLAGS: 00010246
RAX: 0000000000000000 RBX: ffffffffc0a31000 RCX: 0000000000000056
Call Trace:
 <TASK>
 ? __die_body.cold+0x1a/0x1f
 joystick_init+0x5c/0x1000 [joystick]
 do_one_initcall+0x59/0x220
 do_init_module+0x4a/0x1f0
 __do_sys_finit_module+0xb4/0x110
 do_syscall_64+0x55/0xb0
 entry_SYSCALL_64_after_hwframe+0x6e/0xd8
 </TASK>
Modules linked in: joystick(OE+) binfmt_misc [last unloaded: other(OE)]
CR2: 0000000000000000
---[ end trace 0000000000000000 ]---
";

#[test]
fn a_null_pointer_in_init() {
    let e = explain_text(INIT_61).unwrap();
    assert_eq!(e.rule, Some("oops"));
    assert_eq!(
        (e.module.as_str(), e.state),
        ("joystick", Some(State::Loading))
    );
    assert_eq!(e.task, "insmod/412");
    assert_eq!(e.oops.access, Some(Access::Write));
    assert!(e.evidence.iter().any(|l| l.starts_with("strcpy()")));
    assert!(e.cause.contains("joystick_init"), "{}", e.cause);
    assert!(e.left.iter().any(|l| l.contains("Loading")), "{:?}", e.left);
    assert!(!e.oops.frames[0].sure);
}

#[test]
fn the_same_on_a_kernel_of_the_third_series() {
    let text = "\
BUG: unable to handle kernel NULL pointer dereference at           (null)
IP: [<c025a6f0>] strcpy+0x10/0x20
*pde = 00000000 
Oops: 0002 [#1] SMP 
Modules linked in: vgabuttons(+) snd_pcm
Pid: 2211, comm: insmod Not tainted 3.0.27 #2 innotek
EIP: 0060:[<c025a6f0>] EFLAGS: 00010246 CPU: 0
EIP is at strcpy+0x10/0x20
EAX: 00000000 EBX: f4a0c000
Process insmod (pid: 2211, ti=f4b2a000 task=f4a0a000 task.ti=f4b2a000)
Stack:
 00000000 f8a5c1a0
Call Trace:
 [<f8a5f0b2>] vgabuttons_init+0xb2/0xe0 [vgabuttons]
 [<c0101135>] do_one_initcall+0x35/0x170
 [<c016c9a5>] sys_init_module+0xd5/0x1c0
Code: 89 c6
---[ end trace a7919e7f17c0a725 ]---";
    let e = explain_text(text).unwrap();
    assert_eq!(e.rule, Some("oops"));
    assert_eq!(
        (e.module.as_str(), e.state),
        ("vgabuttons", Some(State::Loading))
    );
    assert_eq!(e.task, "insmod/2211");
    assert_eq!(e.oops.release, "3.0.27");
    assert_eq!(e.oops.address, Some(0));
    // Before 4.1 a second insmod does not wait.
    assert!(e.left.iter().any(|l| l.contains("EEXIST")), "{:?}", e.left);
}

fn gone(caller: &str) -> String {
    format!(
        "BUG: unable to handle page fault for address: ffffffffc0a31000
#PF: supervisor instruction fetch in kernel mode
#PF: error_code(0x0010) - not-present page
Oops: 0010 [#1] PREEMPT SMP
CPU: 0 PID: 0 Comm: swapper/0 Not tainted 6.1.0 #1
RIP: 0010:0xffffffffc0a31000
Code: Unable to access opcode bytes at 0xffffffffc0a30fd6.
Call Trace:
 <IRQ>
 ? early+0x1/0x2
 {caller}+0x24/0x130
 other_function+0x1/0x2
 </IRQ>
Modules linked in: ext4 [last unloaded: blinker(OE)]
---[ end trace 0000000000000000 ]---"
    )
}

#[test]
fn code_of_a_module_that_has_gone_is_told_by_its_caller() {
    for (caller, rule, word) in [
        ("call_timer_fn", "left-running", "timer"),
        ("process_one_work", "left-running", "work"),
        ("rcu_do_batch", "left-running", "RCU"),
        ("notifier_call_chain", "left-registered", "notifier"),
        ("vfs_read", "missing-owner", "file"),
        ("kthread", "left-running", "thread"),
    ] {
        let e = explain_text(&gone(caller)).unwrap();
        assert_eq!(e.rule, Some(rule), "{caller}");
        assert!(e.cause.contains(word), "{}", e.cause);
        assert_eq!((e.module.as_str(), e.state), ("blinker", Some(State::Gone)));
    }
}

#[test]
fn a_name_alone_is_no_shape() {
    // The same caller, but the fault is a NULL pointer in a loaded function.
    let text = gone("call_timer_fn")
        .replace(
            "page fault for address: ffffffffc0a31000",
            "page fault for address: 0000000000000008",
        )
        .replace("instruction fetch", "read access")
        .replace("0010:0xffffffffc0a31000", "0010:blink+0x10/0x20 [blinker]");
    let e = explain_text(&text).unwrap();
    assert_eq!(e.rule, Some("oops"));
    assert_eq!(e.state, Some(State::Live));
}

#[test]
fn stopping_an_error_pointer_is_not_stopping_a_dead_thread() {
    let text = "BUG: unable to handle page fault for address: fffffffffffffff4
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] SMP
CPU: 0 PID: 9 Comm: rmmod Not tainted 6.1.0 #1
RIP: 0010:kthread_stop+0x20/0x150
Call Trace:
 <TASK>
 thing_exit+0x10/0x20 [thing]
 __do_sys_delete_module+0x1b0/0x2e0
 </TASK>
Modules linked in: thing(O-)
---[ end trace 0000000000000000 ]---";
    let e = explain_text(text).unwrap();
    assert_eq!(e.rule, Some("err-ptr-unchecked"));
    assert!(e.cause.contains("-12"), "{}", e.cause);
}

#[test]
fn poison_locks_and_waits() {
    let poison = explain_text(
        "general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP
CPU: 0 PID: 9 Comm: w Not tainted 6.1.0 #1
RIP: 0010:drop+0x20/0x50 [q]
Modules linked in: q(O)
---[ end trace 0 ]---",
    )
    .unwrap();
    assert_eq!(poison.rule, Some("use-after-free"));
    let hung = explain_text(
        "INFO: task rmmod:831 blocked for more than 120 seconds.
Not tainted 6.1.0 #1
Call Trace:
 <TASK>
 __schedule+0x1/0x2
 wait_for_completion+0x1/0x2
 kthread_stop+0x1/0x2
 q_exit+0x1/0x2 [q]
 __x64_sys_delete_module+0x1/0x2
 </TASK>",
    )
    .unwrap();
    assert_eq!(hung.rule, Some("unload-hangs"));
    assert_eq!(hung.task, "rmmod/831");
    assert_eq!(hung.state, Some(State::Unloading));
    let order =
        explain_text("WARNING: possible circular locking dependency detected\nx/9 is trying")
            .unwrap();
    assert_eq!(order.rule, Some("lock-order"));
}

#[test]
fn a_text_of_the_lab_has_frames_without_offsets() {
    let e = explain_text(
        "refcount_t: addition on 0; use-after-free.
BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] PREEMPT SMP
CPU: 0 PID: 1004 Comm: rmmod Tainted: G        W  OE      6.1.0-56-amd64 #1
RIP: 0010:kthread_stop
Call Trace:
 <TASK>
 kthread_stop
 0x556b0f17b9f3
 </TASK>
Modules linked in: once(OE-)
---[ end trace 0000000000000000 ]---",
    )
    .unwrap();
    assert_eq!(e.rule, Some("kthread-stop-after-exit"));
    assert_eq!(e.oops.frames.len(), 1);
    assert_eq!(
        (e.module.as_str(), e.state),
        ("once", Some(State::Unloading))
    );
    assert!(e.left.iter().any(|l| l.contains("EBUSY")), "{:?}", e.left);
}

#[test]
fn what_is_no_oops_is_not_explained() {
    assert!(explain_text("").is_none());
    assert!(explain_text("hello from a module\n").is_none());
    assert!(explain_text("Oops, I did it again").is_none());
}

#[test]
fn cut_and_damaged_texts_do_no_harm() {
    for text in [ARM_44, INIT_61, &gone("call_timer_fn")] {
        for cut in (0..text.len()).filter(|c| text.is_char_boundary(*c)) {
            if let Some(e) = explain_text(&text[..cut]) {
                assert!(!e.text().is_empty());
            }
            if let Some(e) = explain_text(&text[cut..]) {
                assert!(!e.cause.is_empty());
            }
        }
        let mut state = 1u32;
        for _ in 0..2000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = state as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            explain_text(&String::from_utf8_lossy(&bytes));
        }
    }
    let long = "BUG: unable to handle page fault for address: ".repeat(100_000);
    assert!(explain_text(&long).is_some());
}
