//! The processor that modules are told of (boot_cpu_data): a fixed model with a fixed set of features, whatever
//! the machine is that the lab runs on.

use crate::abi::R;
use crate::layout::NONE;
use crate::{Cx, data};

/// What a table of processors is compared with.
pub(crate) struct Id {
    pub vendor: u16,
    pub family: u16,
    pub model: u16,
    pub stepping: u16,
}

/// X86_VENDOR_AMD; the family, model and stepping of QEMU's software processor.
const VENDOR: u8 = 2;
const FAMILY: u8 = 15;
const MODEL: u8 = 107;
const STEPPING: u8 = 1;

/// Features, as word * 32 + bit of x86_capability (arch/x86/include/asm/cpufeatures.h).
const FEATURES: &[u16] = &[
    0,
    3,
    4,
    5,
    6,
    8,
    9,
    12,
    13,
    15,
    19,
    23,
    24,
    25,
    26, // FPU to SSE2
    32 + 20,
    32 + 29, // NX, LM
    4 * 32,
    4 * 32 + 1,
    4 * 32 + 9,
    4 * 32 + 12,
    4 * 32 + 13,
    4 * 32 + 19,
    4 * 32 + 20, // SSE3 to SSE4.2
    4 * 32 + 22,
    4 * 32 + 23,
    4 * 32 + 25,
    4 * 32 + 26,
    4 * 32 + 27,
    4 * 32 + 28,
    4 * 32 + 29, // to F16C
    6 * 32 + 2,  // SVM
    9 * 32 + 3,
    9 * 32 + 5,
    9 * 32 + 8,
    9 * 32 + 19, // BMI1, AVX2, BMI2, ADX
];

/// The variable, made when it is first needed.
pub(crate) fn boot_cpu_data(cx: &mut Cx) -> R {
    if cx.data.boot_cpu != 0 {
        return Ok(cx.data.boot_cpu);
    }
    let at = data::alloc(cx, 512, 64)?;
    cx.data.boot_cpu = at;
    let off = cx.off;
    if off.cpu_capability != NONE {
        cx.w8(at + off.cpu_family, FAMILY)?;
        cx.w8(at + off.cpu_vendor, VENDOR)?;
        cx.w8(at + off.cpu_model, MODEL)?;
        cx.w8(at + off.cpu_stepping, STEPPING)?;
        cx.write(at + off.cpu_vendor_id, b"AuthenticAMD")?;
        cx.w16(at + off.cpu_clflush, 64)?;
        cx.w16(at + off.cpu_max_cores, 1)?;
        cx.w8(at + off.cpu_phys_bits, 40)?;
        cx.w8(at + off.cpu_virt_bits, 48)?;
        for &feature in FEATURES {
            let word = at + off.cpu_capability + u64::from(feature / 32) * 4;
            let old = cx.r32(word)?;
            cx.w32(word, old | 1 << (feature % 32))?;
        }
    }
    Ok(at)
}

/// Reads what identifies the processor.
pub(crate) fn id(cx: &Cx, cpu: u64) -> R<Id> {
    let off = cx.off;
    if off.cpu_capability == NONE {
        return Ok(Id {
            vendor: 0,
            family: 0,
            model: 0,
            stepping: 0,
        });
    }
    Ok(Id {
        vendor: u16::from(cx.r8(cpu + off.cpu_vendor)?),
        family: u16::from(cx.r8(cpu + off.cpu_family)?),
        model: u16::from(cx.r8(cpu + off.cpu_model)?),
        stepping: u16::from(cx.r8(cpu + off.cpu_stepping)? & 15),
    })
}

/// Whether it has a feature.
pub(crate) fn has(cx: &Cx, cpu: u64, feature: u16) -> R<bool> {
    if cx.off.cpu_capability == NONE || feature >= 24 * 32 {
        return Ok(false);
    }
    let word = cx.r32(cpu + cx.off.cpu_capability + u64::from(feature / 32) * 4)?;
    Ok(word & 1 << (feature % 32) != 0)
}

/// `boot_cpu_data`.
pub(crate) fn variable(cx: &mut Cx, name: &str) -> R<Option<u64>> {
    if name != "boot_cpu_data" {
        return Ok(None);
    }
    Ok(Some(boot_cpu_data(cx)?))
}
