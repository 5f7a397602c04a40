// SPDX-License-Identifier: GPL-2.0
/* A one-shot and a periodic high-resolution timer, cancelled: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/module.h>

static struct hrtimer once, often;
static int fired;

static enum hrtimer_restart once_fn(struct hrtimer *t)
{
	fired++;
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart often_fn(struct hrtimer *t)
{
	hrtimer_forward_now(t, ns_to_ktime(700 * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static int __init hrtimer_ok_init(void)
{
	hrtimer_init(&once, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	once.function = once_fn;
	hrtimer_init(&often, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	often.function = often_fn;
	hrtimer_start(&once, ns_to_ktime(1000), HRTIMER_MODE_REL);
	hrtimer_start(&often, ns_to_ktime(700 * NSEC_PER_USEC), HRTIMER_MODE_REL);
	return 0;
}

static void __exit hrtimer_ok_exit(void)
{
	hrtimer_cancel(&often);
	hrtimer_cancel(&once);
}

module_init(hrtimer_ok_init);
module_exit(hrtimer_ok_exit);
MODULE_LICENSE("GPL");
