//! The `__param` table: what `module_param` leaves in a module, read through its relocations.

use crate::elf::Elf;
use crate::exports::{target_at, targets};

/// `KERNEL_PARAM_FL_UNSAFE`: setting it taints the kernel.
pub const KERNEL_PARAM_FL_UNSAFE: u8 = 1;
/// `KERNEL_PARAM_FL_HWPARAM`: refused under lockdown.
pub const KERNEL_PARAM_FL_HWPARAM: u8 = 2;

/// One `struct kernel_param`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'d> {
    /// The name the kernel compares arguments with. It carries a prefix and a dot
    /// only where the source sets MODULE_PARAM_PREFIX (mmc_block: `mmcblk.perdev_minors`).
    pub name: &'d str,
    /// sysfs mode bits; 0 means no file in `parameters/`.
    pub perm: u16,
    /// Initcall level; -1 in modules.
    pub level: i8,
    /// `KERNEL_PARAM_FL_` bits.
    pub flags: u8,
    /// The `struct kernel_param_ops`, by its symbol (`param_ops_int`..., or one of the module's).
    /// Empty when the ops are a local object that has only a section symbol.
    pub ops: &'d str,
    /// Symbol table index of the ops and offset added to it.
    pub ops_symbol: (u32, i64),
    /// Where the value lives: section index and offset; `None` when the argument is null.
    pub arg: Option<(u32, u64)>,
    /// Offset of the entry in `__param`.
    pub offset: u64,
}

/// Reads the table. Entries whose name does not resolve are left out.
///
/// The layout is that of `struct kernel_param` since Linux commit 91f9d330cc14
/// ("module: make it possible to have unsafe, tainting module params") (in v3.17):
/// name, module, ops, u16 perm, s8 level, u8 flags, arg.
pub(crate) fn read<'d>(elf: &Elf<'d>) -> Vec<Param<'d>> {
    let Some(section) = elf.section("__param") else {
        return Vec::new();
    };
    let targets = targets(elf, section);
    let order = elf.order();
    let w = elf.word_size() as u64;
    let entry = 5 * w;
    let mut out = Vec::new();
    for at in (0..section.data.len() as u64 / entry).map(|i| i * entry) {
        let Some(name) = target_at(&targets, at).and_then(|t| t.string(elf)) else {
            continue;
        };
        let ops = target_at(&targets, at + 2 * w);
        let tail = (at + 3 * w) as usize;
        out.push(Param {
            name,
            perm: order.u16(section.data, tail).unwrap_or(0),
            level: section.data.get(tail + 2).map_or(0, |&b| b as i8),
            flags: section.data.get(tail + 3).copied().unwrap_or(0),
            ops: ops.map_or("", |t| ops_name(elf, t)),
            ops_symbol: ops.map_or((0, 0), |t| (t.symbol_index, t.addend)),
            arg: target_at(&targets, at + 4 * w).map(|t| (t.symbol.shndx, t.value())),
            offset: at,
        });
    }
    out
}

/// The ops' own name; for a section symbol, the object that begins there.
fn ops_name<'d>(elf: &Elf<'d>, target: &crate::exports::Target<'d>) -> &'d str {
    if !target.symbol.name.is_empty() {
        return target.symbol.name;
    }
    let (section, value) = (target.symbol.shndx, target.value());
    elf.symbols()
        .find(|s| s.shndx == section && s.value == value && !s.name.is_empty())
        .map_or("", |s| s.name)
}
