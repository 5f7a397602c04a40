//! Conversions between jiffies and other units of time (kernel/time/time.c, kernel/time/timer.c,
//! kernel/time/timeconv.c).

use crate::Cx;
use crate::abi::{Call, R};
use crate::sched::JIFFY;
use crate::table::{Row, behaves};

pub(crate) const ROWS: &[Row] = &[
    behaves("jiffies_to_msecs", jiffies_to_msecs),
    behaves("jiffies_to_usecs", jiffies_to_usecs),
    behaves("jiffies64_to_nsecs", jiffies64_to_nsecs),
    behaves("jiffies64_to_msecs", jiffies64_to_msecs),
    behaves("__msecs_to_jiffies", msecs_to_jiffies),
    behaves("__usecs_to_jiffies", usecs_to_jiffies),
    behaves("nsecs_to_jiffies", nsecs_to_jiffies),
    behaves("nsecs_to_jiffies64", nsecs_to_jiffies),
    behaves("jiffies_to_clock_t", jiffies_to_clock_t),
    behaves("jiffies_64_to_clock_t", jiffies_to_clock_t),
    behaves("clock_t_to_jiffies", clock_t_to_jiffies),
    behaves("nsec_to_clock_t", nsec_to_clock_t),
    behaves("jiffies_to_timespec64", jiffies_to_timespec64),
    behaves("timespec64_to_jiffies", timespec64_to_jiffies),
    behaves("set_normalized_timespec64", set_normalized_timespec64),
    behaves("round_jiffies", round_jiffies),
    behaves("round_jiffies_up", round_jiffies_up),
    behaves("round_jiffies_relative", round_jiffies_relative),
    behaves("round_jiffies_up_relative", round_jiffies_up_relative),
    behaves("__round_jiffies", round_jiffies),
    behaves("__round_jiffies_up", round_jiffies_up),
    behaves("__round_jiffies_relative", round_jiffies_relative),
    behaves("__round_jiffies_up_relative", round_jiffies_up_relative),
    behaves("mktime64", mktime64),
    behaves("time64_to_tm", time64_to_tm),
];

/// Jiffies in a second, and clock ticks of user space (USER_HZ).
const HZ: u64 = 1_000_000_000 / JIFFY;
const USER_HZ: u64 = 100;
/// MAX_JIFFY_OFFSET.
const MAX_JIFFY_OFFSET: u64 = (i64::MAX as u64 >> 1) - 1;
const SECOND: u64 = 1_000_000_000;

fn jiffies_to_msecs(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from((c.a[0].wrapping_mul(1000 / HZ)) as u32))
}

fn jiffies_to_usecs(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from((c.a[0].wrapping_mul(1_000_000 / HZ)) as u32))
}

fn jiffies64_to_nsecs(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0].wrapping_mul(JIFFY))
}

fn jiffies64_to_msecs(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0].wrapping_mul(1000 / HZ))
}

fn msecs_to_jiffies(_: &mut Cx, c: &Call) -> R {
    let ms = c.a[0] as u32;
    // Negative values mean "for ever".
    Ok(if (ms as i32) < 0 {
        MAX_JIFFY_OFFSET
    } else {
        u64::from(ms).div_ceil(1000 / HZ)
    })
}

fn usecs_to_jiffies(_: &mut Cx, c: &Call) -> R {
    Ok(u64::from(c.a[0] as u32).div_ceil(1_000_000 / HZ))
}

fn nsecs_to_jiffies(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0] / JIFFY)
}

fn jiffies_to_clock_t(_: &mut Cx, c: &Call) -> R {
    // USER_HZ < HZ and not a divisor of it: through nanoseconds, as the kernel does then.
    Ok((u128::from(c.a[0]) * u128::from(USER_HZ) / u128::from(HZ)) as u64)
}

fn clock_t_to_jiffies(_: &mut Cx, c: &Call) -> R {
    if c.a[0] >= u64::MAX / HZ * USER_HZ {
        return Ok(u64::MAX);
    }
    Ok((u128::from(c.a[0]) * u128::from(HZ) / u128::from(USER_HZ)) as u64)
}

fn nsec_to_clock_t(_: &mut Cx, c: &Call) -> R {
    Ok(c.a[0] / (SECOND / USER_HZ))
}

fn jiffies_to_timespec64(cx: &mut Cx, c: &Call) -> R {
    let ns = u128::from(c.a[0]) * u128::from(JIFFY);
    cx.w64(c.a[1], (ns / u128::from(SECOND)) as u64)?;
    cx.w64(c.a[1] + 8, (ns % u128::from(SECOND)) as u64)?;
    Ok(0)
}

fn timespec64_to_jiffies(cx: &mut Cx, c: &Call) -> R {
    let (sec, nsec) = (cx.r64(c.a[0])?, cx.r64(c.a[0] + 8)?);
    let limit = MAX_JIFFY_OFFSET / HZ;
    if sec >= limit {
        return Ok(MAX_JIFFY_OFFSET);
    }
    Ok(sec * HZ + nsec.saturating_add(JIFFY - 1) / JIFFY)
}

fn set_normalized_timespec64(cx: &mut Cx, c: &Call) -> R {
    let [ts, sec, nsec, ..] = c.a;
    let nsec = nsec as i64;
    let carry = nsec.div_euclid(SECOND as i64);
    cx.w64(ts, sec.wrapping_add(carry as u64))?;
    cx.w64(ts + 8, nsec.rem_euclid(SECOND as i64) as u64)?;
    Ok(0)
}

/// Rounds to a whole second: down in its first quarter unless `up`; the past is left as it was.
fn round(cx: &Cx, at: u64, up: bool) -> u64 {
    let rest = at % HZ;
    let rounded = if rest < HZ / 4 && !up {
        at - rest
    } else {
        at - rest + HZ
    };
    let now = crate::time::jiffies(cx);
    if (rounded.wrapping_sub(now) as i64) > 0 {
        rounded
    } else {
        at
    }
}

fn round_jiffies(cx: &mut Cx, c: &Call) -> R {
    Ok(round(cx, c.a[0], false))
}

fn round_jiffies_up(cx: &mut Cx, c: &Call) -> R {
    Ok(round(cx, c.a[0], true))
}

fn relative(cx: &Cx, delta: u64, up: bool) -> u64 {
    let now = crate::time::jiffies(cx);
    round(cx, now.wrapping_add(delta), up).wrapping_sub(now)
}

fn round_jiffies_relative(cx: &mut Cx, c: &Call) -> R {
    Ok(relative(cx, c.a[0], false))
}

fn round_jiffies_up_relative(cx: &mut Cx, c: &Call) -> R {
    Ok(relative(cx, c.a[0], true))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
        - 1
        - 719_468
}

fn mktime64(cx: &mut Cx, c: &Call) -> R {
    let [year, month, day, hour, min, sec] = c.a.map(|v| i64::from(v as u32));
    let _ = cx;
    Ok((((days(year, month, day) * 24 + hour) * 60 + min) * 60 + sec) as u64)
}

/// struct tm: sec, min, hour, mday, mon as int, year as long, wday, yday as int.
fn time64_to_tm(cx: &mut Cx, c: &Call) -> R {
    let total = (c.a[0] as i64).saturating_add(i64::from(c.a[1] as i32));
    let (day, rest) = (total.div_euclid(86_400), total.rem_euclid(86_400));
    // The civil date of a day count (proleptic Gregorian, eras of 400 years).
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let mday = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let yday = day - days(year, 1, 1);
    let at = c.a[2];
    for (index, value) in [rest % 60, rest / 60 % 60, rest / 3600, mday, month - 1]
        .into_iter()
        .enumerate()
    {
        cx.w32(at + index as u64 * 4, value as u32)?;
    }
    cx.w64(at + 24, (year - 1900) as u64)?;
    cx.w32(at + 32, (day + 4).rem_euclid(7) as u32)?;
    cx.w32(at + 36, yday as u32)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn the_calendar_is_gregorian() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(1969, 12, 31), -1);
        assert_eq!(days(2100, 3, 1) - days(2100, 2, 28), 1);
    }
}
