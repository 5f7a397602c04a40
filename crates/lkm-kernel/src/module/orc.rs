//! The ORC unwind tables of a module (arch/x86/kernel/unwind_orc.c): for an instruction, where the caller's
//! frame is.

use crate::Cx;

/// A module's tables: sorted instruction addresses, and six bytes for each.
#[derive(Debug, Clone, Default)]
pub struct Orc {
    ips: Vec<u64>,
    entries: Vec<[u8; 6]>,
}

const REG_PREV_SP: u8 = 1;
const REG_DX: u8 = 2;
const REG_DI: u8 = 3;
const REG_BP: u8 = 4;
const REG_SP: u8 = 5;

impl Orc {
    /// Builds the tables from `.orc_unwind_ip` (relocated, at `base`) and `.orc_unwind`.
    pub fn new(ip_bytes: &[u8], base: u64, entries: &[u8]) -> Orc {
        let mut table: Vec<(u64, [u8; 6])> = ip_bytes
            .chunks_exact(4)
            .zip(entries.chunks_exact(6))
            .enumerate()
            .map(|(index, (ip, entry))| {
                let offset = i32::from_le_bytes([ip[0], ip[1], ip[2], ip[3]]);
                let at = base + index as u64 * 4;
                let mut six = [0; 6];
                six.copy_from_slice(entry);
                (at.wrapping_add(offset as i64 as u64), six)
            })
            .collect();
        table.sort_by_key(|&(ip, _)| ip);
        Orc {
            ips: table.iter().map(|t| t.0).collect(),
            entries: table.iter().map(|t| t.1).collect(),
        }
    }

    fn find(&self, ip: u64) -> Option<[u8; 6]> {
        let index = self.ips.partition_point(|&at| at <= ip);
        self.entries.get(index.checked_sub(1)?).copied()
    }
}

/// From a frame at `pc` with `sp` and `bp`: the return address, the caller's sp and bp.
pub fn step(cx: &Cx, pc: u64, sp: u64, bp: u64) -> Option<(u64, u64, u64)> {
    let module = super::find_by_addr(cx, pc)?;
    // A return address belongs to the call before it.
    let entry = cx.modules.list.get(module)?.orc.find(pc.wrapping_sub(1))?;
    let sp_offset = i16::from_le_bytes([entry[0], entry[1]]);
    let bp_offset = i16::from_le_bytes([entry[2], entry[3]]);
    let (sp_reg, bp_reg) = (entry[4] & 15, entry[4] >> 4);
    let base = match sp_reg {
        REG_SP => sp,
        REG_BP => bp,
        REG_DX | REG_DI => return None,
        _ => return None,
    };
    let cfa = base.wrapping_add(sp_offset as i64 as u64);
    let ret = cx.r64(cfa.wrapping_sub(8)).ok()?;
    let bp = match bp_reg {
        REG_PREV_SP => cx.r64(cfa.wrapping_add(bp_offset as i64 as u64)).ok()?,
        REG_BP => cx.r64(bp.wrapping_add(bp_offset as i64 as u64)).ok()?,
        _ => bp,
    };
    Some((ret, cfa, bp))
}
