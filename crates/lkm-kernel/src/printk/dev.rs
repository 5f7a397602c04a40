//! Messages about devices (drivers/base/core.c), rate limits (lib/ratelimit.c), dynamic debugging
//! (lib/dynamic_debug.c) and the smaller parts of kernel/printk and kernel/panic.c.

use super::{format, log, log_bytes};
use crate::Cx;
use crate::abi::{Call, R, Stop, VaList};
use crate::layout::NONE;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("dev_printk_emit", dev_printk_emit),
    behaves("__dynamic_pr_debug", dynamic_pr_debug),
    behaves("__dynamic_dev_dbg", dynamic_dev_dbg),
    behaves("___ratelimit", ratelimit),
    behaves("__printk_ratelimit", printk_ratelimit),
    behaves("printk_timed_ratelimit", timed_ratelimit),
    behaves("__warn_printk", warn_printk),
    behaves("dump_stack", dump_stack),
    behaves("dump_stack_lvl", dump_stack),
    behaves("panic", panic),
    behaves("add_taint", add_taint),
    behaves("__printk_cpu_sync_try_get", one),
    behaves("__printk_cpu_sync_wait", zero),
    behaves("__printk_cpu_sync_put", zero),
];

/// Longest text of a message.
const TEXT_MAX: usize = 1024;

fn zero(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

fn one(_: &mut Cx, _: &Call) -> R {
    Ok(1)
}

fn member(cx: &Cx, base: u64, offset: u64) -> R {
    if offset == NONE {
        return Ok(0);
    }
    Ok(cx.r64(base + offset)?)
}

/// The name of the device's driver, else of its bus, else of its class (dev_driver_string).
fn driver_name(cx: &Cx, dev: u64) -> R {
    for (holder, name) in [
        (cx.off.device_driver, cx.off.driver_name),
        (cx.off.device_bus, cx.off.bus_name),
        (cx.off.device_class, cx.off.class_name),
    ] {
        let held = member(cx, dev, holder)?;
        if held != 0 {
            return member(cx, held, name);
        }
    }
    Ok(0)
}

/// dev_name(): init_name, else the kobject's name.
fn device_name(cx: &Cx, dev: u64) -> R<Vec<u8>> {
    let mut name = member(cx, dev, cx.off.device_init_name)?;
    if name == 0 {
        name = member(cx, dev + cx.off.device_kobj, cx.off.kobject_name)?;
    }
    if name == 0 {
        return Ok(b"(null)".to_vec());
    }
    Ok(cx.cstr(name, 256)?)
}

/// Logs `driver device: text`.
fn device(cx: &mut Cx, level: u32, dev: u64, text: &[u8]) -> R<()> {
    let mut line = Vec::new();
    if dev == 0 {
        line.extend(b"(NULL device *): ");
    } else {
        let driver = driver_name(cx, dev)?;
        if driver != 0 {
            line.extend(cx.cstr(driver, 256)?);
        }
        line.push(b' ');
        line.extend(device_name(cx, dev)?);
        line.extend(b": ");
    }
    line.extend(text);
    log(cx, level, &String::from_utf8_lossy(&line));
    Ok(())
}

fn dev_printk_emit(cx: &mut Cx, c: &Call) -> R {
    let text = format::vsnprintf(cx, c.a[2], &mut c.va(3), TEXT_MAX)?;
    log(cx, c.a[0] as u32 & 7, &String::from_utf8_lossy(&text));
    Ok(text.len() as u64)
}

/// Called only when the site's key is on; a site that prints is one that somebody has enabled.
fn dynamic_pr_debug(cx: &mut Cx, c: &Call) -> R {
    let text = format::vsnprintf(cx, c.a[1], &mut c.va(2), TEXT_MAX)?;
    log(cx, 7, &String::from_utf8_lossy(&text));
    Ok(0)
}

fn dynamic_dev_dbg(cx: &mut Cx, c: &Call) -> R {
    let text = format::vsnprintf(cx, c.a[2], &mut c.va(3), TEXT_MAX)?;
    device(cx, 7, c.a[1], &text)?;
    Ok(0)
}

/// A rate limit that the kernel keeps for itself.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Limit {
    begin: u64,
    printed: u32,
    missed: u32,
}

impl Limit {
    /// Whether one more may pass in `interval` jiffies of at most `burst`; how many were missed before.
    pub(crate) fn pass(&mut self, now: u64, interval: u64, burst: u32) -> (bool, u32) {
        let mut missed = 0;
        if self.begin == 0 {
            self.begin = now;
        }
        if now.wrapping_sub(self.begin) as i64 > interval as i64 {
            missed = std::mem::take(&mut self.missed);
            self.begin = now;
            self.printed = 0;
        }
        if burst > self.printed {
            self.printed += 1;
            (true, missed)
        } else {
            self.missed += 1;
            (false, missed)
        }
    }
}

pub(crate) fn suppressed(cx: &mut Cx, function: &str, missed: u32) {
    if missed != 0 {
        log(
            cx,
            4,
            &format!("{function}: {missed} callbacks suppressed\n"),
        );
    }
}

fn ratelimit(cx: &mut Cx, c: &Call) -> R {
    let at = c.a[0];
    let (interval_at, burst_at, printed_at, missed_at, begin_at, flags_at) = (
        at + cx.off.ratelimit_interval,
        at + cx.off.ratelimit_burst,
        at + cx.off.ratelimit_printed,
        at + cx.off.ratelimit_missed,
        at + cx.off.ratelimit_begin,
        at + cx.off.ratelimit_flags,
    );
    let (interval, burst) = (cx.r32(interval_at)? as i32, cx.r32(burst_at)?);
    if interval == 0 {
        return Ok(1);
    }
    let mut limit = Limit {
        begin: cx.r64(begin_at)?,
        printed: cx.r32(printed_at)?,
        missed: cx.r32(missed_at)?,
    };
    let now = crate::time::jiffies(cx);
    let (pass, missed) = limit.pass(now, interval as u64, burst);
    // RATELIMIT_MSG_ON_RELEASE: told by who owns the limit.
    let on_release = cx.r64(flags_at)? & 1 != 0;
    if missed != 0 && on_release {
        limit.missed += missed;
    }
    cx.w64(begin_at, limit.begin)?;
    cx.w32(printed_at, limit.printed)?;
    cx.w32(missed_at, limit.missed)?;
    if !on_release {
        let function = cx.text(c.a[1])?;
        suppressed(cx, &function, missed);
    }
    Ok(u64::from(pass))
}

/// printk_ratelimit(): ten messages in five seconds, for all callers together.
fn printk_ratelimit(cx: &mut Cx, c: &Call) -> R {
    let (now, second) = (
        crate::time::jiffies(cx),
        1_000_000_000 / crate::sched::JIFFY,
    );
    let (pass, missed) = cx.printk.limit.pass(now, 5 * second, 10);
    let function = cx.text(c.a[0])?;
    suppressed(cx, &function, missed);
    Ok(u64::from(pass))
}

/// printk_timed_ratelimit(&last, msecs).
fn timed_ratelimit(cx: &mut Cx, c: &Call) -> R {
    let now = crate::time::jiffies(cx);
    let last = cx.r64(c.a[0])?;
    let interval = u64::from(c.a[1] as u32) * 1_000_000 / crate::sched::JIFFY;
    if last != 0 && now.wrapping_sub(last) <= interval {
        return Ok(0);
    }
    cx.w64(c.a[0], now)?;
    Ok(1)
}

/// The text of a WARN(); the banner comes with the trap that follows.
fn warn_printk(cx: &mut Cx, c: &Call) -> R {
    log(cx, 4, "------------[ cut here ]------------\n");
    let text = format::vsnprintf(cx, c.a[0], &mut c.va(1), TEXT_MAX)?;
    // Without a level it is a warning.
    log_bytes(cx, &text);
    Ok(0)
}

fn dump_stack(cx: &mut Cx, _: &Call) -> R {
    crate::traps::dump_stack(cx);
    Ok(0)
}

fn panic(cx: &mut Cx, c: &Call) -> R {
    let text = format::vsnprintf(cx, c.a[0], &mut c.va(1), TEXT_MAX)?;
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    log(cx, 0, &format!("Kernel panic - not syncing: {text}\n"));
    Err(Stop::Bug(format!("Kernel panic - not syncing: {text}")))
}

/// Taints of the running kernel; modules read none of them inline.
fn add_taint(_: &mut Cx, _: &Call) -> R {
    Ok(0)
}

/// vprintk() for a list at `args`.
pub(super) fn vlog(cx: &mut Cx, fmt: u64, args: u64) -> R {
    let mut list = VaList::at(cx, args)?;
    let text = format::vsnprintf(cx, fmt, &mut list, TEXT_MAX)?;
    list.store(cx, args)?;
    log_bytes(cx, &text);
    Ok(super::stored(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_a_burst_pass() {
        let mut limit = Limit::default();
        let passed = (0..12).filter(|_| limit.pass(100, 50, 10).0).count();
        assert_eq!((passed, limit.missed), (10, 2));
        assert_eq!(limit.pass(151, 50, 10), (true, 2));
    }
}
