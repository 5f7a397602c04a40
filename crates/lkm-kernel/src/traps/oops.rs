//! The text of an oops and of a warning, in the profile's form (arch/x86/kernel/dumpstack.c, process_64.c).

use crate::abi::Stop;
use crate::module::{kallsyms, show, taint};
use crate::unwind::Step;
use crate::{Cx, printk, sched, unwind};
use lkm_machine::{Cause, Regs, Trap};

fn line(cx: &mut Cx, level: u32, text: &str) {
    printk::log(cx, level, &format!("{text}\n"));
}

/// `CPU: 0 PID: 1 Comm: x Tainted: … RELEASE #VERSION`.
fn comm_line(cx: &mut Cx, level: u32) {
    let (pid, comm) = sched::current(cx)
        .map(|tid| {
            (
                cx.sched.tasks[tid as usize].pid,
                cx.sched.tasks[tid as usize].comm.clone(),
            )
        })
        .unwrap_or_default();
    let text = format!(
        "CPU: 0 PID: {pid} Comm: {comm} {} {} #1",
        taint::kernel_text(cx),
        cx.options.release
    );
    line(cx, level, &text);
    line(cx, level, "Hardware name: lkm lab");
}

fn registers(cx: &mut Cx, level: u32, r: &Regs) {
    let code = code_line(cx, r.rip);
    let at = place(cx, r.rip);
    let rows = [
        format!("RIP: 0010:{at}"),
        code,
        format!("RSP: 0018:{:016x} EFLAGS: {:08x}", r.rsp, r.eflags),
        format!(
            "RAX: {:016x} RBX: {:016x} RCX: {:016x}",
            r.rax, r.rbx, r.rcx
        ),
        format!(
            "RDX: {:016x} RSI: {:016x} RDI: {:016x}",
            r.rdx, r.rsi, r.rdi
        ),
        format!("RBP: {:016x} R08: {:016x} R09: {:016x}", r.rbp, r.r8, r.r9),
        format!(
            "R10: {:016x} R11: {:016x} R12: {:016x}",
            r.r10, r.r11, r.r12
        ),
        format!(
            "R13: {:016x} R14: {:016x} R15: {:016x}",
            r.r13, r.r14, r.r15
        ),
    ];
    for row in rows {
        line(cx, level, &row);
    }
}

/// `sym+0x1/0x2 [mod]`, or the raw address.
fn place(cx: &Cx, addr: u64) -> String {
    kallsyms::describe(cx, addr)
}

/// `Code:` with the faulting byte in angle brackets.
fn code_line(cx: &Cx, rip: u64) -> String {
    let mut out = String::from("Code:");
    let start = rip.wrapping_sub(42);
    if cx.r8(rip).is_err() {
        return format!("Code: Unable to access opcode bytes at 0x{start:x}.");
    }
    for offset in 0..64u64 {
        let addr = start.wrapping_add(offset);
        match cx.r8(addr) {
            Ok(byte) if addr == rip => out.push_str(&format!(" <{byte:02x}>")),
            Ok(byte) => out.push_str(&format!(" {byte:02x}")),
            Err(_) => out.push_str(" ??"),
        }
    }
    out
}

pub(super) fn call_trace(cx: &mut Cx, level: u32, steps: &[Step]) {
    line(cx, level, "Call Trace:");
    if !cx.profile.old_oops {
        line(cx, level, " <TASK>");
    }
    for step in steps {
        let text = match step {
            Step::Guest(pc) => place(cx, *pc),
            Step::Kernel(slot) => cx
                .symbols
                .slots
                .get(*slot as usize)
                .map_or("?", |s| s.answer.name())
                .to_owned(),
        };
        let text = match (cx.profile.old_oops, step) {
            (true, Step::Guest(pc)) => format!(" [<{pc:016x}>] {text}"),
            _ => format!(" {text}"),
        };
        line(cx, level, &text);
    }
    if let Some(system_call) = system_call(cx) {
        line(cx, level, &format!(" {system_call}"));
    }
    if !cx.profile.old_oops {
        line(cx, level, " </TASK>");
    }
}

/// The system call or thread function at the bottom of the running task's stack.
fn system_call(cx: &Cx) -> Option<&'static str> {
    let tid = sched::current(cx)?;
    match cx.sched.tasks[tid as usize].kind {
        lkm_trace::TaskKind::Kthread => Some("kthread"),
        lkm_trace::TaskKind::Worker => Some("worker_thread"),
        _ => None,
    }
}

fn tail(cx: &mut Cx, level: u32, cr2: Option<u64>) {
    let modules = show::linked_in(cx);
    line(cx, level, &modules);
    if let Some(cr2) = cr2 {
        line(cx, level, &format!("CR2: {cr2:016x}"));
    }
    line(cx, level, "---[ end trace 0000000000000000 ]---");
}

fn page_fault_head(cx: &mut Cx, addr: u64, error: u64) {
    if cx.profile.old_oops {
        let what = if addr < 4096 {
            "kernel NULL pointer dereference"
        } else {
            "kernel paging request"
        };
        let shown = if addr == 0 {
            "          (null)".to_owned()
        } else {
            format!("{addr:016x}")
        };
        line(cx, 1, &format!("BUG: unable to handle {what} at {shown}"));
    } else {
        if addr < 4096 {
            line(
                cx,
                1,
                &format!("BUG: kernel NULL pointer dereference, address: {addr:016x}"),
            );
        } else {
            line(
                cx,
                1,
                &format!("BUG: unable to handle page fault for address: {addr:016x}"),
            );
        }
        let access = match error & 18 {
            x if x & 16 != 0 => "instruction fetch",
            x if x & 2 != 0 => "write access",
            _ => "read access",
        };
        line(cx, 1, &format!("#PF: supervisor {access} in kernel mode"));
        let why = if error & 1 != 0 {
            "permissions violation"
        } else {
            "not-present page"
        };
        line(cx, 1, &format!("#PF: error_code(0x{error:04x}) - {why}"));
        line(cx, 6, "PGD 0 P4D 0 ");
    }
}

/// The oops of a trap of guest code.
pub(super) fn print(cx: &mut Cx, trap: &Trap, kind: &str) {
    let number = cx.traps.oopses + 1;
    let error = trap.error & !4;
    let mut cr2 = None;
    match trap.cause {
        Cause::PageFault if kind == "stack-overflow" => {
            line(
                cx,
                0,
                &format!(
                    "BUG: stack guard page was hit at {:016x} (stack is {:016x})",
                    trap.addr, trap.regs.rsp
                ),
            );
            line(
                cx,
                0,
                &format!("stack guard page: 0000 [#{number}] PREEMPT SMP"),
            );
        }
        Cause::PageFault => {
            page_fault_head(cx, trap.addr, error);
            if cx.profile.old_oops {
                let at = place(cx, trap.regs.rip);
                line(cx, 1, &format!("IP: [<{:016x}>] {at}", trap.regs.rip));
            }
            line(cx, 0, &format!("Oops: {error:04x} [#{number}] PREEMPT SMP"));
            cr2 = Some(trap.addr);
        }
        Cause::GeneralProtection => {
            line(
                cx,
                0,
                &format!(
                    "general protection fault, probably for non-canonical address: 0000 [#{number}] PREEMPT SMP"
                ),
            );
        }
        Cause::InvalidOpcode => {
            line(cx, 0, "------------[ cut here ]------------");
            if let Some(index) = crate::module::find_by_addr(cx, trap.regs.rip)
                && let Some((_, file, number, _)) = cx.modules.list[index]
                    .bugs
                    .iter()
                    .find(|b| b.0 == trap.regs.rip)
                    .cloned()
            {
                line(cx, 2, &format!("kernel BUG at {file}:{number}!"));
            }
            line(
                cx,
                0,
                &format!("invalid opcode: 0000 [#{number}] PREEMPT SMP"),
            );
        }
        Cause::Divide => line(
            cx,
            0,
            &format!("divide error: 0000 [#{number}] PREEMPT SMP"),
        ),
        Cause::Breakpoint => line(cx, 0, &format!("int3: 0000 [#{number}] PREEMPT SMP")),
        Cause::Syscall => line(
            cx,
            0,
            &format!("invalid opcode: 0000 [#{number}] PREEMPT SMP"),
        ),
        Cause::Alarm | Cause::Other => line(
            cx,
            0,
            &format!("unexpected trap: 0000 [#{number}] PREEMPT SMP"),
        ),
    }
    comm_line(cx, 0);
    registers(cx, 0, &trap.regs);
    if let Some(tid) = sched::current(cx) {
        let steps = unwind::trace(cx, tid, trap.regs.rip, trap.regs.rsp, trap.regs.rbp);
        call_trace(cx, 0, &steps);
    }
    tail(cx, 0, cr2);
}

/// The oops of a modelled kernel function: named without an invented offset.
pub(super) fn print_in_kernel(cx: &mut Cx, stop: &Stop, function: &str) {
    let number = cx.traps.oopses + 1;
    let mut cr2 = None;
    match stop {
        Stop::Fault(fault) => {
            let error = if fault.write { 2 } else { 0 };
            page_fault_head(cx, fault.addr, error);
            line(cx, 0, &format!("Oops: {error:04x} [#{number}] PREEMPT SMP"));
            cr2 = Some(fault.addr);
        }
        Stop::Bug(text) => {
            line(cx, 0, "------------[ cut here ]------------");
            line(cx, 2, text);
            line(
                cx,
                0,
                &format!("invalid opcode: 0000 [#{number}] PREEMPT SMP"),
            );
        }
    }
    comm_line(cx, 0);
    line(cx, 0, &format!("RIP: 0010:{function}"));
    if let Some(tid) = sched::current(cx) {
        let steps = unwind::trace_kernel(cx, tid);
        call_trace(cx, 0, &steps);
    }
    tail(cx, 0, cr2);
}

fn warning_head(cx: &mut Cx, place: &str, function: &str) {
    let pid = sched::current(cx).map_or(0, |tid| cx.sched.tasks[tid as usize].pid);
    line(
        cx,
        4,
        &format!("WARNING: CPU: 0 PID: {pid} at {place} {function}"),
    );
    crate::module::taint_kernel(cx, taint::WARN);
    let modules = show::linked_in(cx);
    line(cx, 4, &modules);
    comm_line(cx, 4);
}

/// A WARN in module code.
pub(super) fn warning(cx: &mut Cx, place_text: &str, regs: &Regs) {
    let function = place(cx, regs.rip);
    warning_head(cx, place_text, &function);
    registers(cx, 4, regs);
    if let Some(tid) = sched::current(cx) {
        let steps = unwind::trace(cx, tid, regs.rip, regs.rsp, regs.rbp);
        call_trace(cx, 4, &steps);
    }
    line(cx, 4, "---[ end trace 0000000000000000 ]---");
}

/// A WARN in a modelled kernel function.
pub(super) fn warning_in_kernel(cx: &mut Cx, function: &str) {
    warning_head(cx, "the lab's kernel", function);
    if let Some(tid) = sched::current(cx) {
        let steps = unwind::trace_kernel(cx, tid);
        call_trace(cx, 4, &steps);
    }
    line(cx, 4, "---[ end trace 0000000000000000 ]---");
}

/// The call trace that dump_stack() prints.
pub(super) fn dump_stack(cx: &mut Cx) {
    comm_line(cx, 4);
    if let Some(tid) = sched::current(cx) {
        let steps = unwind::trace_kernel(cx, tid);
        call_trace(cx, 4, &steps);
    }
}
