//! Messages about network devices (net/core/dev.c): driver, bus, the device's name, and its state when that is
//! not the usual one.

use super::dev_alloc;
use crate::abi::{Call, R};
use crate::printk::{format, log};
use crate::table::{Row, behaves};
use crate::{Cx, drivers};

/// Longest text of a message.
const TEXT_MAX: usize = 1024;

macro_rules! levels {
    ($($name:ident $level:literal;)*) => {
        $(fn $name(cx: &mut Cx, c: &Call) -> R {
            print(cx, $level, c.a[0], c, 1)
        })*
        pub(crate) const ROWS: &[Row] = &[
            $(behaves(stringify!($name), $name),)*
            behaves("netdev_printk", netdev_printk),
        ];
    };
}

levels! {
    netdev_emerg 0;
    netdev_alert 1;
    netdev_crit 2;
    netdev_err 3;
    netdev_warn 4;
    netdev_notice 5;
    netdev_info 6;
}

/// `netdev_printk(level, dev, format, ...)`: the level is a text.
fn netdev_printk(cx: &mut Cx, c: &Call) -> R {
    let level = cx.r8(c.a[0] + 1)?.wrapping_sub(b'0');
    print(cx, u32::from(level & 7), c.a[1], c, 2)
}

fn print(cx: &mut Cx, level: u32, device: u64, c: &Call, at: usize) -> R {
    let text = format::vsnprintf(cx, c.a[at], &mut c.va(at as u64 + 1), TEXT_MAX)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if device == 0 {
        log(cx, level, &format!("(NULL net_device): {text}"));
        return Ok(0);
    }
    let name = match dev_alloc::name(cx, device)? {
        name if name.is_empty() || name.contains('%') => "(unnamed net_device)".to_owned(),
        name => name,
    };
    let state = match cx.r8(device + cx.off.netdev_reg_state)? {
        0 => " (uninitialized)",
        2 => " (unregistering)",
        3 => " (unregistered)",
        4 => " (released)",
        _ => "",
    };
    let parent = cx.r64(device + cx.off.netdev_dev + cx.off.device_parent)?;
    let line = format!("{name}{state}: {text}");
    if parent == 0 {
        log(cx, level, &line);
    } else {
        drivers::core::log(cx, level, parent, &line)?;
    }
    Ok(0)
}
