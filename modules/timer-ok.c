// SPDX-License-Identifier: GPL-2.0
/* A timer that re-arms itself, stopped with the call that waits: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/timer.h>

struct pulse {
	struct timer_list timer;
	unsigned int count;
};

static struct pulse pulse;

static void pulse_fn(struct timer_list *t)
{
	struct pulse *p = from_timer(p, t, timer);

	p->count++;
	mod_timer(&p->timer, jiffies + HZ / 4);
}

static int __init timer_ok_init(void)
{
	timer_setup(&pulse.timer, pulse_fn, 0);
	mod_timer(&pulse.timer, jiffies + HZ / 4);
	return 0;
}

static void __exit timer_ok_exit(void)
{
	del_timer_sync(&pulse.timer);
}

module_init(timer_ok_init);
module_exit(timer_ok_exit);
MODULE_LICENSE("GPL");
