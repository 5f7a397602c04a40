//! Device memory and ports behind one kind of address (lib/iomap.c): a cookie below 256 KiB is a port.

use crate::Cx;
use crate::abi::{Call, R};
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("ioread8", read8),
    behaves("ioread16", read16),
    behaves("ioread32", read32),
    behaves("ioread64", read64),
    behaves("ioread16be", read16be),
    behaves("ioread32be", read32be),
    behaves("iowrite8", write8),
    behaves("iowrite16", write16),
    behaves("iowrite32", write32),
    behaves("iowrite64", write64),
    behaves("iowrite16be", write16be),
    behaves("iowrite32be", write32be),
    behaves("ioread8_rep", read8_rep),
    behaves("ioread16_rep", read16_rep),
    behaves("ioread32_rep", read32_rep),
    behaves("iowrite8_rep", write8_rep),
    behaves("iowrite16_rep", write16_rep),
    behaves("iowrite32_rep", write32_rep),
];

/// PIO_RESERVED: cookies below are ports.
const RESERVED: u64 = 0x4_0000;
/// PIO_OFFSET: cookies below are nothing (bad_io_access).
const OFFSET: u64 = 0x1_0000;
/// Most elements of a repeated access.
const MAX: u64 = 1 << 20;

/// Reads `width` bytes. No device answers at a port: all ones.
fn read(cx: &mut Cx, addr: u64, width: usize) -> R<u64> {
    let mut bytes = [0; 8];
    if addr >= RESERVED {
        bytes[..width].copy_from_slice(&cx.bytes(addr, width as u64)?);
    } else {
        if addr < OFFSET {
            bad(cx, addr)?;
        }
        bytes[..width].fill(0xff);
    }
    Ok(u64::from_le_bytes(bytes))
}

fn write(cx: &mut Cx, value: u64, addr: u64, width: usize) -> R<()> {
    if addr >= RESERVED {
        cx.write(addr, &value.to_le_bytes()[..width])?;
    } else if addr < OFFSET {
        bad(cx, addr)?;
    }
    Ok(())
}

/// bad_io_access.
fn bad(cx: &mut Cx, addr: u64) -> R<()> {
    let text = format!(
        "Bad IO access at port {addr:#x} ({})\n",
        crate::trace::function(cx)
    );
    crate::traps::warn(cx, &text, "bad_io_access")?;
    Ok(())
}

/// The first `width` bytes of a value, the other way round.
fn swapped(value: u64, width: usize) -> u64 {
    value.swap_bytes() >> (64 - 8 * width)
}

fn read8(cx: &mut Cx, c: &Call) -> R {
    read(cx, c.a[0], 1)
}

fn read16(cx: &mut Cx, c: &Call) -> R {
    read(cx, c.a[0], 2)
}

fn read32(cx: &mut Cx, c: &Call) -> R {
    read(cx, c.a[0], 4)
}

fn read64(cx: &mut Cx, c: &Call) -> R {
    read(cx, c.a[0], 8)
}

fn read16be(cx: &mut Cx, c: &Call) -> R {
    Ok(swapped(read(cx, c.a[0], 2)?, 2))
}

fn read32be(cx: &mut Cx, c: &Call) -> R {
    Ok(swapped(read(cx, c.a[0], 4)?, 4))
}

fn write8(cx: &mut Cx, c: &Call) -> R {
    write(cx, c.a[0], c.a[1], 1).map(|()| 0)
}

fn write16(cx: &mut Cx, c: &Call) -> R {
    write(cx, c.a[0], c.a[1], 2).map(|()| 0)
}

fn write32(cx: &mut Cx, c: &Call) -> R {
    write(cx, c.a[0], c.a[1], 4).map(|()| 0)
}

fn write64(cx: &mut Cx, c: &Call) -> R {
    write(cx, c.a[0], c.a[1], 8).map(|()| 0)
}

fn write16be(cx: &mut Cx, c: &Call) -> R {
    write(cx, swapped(c.a[0], 2), c.a[1], 2).map(|()| 0)
}

fn write32be(cx: &mut Cx, c: &Call) -> R {
    write(cx, swapped(c.a[0], 4), c.a[1], 4).map(|()| 0)
}

/// ioreadN_rep(address, buffer, count): the same place again and again.
fn read_rep(cx: &mut Cx, c: &Call, width: u64) -> R {
    for index in 0..c.a[2].min(MAX) {
        let value = read(cx, c.a[0], width as usize)?;
        cx.write(
            c.a[1] + index * width,
            &value.to_le_bytes()[..width as usize],
        )?;
    }
    Ok(0)
}

fn read8_rep(cx: &mut Cx, c: &Call) -> R {
    read_rep(cx, c, 1)
}

fn read16_rep(cx: &mut Cx, c: &Call) -> R {
    read_rep(cx, c, 2)
}

fn read32_rep(cx: &mut Cx, c: &Call) -> R {
    read_rep(cx, c, 4)
}

fn write_rep(cx: &mut Cx, c: &Call, width: u64) -> R {
    for index in 0..c.a[2].min(MAX) {
        let mut value = [0; 8];
        value[..width as usize].copy_from_slice(&cx.bytes(c.a[1] + index * width, width)?);
        write(cx, u64::from_le_bytes(value), c.a[0], width as usize)?;
    }
    Ok(0)
}

fn write8_rep(cx: &mut Cx, c: &Call) -> R {
    write_rep(cx, c, 1)
}

fn write16_rep(cx: &mut Cx, c: &Call) -> R {
    write_rep(cx, c, 2)
}

fn write32_rep(cx: &mut Cx, c: &Call) -> R {
    write_rep(cx, c, 4)
}
