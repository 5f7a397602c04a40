// SPDX-License-Identifier: GPL-2.0
/* A timer that goes off ten minutes after the module has gone. */
//#Verdict: findings
//#Expect: left-running "timer"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent alone
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/timer.h>

static void late(struct timer_list *t)
{
	pr_info("too late\n");
}

static DEFINE_TIMER(reminder, late);

static int __init timer_left_init(void)
{
	mod_timer(&reminder, jiffies + 600 * HZ);
	return 0;
}

static void __exit timer_left_exit(void)
{
}

module_init(timer_left_init);
module_exit(timer_left_exit);
MODULE_LICENSE("GPL");
