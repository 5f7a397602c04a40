// SPDX-License-Identifier: GPL-2.0
/* Clocks, jiffies and their conversions, calendar time, and the rest of timers and sleeps. */
//#Conforms: ktime_get_with_offset ktime_get_raw ktime_get_ts64 ktime_get_raw_ts64 ktime_get_seconds
//#Conforms: ktime_get_real_seconds ktime_get_coarse_ts64 ktime_get_coarse_real_ts64
//#Conforms: ktime_get_coarse_with_offset ktime_get_mono_fast_ns ktime_get_raw_fast_ns
//#Conforms: ktime_get_boot_fast_ns ktime_get_real_fast_ns ktime_get_resolution_ns
//#Conforms: ktime_mono_to_any ktime_add_safe getboottime64 mktime64 time64_to_tm
//#Conforms: set_normalized_timespec64 jiffies_to_usecs __msecs_to_jiffies __usecs_to_jiffies
//#Conforms: nsecs_to_jiffies nsecs_to_jiffies64 jiffies_to_clock_t clock_t_to_jiffies
//#Conforms: jiffies_64_to_clock_t timespec64_to_jiffies jiffies_to_timespec64
//#Conforms: jiffies64_to_msecs jiffies64_to_nsecs round_jiffies
//#Conforms: round_jiffies_relative round_jiffies_up round_jiffies_up_relative mod_timer_pending
//#Conforms: try_to_del_timer_sync timer_shutdown_sync timer_shutdown add_timer_on
//#Conforms: schedule_hrtimeout schedule_hrtimeout_range schedule_timeout_killable
//#Conforms: schedule_timeout_idle msleep_interruptible __udelay __ndelay yield io_schedule_timeout
//#Conforms: __hrtimer_get_remaining hrtimer_init_sleeper hrtimer_sleeper_start_expires
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/time.h>
#include <linux/timekeeping.h>
#include <linux/timer.h>
#include "check.h"

static int check_clocks(void)
{
	ktime_t a = ktime_get(), b;
	u64 raw = ktime_get_raw_fast_ns(), mono = ktime_get_mono_fast_ns(), boot = ktime_get_boot_fast_ns();
	u64 real = ktime_get_real_fast_ns();
	struct timespec64 ts, coarse;
	time64_t seconds = ktime_get_seconds(), real_seconds = ktime_get_real_seconds();

	msleep(20);
	b = ktime_get();
	CHECK(ktime_to_ms(ktime_sub(b, a)) >= 19);
	CHECK(ktime_get_raw_fast_ns() >= raw + 15000000 && ktime_get_mono_fast_ns() >= mono + 19000000);
	CHECK(ktime_get_boot_fast_ns() >= boot + 19000000 && ktime_get_real_fast_ns() >= real + 19000000);
	CHECK(ktime_compare(ktime_get_raw(), ktime_set(0, 0)) > 0);
	ktime_get_ts64(&ts);
	CHECK(ts.tv_sec >= seconds && ts.tv_sec <= seconds + 60 && ts.tv_nsec < NSEC_PER_SEC);
	ktime_get_coarse_ts64(&coarse);
	CHECK(timespec64_compare(&coarse, &ts) <= 0 || coarse.tv_sec - ts.tv_sec < 2);
	ktime_get_raw_ts64(&ts);
	CHECK(ts.tv_sec > 0 || ts.tv_nsec > 0);
	ktime_get_coarse_real_ts64(&coarse);
	CHECK(coarse.tv_sec >= real_seconds && coarse.tv_sec < real_seconds + 60);
	CHECK(ktime_get_real_seconds() >= real_seconds && ktime_get_seconds() >= seconds);
	CHECK(ktime_to_ns(ktime_get_real()) >= (s64)real);
	CHECK(ktime_compare(ktime_get_boottime(), a) >= 0);
	CHECK(ktime_to_ns(ktime_get_coarse_real()) / NSEC_PER_SEC - real_seconds < 60);
	/* Of a fast counter it is less than one. */
	CHECK(ktime_get_resolution_ns() <= 100000000);
	CHECK(ktime_to_ns(ktime_mono_to_any(a, TK_OFFS_REAL)) / 1000000000 - real_seconds < 5);
	getboottime64(&ts);
	CHECK(ts.tv_sec <= real_seconds);
	return 0;
}

static int check_sums(void)
{
	struct timespec64 ts;
	struct tm tm;

	CHECK(ktime_add_safe(5, 7) == 12 && ktime_add_safe(KTIME_MAX, 7) == KTIME_MAX);
	CHECK(mktime64(1970, 1, 1, 0, 0, 0) == 0 && mktime64(2000, 2, 29, 12, 0, 1) == 951825601);
	CHECK(mktime64(2038, 1, 19, 3, 14, 8) == 2147483648LL);
	time64_to_tm(951825601, 0, &tm);
	CHECK(tm.tm_year == 100 && tm.tm_mon == 1 && tm.tm_mday == 29 && tm.tm_hour == 12);
	CHECK(tm.tm_min == 0 && tm.tm_sec == 1 && tm.tm_wday == 2 && tm.tm_yday == 59);
	time64_to_tm(-1, 3600, &tm);
	CHECK(tm.tm_year == 70 && tm.tm_hour == 0 && tm.tm_min == 59 && tm.tm_sec == 59);
	set_normalized_timespec64(&ts, 3, -1);
	CHECK(ts.tv_sec == 2 && ts.tv_nsec == 999999999);
	set_normalized_timespec64(&ts, 3, 2500000000LL);
	CHECK(ts.tv_sec == 5 && ts.tv_nsec == 500000000);
	return 0;
}

static int check_jiffies(void)
{
	volatile unsigned int ms = 1000, us = 1000000;
	struct timespec64 ts = { 1, 500000000 };
	unsigned long j = round_jiffies(jiffies + 10 * HZ), r;

	CHECK(msecs_to_jiffies(ms) == HZ && usecs_to_jiffies(us) == HZ);
	CHECK(msecs_to_jiffies((unsigned int)-1 - ms + 1000) == MAX_JIFFY_OFFSET);
	CHECK(jiffies_to_usecs(HZ) == 1000000 && jiffies_to_msecs(HZ / 2) == 500);
	CHECK(nsecs_to_jiffies(2000000000ULL) == 2 * HZ && nsecs_to_jiffies64(3000000000ULL) == 3 * HZ);
	CHECK(jiffies_to_clock_t(HZ) == 100 && clock_t_to_jiffies(100) == HZ);
	CHECK(jiffies_64_to_clock_t(10 * HZ) == 1000);
	CHECK(timespec64_to_jiffies(&ts) >= HZ + HZ / 2 && timespec64_to_jiffies(&ts) <= HZ + HZ / 2 + 1);
	jiffies_to_timespec64(HZ + HZ / 2, &ts);
	CHECK(ts.tv_sec == 1 && ts.tv_nsec == 500000000);
	CHECK(jiffies64_to_msecs(HZ) == 1000 && jiffies64_to_nsecs(HZ) == 1000000000ULL);
	CHECK((unsigned long)get_jiffies_64() - jiffies < HZ || jiffies - (unsigned long)get_jiffies_64() < HZ);
	/* Whole seconds, down within a quarter of one, and never in the past. */
	CHECK(time_after(j, jiffies) && j - jiffies <= 11 * HZ);
	r = round_jiffies_up(jiffies + 10 * HZ);
	CHECK(r - jiffies + 2 >= 10 * HZ && r - jiffies <= 11 * HZ + 2);
	CHECK(round_jiffies_relative(10 * HZ) <= 11 * HZ && round_jiffies_relative(10 * HZ) >= 9 * HZ - 2);
	r = round_jiffies_up_relative(10 * HZ);
	CHECK(r + 2 >= 10 * HZ && r <= 11 * HZ);
	return 0;
}

static int fired;

static void fire(struct timer_list *t)
{
	fired++;
}

static int check_timers(void)
{
	static struct timer_list t;

	timer_setup(&t, fire, 0);
	CHECK(!mod_timer_pending(&t, jiffies + HZ) && !timer_pending(&t));
	t.expires = jiffies + HZ;
	add_timer_on(&t, 0);
	CHECK(timer_pending(&t) && mod_timer_pending(&t, jiffies + 2) == 1);
	msleep(50);
	CHECK(fired == 1 && !timer_pending(&t) && try_to_del_timer_sync(&t) == 0);
	mod_timer(&t, jiffies + HZ);
	CHECK(try_to_del_timer_sync(&t) == 1 && !timer_pending(&t));
	mod_timer(&t, jiffies + HZ);
	CHECK(timer_shutdown_sync(&t) == 1);
	/* A timer that was shut down stays quiet. */
	mod_timer(&t, jiffies + 1);
	CHECK(!timer_pending(&t));
	timer_setup(&t, fire, 0);
	mod_timer(&t, jiffies + HZ);
	CHECK(timer_shutdown(&t) == 1 && timer_shutdown(&t) == 0);
	msleep(20);
	CHECK(fired == 1);
	return 0;
}

static int check_sleeps(void)
{
	ktime_t wait = ms_to_ktime(3), start = ktime_get();
	struct hrtimer_sleeper sleeper;
	unsigned long j = jiffies;

	set_current_state(TASK_UNINTERRUPTIBLE);
	CHECK(schedule_hrtimeout(&wait, HRTIMER_MODE_REL) == 0);
	CHECK(ktime_ms_delta(ktime_get(), start) >= 3);
	set_current_state(TASK_INTERRUPTIBLE);
	CHECK(schedule_hrtimeout_range(&wait, 100000, HRTIMER_MODE_REL) == 0);
	CHECK(schedule_timeout_killable(2) == 0 && schedule_timeout_idle(2) == 0);
	CHECK(time_after_eq(jiffies, j + 4));
	CHECK(msleep_interruptible(4) == 0);
	set_current_state(TASK_UNINTERRUPTIBLE);
	CHECK(io_schedule_timeout(2) == 0);
	yield();
	start = ktime_get();
	__udelay(50);
	__ndelay(500);
	CHECK(ktime_us_delta(ktime_get(), start) >= 50);
	/* A sleeper wakes its task and forgets it. */
	hrtimer_init_sleeper(&sleeper, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	hrtimer_set_expires(&sleeper.timer, ms_to_ktime(2));
	CHECK(sleeper.task == current);
	set_current_state(TASK_UNINTERRUPTIBLE);
	hrtimer_sleeper_start_expires(&sleeper, HRTIMER_MODE_REL);
	CHECK(ktime_to_ns(__hrtimer_get_remaining(&sleeper.timer, false)) <= 2000000);
	if (sleeper.task)
		schedule();
	__set_current_state(TASK_RUNNING);
	CHECK(!sleeper.task);
	hrtimer_cancel(&sleeper.timer);
	return 0;
}

CHECKS(check_clocks, check_sums, check_jiffies, check_timers, check_sleeps);
