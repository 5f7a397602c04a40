// SPDX-License-Identifier: GPL-2.0
/* Timers, high-resolution timers, clocks. */
//#Conforms: init_timer_key mod_timer add_timer timer_reduce hrtimer_init hrtimer_start_range_ns
//#Conforms: hrtimer_cancel hrtimer_try_to_cancel hrtimer_active hrtimer_forward ktime_get
//#Conforms: ktime_get_real_ts64 msleep usleep_range_state timer_delete
//#Conforms: timer_delete_sync __const_udelay jiffies_to_msecs
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/timer.h>
#include "check.h"

static int order[4], fired;
static struct timer_list a, b, c;

static void on_timer(struct timer_list *t)
{
	order[fired++ & 3] = t == &a ? 1 : t == &b ? 2 : 3;
}

static int check_timer(void)
{
	timer_setup(&a, on_timer, 0);
	timer_setup(&b, on_timer, 0);
	timer_setup(&c, on_timer, 0);
	CHECK(!timer_pending(&a) && !del_timer(&a));
	CHECK(mod_timer(&a, jiffies + HZ / 5) == 0 && timer_pending(&a));
	CHECK(mod_timer(&a, jiffies + HZ / 4) == 1);
	b.expires = jiffies + HZ / 20;
	add_timer(&b);
	mod_timer(&c, jiffies + 100 * HZ);
	CHECK(timer_reduce(&c, jiffies + HZ / 10) == 1 && timer_reduce(&c, jiffies + HZ) == 1);
	msleep(600);
	CHECK(fired == 3 && order[0] == 2 && order[1] == 3 && order[2] == 1);
	CHECK(!timer_pending(&a));
	mod_timer(&a, jiffies + HZ);
	CHECK(del_timer(&a) == 1 && del_timer(&a) == 0);
	mod_timer(&a, jiffies + HZ);
	CHECK(del_timer_sync(&a) == 1 && del_timer_sync(&a) == 0);
	CHECK(fired == 3);
	return 0;
}

static int rounds;

static enum hrtimer_restart on_hrtimer(struct hrtimer *t)
{
	if (++rounds == 5)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(t, ms_to_ktime(2));
	return HRTIMER_RESTART;
}

static int check_hrtimer(void)
{
	struct hrtimer t;

	hrtimer_init(&t, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	t.function = on_hrtimer;
	CHECK(!hrtimer_active(&t));
	hrtimer_start(&t, ms_to_ktime(2), HRTIMER_MODE_REL);
	CHECK(hrtimer_is_queued(&t));
	msleep(100);
	CHECK(rounds == 5 && !hrtimer_active(&t) && hrtimer_cancel(&t) == 0);
	hrtimer_start(&t, ktime_set(100, 0), HRTIMER_MODE_REL);
	CHECK(hrtimer_try_to_cancel(&t) == 1 && hrtimer_try_to_cancel(&t) == 0);
	hrtimer_set_expires(&t, 100);
	CHECK(hrtimer_forward(&t, 350, 100) == 3 && hrtimer_get_expires(&t) == 100 + 300);
	return 0;
}

static int check_clocks(void)
{
	ktime_t before = ktime_get();
	unsigned long start = jiffies;
	struct timespec64 ts;

	msleep(20);
	CHECK(ktime_ms_delta(ktime_get(), before) >= 20);
	CHECK(time_after(jiffies, start));
	before = ktime_get();
	usleep_range(200, 300);
	udelay(50);
	CHECK(ktime_us_delta(ktime_get(), before) >= 250);
	ktime_get_real_ts64(&ts);
	CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < NSEC_PER_SEC);
	CHECK(msecs_to_jiffies(1000) == HZ && jiffies_to_msecs(HZ) == 1000);
	CHECK(get_jiffies_64() >= INITIAL_JIFFIES);
	return 0;
}

CHECKS(check_timer, check_hrtimer, check_clocks);
