//! Instructions that an ordinary process may not execute, and those whose answer is the lab's: port access,
//! time stamps, busy-wait hints, interrupt flag.

use crate::{Cx, context};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, Register};
use lkm_machine::{Cause, Regs, Trap};

fn decode(cx: &Cx, rip: u64) -> Option<Instruction> {
    let mut bytes = [0u8; 15];
    let mut have = 0;
    while have < 15 {
        match cx.r8(rip + have as u64) {
            Ok(byte) => bytes[have] = byte,
            Err(_) => break,
        }
        have += 1;
    }
    let mut decoder = Decoder::with_ip(64, &bytes[..have], rip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// A general register of 64 bits.
fn register(regs: &mut Regs, which: Register) -> Option<&mut u64> {
    Some(match which {
        Register::RAX => &mut regs.rax,
        Register::RBX => &mut regs.rbx,
        Register::RCX => &mut regs.rcx,
        Register::RDX => &mut regs.rdx,
        Register::RSI => &mut regs.rsi,
        Register::RDI => &mut regs.rdi,
        Register::RBP => &mut regs.rbp,
        Register::RSP => &mut regs.rsp,
        Register::R8 => &mut regs.r8,
        Register::R9 => &mut regs.r9,
        Register::R10 => &mut regs.r10,
        Register::R11 => &mut regs.r11,
        Register::R12 => &mut regs.r12,
        Register::R13 => &mut regs.r13,
        Register::R14 => &mut regs.r14,
        Register::R15 => &mut regs.r15,
        _ => return None,
    })
}

/// The error pointer that the instruction at `regs` reached `address` by: a member far enough behind one lies at the
/// start of memory, where it looks like a member behind NULL.
pub(super) fn error_base(cx: &Cx, regs: &Regs, address: u64) -> Option<u64> {
    let instruction = decode(cx, regs.rip)?;
    let mut regs = *regs;
    let base = *register(&mut regs, instruction.memory_base())?;
    let reached = base.wrapping_add(instruction.memory_displacement64());
    (crate::abi::is_err(base) && instruction.memory_index() == Register::None && reached == address)
        .then_some(base)
}

/// Emulates the instruction at the trap if it is one of ours; whether the guest goes on.
pub(super) fn emulate(cx: &mut Cx, trap: &mut Trap) -> bool {
    if trap.cause == Cause::Breakpoint || trap.cause == Cause::InvalidOpcode {
        // A patched pause is `int3; nop`: the trap comes behind the int3.
        let at = if trap.cause == Cause::Breakpoint {
            trap.regs.rip.wrapping_sub(1)
        } else {
            trap.regs.rip
        };
        if cx.traps.pauses.contains(&at) {
            trap.regs.rip = at + 2;
            super::paused(cx, trap);
            return true;
        }
        return false;
    }
    if trap.cause != Cause::GeneralProtection && trap.cause != Cause::Other {
        return false;
    }
    let Some(instruction) = decode(cx, trap.regs.rip) else {
        return false;
    };
    let next = trap.regs.rip + instruction.len() as u64;
    match instruction.mnemonic() {
        Mnemonic::In => {
            // Nothing is there: an empty bus reads as ones.
            match instruction.op0_register() {
                Register::AL => trap.regs.rax |= 0xff,
                Register::AX => trap.regs.rax |= 0xffff,
                _ => trap.regs.rax = 0xffff_ffff,
            }
        }
        Mnemonic::Out => {}
        Mnemonic::Insb
        | Mnemonic::Insw
        | Mnemonic::Insd
        | Mnemonic::Outsb
        | Mnemonic::Outsw
        | Mnemonic::Outsd => {
            return string_io(cx, trap, &instruction, next);
        }
        Mnemonic::Rdtsc | Mnemonic::Rdtscp => {
            // One tick of virtual time for each reading, at 1 GHz, so that a loop on it ends.
            let now = cx.clock.now + 1000;
            crate::time::advance(cx, now);
            trap.regs.rax = now & 0xffff_ffff;
            trap.regs.rdx = now >> 32;
            if instruction.mnemonic() == Mnemonic::Rdtscp {
                trap.regs.rcx = 0;
            }
        }
        Mnemonic::Cpuid => {
            cpuid(trap);
            let site = trap.regs.rip;
            let tid = crate::sched::current_tid(cx);
            crate::trace::emit(
                cx,
                lkm_trace::Event::Misuse {
                    what: "unrepeatable".into(),
                    detail: "cpuid".into(),
                    key: site,
                    function: String::new(),
                    tid,
                    site: lkm_trace::Site {
                        pc: site,
                        stack: Vec::new(),
                    },
                },
            );
        }
        Mnemonic::Cli => context::set_irqs(cx, false),
        Mnemonic::Sti => context::set_irqs(cx, true),
        Mnemonic::Rdmsr => {
            trap.regs.rax = 0;
            trap.regs.rdx = 0;
        }
        Mnemonic::Wrmsr
        | Mnemonic::Wbinvd
        | Mnemonic::Invd
        | Mnemonic::Clts
        | Mnemonic::Hlt
        | Mnemonic::Invlpg => {}
        Mnemonic::Mov if matches!(instruction.code(), Code::Mov_r64_cr | Code::Mov_r64_dr) => {
            set(trap, instruction.op0_register(), 0);
        }
        Mnemonic::Mov if matches!(instruction.code(), Code::Mov_cr_r64 | Code::Mov_dr_r64) => {}
        _ => return false,
    }
    trap.regs.rip = next;
    true
}

/// A plain feature set: what every x86-64 has, nothing newer.
fn cpuid(trap: &mut Trap) {
    let (a, b, c, d) = match trap.regs.rax as u32 {
        0 => (1, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
        1 => (0x0000_06f0, 0, 0, 0x078b_fbff),
        0x8000_0000 => (0x8000_0001, 0, 0, 0),
        0x8000_0001 => (0, 0, 1, 0x2010_0800),
        _ => (0, 0, 0, 0),
    };
    trap.regs.rax = a;
    trap.regs.rbx = b;
    trap.regs.rcx = c;
    trap.regs.rdx = d;
}

fn string_io(cx: &mut Cx, trap: &mut Trap, instruction: &Instruction, next: u64) -> bool {
    let (input, width) = match instruction.mnemonic() {
        Mnemonic::Insb => (true, 1),
        Mnemonic::Insw => (true, 2),
        Mnemonic::Insd => (true, 4),
        Mnemonic::Outsb => (false, 1),
        Mnemonic::Outsw => (false, 2),
        _ => (false, 4),
    };
    let rep = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let count = if rep { trap.regs.rcx } else { 1 };
    let Some(bytes) = count.checked_mul(width) else {
        return false;
    };
    if input {
        if cx.fill(trap.regs.rdi, 0xff, bytes).is_err() {
            return false;
        }
        trap.regs.rdi += bytes;
    } else {
        trap.regs.rsi += bytes;
    }
    if rep {
        trap.regs.rcx = 0;
    }
    trap.regs.rip = next;
    true
}

fn set(trap: &mut Trap, which: Register, value: u64) {
    // None of the answers belongs into the stack pointer.
    if which != Register::RSP
        && let Some(place) = register(&mut trap.regs, which)
    {
        *place = value;
    }
}

/// Replaces the `pause` instructions of a module's text, so that a loop that waits lets time pass. Only
/// functions that hold the two bytes are decoded, from their start, so that data inside an instruction is
/// not taken for one.
pub(crate) fn patch_pauses(cx: &mut Cx, index: usize, buffers: &mut [Vec<u8>; 3]) {
    let m = &cx.modules.list[index];
    let mut found = Vec::new();
    for section in m.sections.iter().filter(|s| s.exec) {
        let (which, base) = if section.init {
            (1, m.init_base)
        } else {
            (0, m.core_base)
        };
        let start = (section.addr - base) as usize;
        let Some(text) = buffers[which].get(start..start + section.size as usize) else {
            continue;
        };
        let mut from = 0;
        while let Some(hit) = text[from..].windows(2).position(|w| w == [0xf3, 0x90]) {
            let hit = from + hit;
            let address = section.addr + hit as u64;
            let function = m.syms.partition_point(|s| s.addr <= address);
            let begin = m.syms[..function]
                .last()
                .map_or(section.addr, |s| s.addr.max(section.addr));
            let mut decoder = Decoder::with_ip(
                64,
                &text[(begin - section.addr) as usize..],
                begin,
                DecoderOptions::NONE,
            );
            while decoder.ip() < address && decoder.can_decode() {
                let _ = decoder.decode();
            }
            if decoder.ip() == address {
                found.push((which, start + hit, address));
            }
            from = hit + 2;
        }
    }
    for (which, at, address) in found {
        buffers[which][at] = 0xcc;
        cx.traps.pauses.insert(address);
    }
}
