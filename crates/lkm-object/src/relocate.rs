//! apply_relocate_add of arch/x86/kernel/module.c, on a module's images before they are placed.

use crate::elf::Elf;
use crate::image::Images;

/// Why a relocation could not be applied: what the kernel logs, and the errno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Positive.
    pub errno: i32,
    /// Lines of the kernel's log.
    pub messages: Vec<String>,
}

const ENOEXEC: i32 = 8;

const R_NONE: u32 = 0;
const R_64: u32 = 1;
const R_PC32: u32 = 2;
const R_PLT32: u32 = 4;
const R_32: u32 = 10;
const R_32S: u32 = 11;
const R_PC64: u32 = 24;

/// Applies all relocations whose target section is loaded. `values` are the resolved symbol values, by number.
///
/// # Errors
/// Those of the kernel, all ENOEXEC: an unknown type, a target that is not zero, a value that does not fit.
pub fn apply(elf: &Elf<'_>, name: &str, images: &mut Images, values: &[u64]) -> Result<(), Bad> {
    const SHT_RELA: u32 = 4;
    for section in elf.sections.iter().filter(|s| s.sh_type == SHT_RELA) {
        let target = section.info as usize;
        let Some(place) = images.places.get(target).copied().flatten() else {
            continue;
        };
        let buffer = &mut images.buffers[place.which];
        for rela in elf.relas(section) {
            let symbol = values.get(rela.sym as usize).copied().unwrap_or(0);
            let at = place.offset + rela.offset;
            let address = place.base + at;
            let mut value = symbol.wrapping_add_signed(rela.addend);
            let width = match rela.kind {
                R_NONE => continue,
                R_64 => 8,
                R_32 | R_32S => 4,
                R_PC32 | R_PLT32 => {
                    value = value.wrapping_sub(address);
                    4
                }
                R_PC64 => {
                    value = value.wrapping_sub(address);
                    8
                }
                other => {
                    return Err(Bad {
                        errno: ENOEXEC,
                        messages: vec![format!("module: {name}: Unknown rela relocation: {other}")],
                    });
                }
            };
            let Some(slot) = usize::try_from(at)
                .ok()
                .and_then(|at| buffer.get_mut(at..at.checked_add(width)?))
            else {
                return Err(Bad {
                    errno: ENOEXEC,
                    messages: vec![format!("{name}: relocation outside of its section")],
                });
            };
            if slot.iter().any(|&b| b != 0) {
                return Err(Bad {
                    errno: ENOEXEC,
                    messages: vec![format!(
                        "module: x86/modules: Skipping invalid relocation target, existing value is nonzero for type {}, loc {:016x}, val {value:x}",
                        rela.kind, address
                    )],
                });
            }
            // As the kernel, which writes first and then looks whether the value fitted.
            let fits = match rela.kind {
                R_32 => value <= u64::from(u32::MAX),
                R_32S => value as i64 == i64::from(value as i32),
                // The kernel leaves PC32 unchecked on purpose (its #if 0); a wrong one would jump wild.
                _ => true,
            };
            if !fits {
                return Err(Bad {
                    errno: ENOEXEC,
                    messages: vec![
                        format!(
                            "module: overflow in relocation type {} val {value:x}",
                            rela.kind
                        ),
                        format!("module: `{name}' likely not compiled with -mcmodel=kernel"),
                    ],
                });
            }
            slot.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }
    Ok(())
}
