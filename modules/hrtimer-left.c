// SPDX-License-Identifier: GPL-2.0
/* A periodic high-resolution timer is not cancelled. */
//#Verdict: findings
//#Expect: left-running "hrtimer"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/module.h>

static struct hrtimer metronome;

static enum hrtimer_restart beat(struct hrtimer *t)
{
	hrtimer_forward_now(t, ms_to_ktime(500));
	return HRTIMER_RESTART;
}

static int __init hrtimer_left_init(void)
{
	hrtimer_init(&metronome, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	metronome.function = beat;
	hrtimer_start(&metronome, ms_to_ktime(500), HRTIMER_MODE_REL);
	return 0;
}

static void __exit hrtimer_left_exit(void)
{
}

module_init(hrtimer_left_init);
module_exit(hrtimer_left_exit);
MODULE_LICENSE("GPL");
