//! Oops texts of other machines and kernels. No name of a module's function says anything: copies with other names
//! are read as the same.

use super::*;
use crate::explain::oops::parse::Access;

/// A NULL write in init on arm64.
const ARM64: &str = "\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000
Mem abort info:
  ESR = 0x0000000096000045
  EC = 0x25: DABT (current EL), IL = 32 bits
Data abort info:
  ISV = 0, ISS = 0x00000045
  CM = 0, WnR = 1
user pgtable: 4k pages, 48-bit VAs, pgdp=0000000041d5c000
[0000000000000000] pgd=0000000000000000, p4d=0000000000000000
Internal error: Oops: 0000000096000045 [#1] SMP
Modules linked in: foo(OE+)
CPU: 0 PID: 301 Comm: insmod Tainted: G           OE      6.1.0 #1
Hardware name: linux,dummy-virt (DT)
pstate: 60000005 (nZCv daif -PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : foo_start+0x1c/0x1000 [foo]
lr : do_one_initcall+0x50/0x1d0
sp : ffff80000b29bb40
x29: ffff80000b29bb40 x28: ffff800001234000
Call trace:
 foo_start+0x1c/0x1000 [foo]
 do_one_initcall+0x50/0x1d0
 do_init_module+0x48/0x1d0
 load_module+0x1880/0x1af0
 __do_sys_finit_module+0xac/0x130
 el0_svc+0x34/0xdc
Code: d503201f d2800000 (b900001f) d65f03c0
---[ end trace 0000000000000000 ]---
";

/// A read through NULL in exit on RISC-V, whose trace has no heading.
const RISCV: &str = "\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
Oops [#1]
Modules linked in: foo(O-)
CPU: 1 PID: 290 Comm: rmmod Tainted: G           O      6.1.0 #1
Hardware name: riscv-virtio,qemu (DT)
epc : foo_bye+0x1e/0x30 [foo]
 ra : __riscv_sys_delete_module+0x13c/0x200
epc : ffffffff01e3c01e ra : ffffffff800a1b2c sp : ff20000000a7be60
status: 0000000200000120 badaddr: 0000000000000010 cause: 000000000000000d
[<ffffffff01e3c01e>] foo_bye+0x1e/0x30 [foo]
[<ffffffff800a1b2c>] __riscv_sys_delete_module+0x13c/0x200
[<ffffffff80003a8e>] ret_from_syscall+0x0/0x2
---[ end trace 0000000000000000 ]---
";

/// strcpy to NULL in init, where no frame is sure.
const X86_2632: &str = "\
BUG: unable to handle kernel NULL pointer dereference at (null)
IP: [<c0577c3a>] strcpy+0xa/0x20
*pde = 00000000 
Oops: 0002 [#1] SMP 
last sysfs file: /sys/devices/pci0000:00/irq
Modules linked in: vms(+) fuse [last unloaded: old]

Pid: 2918, comm: insmod Not tainted (2.6.32.63 #1) VirtualBox
EIP: 0060:[<c0577c3a>] EFLAGS: 00010246 CPU: 0
EIP is at strcpy+0xa/0x20
EAX: 00000000 EBX: f7c00a00 ECX: f7d0a000 EDX: f8060104
 DS: 007b ES: 007b FS: 00d8 GS: 00e0 SS: 0068
Process insmod (pid: 2918, ti=f66c4000 task=f5d2a030 task.ti=f66c4000)
Stack:
 00000000 f8060190 f66c5f44
Call Trace:
 [<f8063090>] ? vms_init+0x90/0x120 [vms]
 [<c040112d>] ? do_one_initcall+0x2d/0x180
 [<c0467f9b>] ? sys_init_module+0xab/0x1f0
 [<c0403110>] ? sysenter_do_call+0x12/0x28
Code: 90 55 89 e5
EIP: [<c0577c3a>] strcpy+0xa/0x20 SS:ESP 0068:f66c5f30
CR2: 0000000000000000
---[ end trace 4f2b1f0a3c9d ]---
";

/// Code of a module that has gone, reached from an interrupt.
const TICKER: &str = "\
BUG: unable to handle page fault for address: ffffffffc0a4d0b0
#PF: supervisor instruction fetch in kernel mode
#PF: error_code(0x0010) - not-present page
PGD 2c15067 P4D 2c15067 PUD 2c17067 PMD 102b4c067 PTE 0
Oops: 0010 [#1] PREEMPT SMP PTI
CPU: 0 PID: 0 Comm: swapper/0 Tainted: G           OE      6.1.0-56-amd64 #1  Debian 6.1.192-1
RIP: 0010:0xffffffffc0a4d0b0
Code: Unable to access opcode bytes at 0xffffffffc0a4d086.
RSP: 0018:ffffa2a000003ea8 EFLAGS: 00010246
Call Trace:
 <IRQ>
 ? qq_tick_fn+0x27/0x130
 ? qq_run+0x21/0x50
 __do_softirq+0xf0/0x2fe
 </IRQ>
Modules linked in: e1000 [last unloaded: ticker(OE)]
CR2: ffffffffc0a4d0b0
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception in interrupt
";

/// The same by a thread, on 3.16.
const WORKER: &str = "\
BUG: unable to handle kernel paging request at ffffffffa0123456
IP: [<ffffffffa0123456>] 0xffffffffa0123455
PGD 1c0c067 PUD 1c0d063 PMD 37b5f067 PTE 0
Oops: 0010 [#1] SMP 
Modules linked in: ext4 [last unloaded: threader]
CPU: 0 PID: 999 Comm: worker Tainted: G           O 3.16.0 #1
task: ffff88003d0ce310 ti: ffff88003c0a4000 task.ti: ffff88003c0a4000
RIP: 0010:[<ffffffffa0123456>]  [<ffffffffa0123456>] 0xffffffffa0123455
RSP: 0018:ffff88003c0a7ec0  EFLAGS: 00010282
Stack:
 ffff88003c0a7ec8 0000000000000000
Call Trace:
 [<ffffffff8107a0b1>] ? kthread+0xc1/0xe0
 [<ffffffff8107a000>] ? kthread_create_on_node+0x180/0x180
 [<ffffffff8150c1fc>] ? ret_from_fork+0x7c/0xb0
Code:  Bad RIP value.
RIP  [<ffffffffa0123456>] 0xffffffffa0123455
 RSP <ffff88003c0a7ec0>
CR2: ffffffffa0123456
---[ end trace 8d7e0b2b3fc0d3a1 ]---
";

/// 6.12 says Oops twice.
const X86_612: &str = "\
[  101.1] BUG: kernel NULL pointer dereference, address: 0000000000000018
[  101.1] #PF: supervisor write access in kernel mode
[  101.1] #PF: error_code(0x0002) - not-present page
[  101.1] PGD 0 P4D 0 
[  101.1] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
[  101.1] CPU: 1 UID: 0 PID: 812 Comm: rmmod Tainted: G           OE      6.12.9-amd64 #1  Debian 6.12.9-1
[  101.1] Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
[  101.1] Hardware name: QEMU Standard PC
[  101.1] RIP: 0010:zork_halt+0x54/0x1a0
[  101.1] Code: 00 00 <f0> 80 0b 02
[  101.1] RSP: 0018:ffffb0c3c0a8fe60 EFLAGS: 00010202
[  101.1] RAX: 0000000000000001 RBX: ffff9f3b4 RCX: 0000000000000000
[  101.1] Call Trace:
[  101.1]  <TASK>
[  101.1]  ? __die_body.cold+0x19/0x27
[  101.1]  foo_exit+0x15/0xec0 [foo]
[  101.1]  __do_sys_delete_module.isra.0+0x1b2/0x310
[  101.1]  do_syscall_64+0x82/0x190
[  101.1]  entry_SYSCALL_64_after_hwframe+0x76/0x7e
[  101.1]  </TASK>
[  101.1] Modules linked in: foo(OE-) [last unloaded: bar(OE)]
[  101.1] CR2: 0000000000000018
[  101.1] ---[ end trace 0000000000000000 ]---
";

/// What a text is read as: rule, module, access, and the first of the chain.
fn read(text: &str) -> (Option<&'static str>, String, Option<Access>, String) {
    let e = explain_text(text).expect("an oops");
    let oops = parse::parse(&text::normalise(text)).expect("an oops");
    let first = oops.at.as_ref().map_or(String::new(), |f| f.symbol.clone());
    (e.rule, e.module, oops.access, first)
}

fn is(text: &str, rule: &str, module: &str, access: Access, first: &str) {
    let (got, name, how, at) = read(text);
    assert_eq!((got, name.as_str()), (Some(rule), module));
    assert_eq!((how, at.as_str()), (Some(access), first));
}

#[test]
fn other_machines() {
    is(ARM64, "oops", "foo", Access::Write, "foo_start");
    is(RISCV, "oops", "foo", Access::Read, "foo_bye");
    let chain = parse::parse(&text::normalise(RISCV))
        .expect("an oops")
        .frames;
    assert_eq!(chain[0].symbol, "__riscv_sys_delete_module");
}

#[test]
fn old_and_new_kernels() {
    is(X86_2632, "oops", "vms", Access::Write, "strcpy");
    let e = explain_text(X86_2632).expect("an oops");
    assert!(e.cause.contains("vms_init of vms"), "{}", e.cause);
    assert!(e.left.iter().any(|l| l.contains("EEXIST")), "{:?}", e.left);
    is(X86_612, "oops", "foo", Access::Write, "zork_halt");
}

#[test]
fn code_that_has_gone() {
    is(TICKER, "left-running", "ticker", Access::Fetch, "");
    is(WORKER, "left-running", "threader", Access::Fetch, "");
}

#[test]
fn names_say_nothing() {
    for text in [ARM64, RISCV, X86_2632, TICKER, WORKER, X86_612] {
        let mut copy = text.to_owned();
        let own = ["foo", "vms", "zork", "ticker", "threader", "qq_"];
        for (index, name) in own.iter().enumerate() {
            copy = copy.replace(name, &format!("x{index}y"));
        }
        let (a, b) = (read(text), read(&copy));
        assert_eq!((a.0, a.2), (b.0, b.2));
    }
}
