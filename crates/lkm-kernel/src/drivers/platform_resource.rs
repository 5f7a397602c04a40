//! The resources of platform devices (platform_get_resource and its kin of drivers/base/platform.c).

use super::platform::MAX;
use crate::Cx;
use crate::abi::{Call, R, errno::*, neg};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("platform_get_resource", platform_get_resource),
    behaves("platform_get_resource_byname", platform_get_resource_byname),
    behaves("platform_get_mem_or_io", platform_get_mem_or_io),
    behaves("platform_get_irq", platform_get_irq),
    behaves("platform_get_irq_optional", platform_get_irq),
    behaves("platform_get_irq_byname", platform_get_irq_byname),
    behaves("platform_irq_count", platform_irq_count),
];

const IORESOURCE_IO: u64 = 0x100;
const IORESOURCE_MEM: u64 = 0x200;
const IORESOURCE_IRQ: u64 = 0x400;
const TYPE_BITS: u64 = 0x1f00;

/// The n-th resource of a type.
fn resource(cx: &Cx, pdev: u64, kind: u64, mut index: u64, name: Option<&str>) -> R<u64> {
    let off = cx.off;
    let (first, count) = (
        cx.r64(pdev + off.pdev_resource)?,
        cx.r32(pdev + off.pdev_num_resources)?,
    );
    for n in 0..u64::from(count).min(MAX) {
        let at = first + n * super::resource::SIZE;
        if cx.r64(at + 24)? & TYPE_BITS != kind {
            continue;
        }
        match name {
            Some(wanted) => {
                let label = cx.r64(at + 16)?;
                if label != 0 && cx.text(label)? == wanted {
                    return Ok(at);
                }
            }
            None if index == 0 => return Ok(at),
            None => index -= 1,
        }
    }
    Ok(0)
}

/// The n-th resource of a type, for kernel code.
pub(super) fn nth(cx: &mut Cx, c: &Call) -> R {
    platform_get_resource(cx, c)
}

fn platform_get_resource(cx: &mut Cx, c: &Call) -> R {
    resource(
        cx,
        c.a[0],
        c.a[1] & 0xffff_ffff,
        u64::from(c.a[2] as u32),
        None,
    )
}

fn platform_get_resource_byname(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[2])?;
    resource(cx, c.a[0], c.a[1] & 0xffff_ffff, 0, Some(&name))
}

fn platform_get_mem_or_io(cx: &mut Cx, c: &Call) -> R {
    match resource(cx, c.a[0], IORESOURCE_MEM, c.a[1], None)? {
        0 => resource(cx, c.a[0], IORESOURCE_IO, c.a[1], None),
        at => Ok(at),
    }
}

fn platform_get_irq(cx: &mut Cx, c: &Call) -> R {
    match resource(cx, c.a[0], IORESOURCE_IRQ, u64::from(c.a[1] as u32), None)? {
        0 => Ok(neg(ENXIO)),
        at => Ok(cx.r64(at)?),
    }
}

fn platform_get_irq_byname(cx: &mut Cx, c: &Call) -> R {
    let name = cx.text(c.a[1])?;
    match resource(cx, c.a[0], IORESOURCE_IRQ, 0, Some(&name))? {
        0 => Ok(neg(ENXIO)),
        at => Ok(cx.r64(at)?),
    }
}

fn platform_irq_count(cx: &mut Cx, c: &Call) -> R {
    let mut count = 0;
    while count < MAX && resource(cx, c.a[0], IORESOURCE_IRQ, count, None)? != 0 {
        count += 1;
    }
    Ok(count)
}
