// SPDX-License-Identifier: GPL-2.0
/* A tasklet that a timer schedules, killed after its source: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/timer.h>

static int ran;

static void bottom(struct tasklet_struct *t)
{
	ran++;
}

static DECLARE_TASKLET(half, bottom);

static void kick(struct timer_list *t)
{
	tasklet_schedule(&half);
	mod_timer(t, jiffies + HZ / 5);
}

static DEFINE_TIMER(kicker, kick);

static int __init tasklet_ok_init(void)
{
	mod_timer(&kicker, jiffies + HZ / 5);
	return 0;
}

static void __exit tasklet_ok_exit(void)
{
	del_timer_sync(&kicker);
	tasklet_kill(&half);
}

module_init(tasklet_ok_init);
module_exit(tasklet_ok_exit);
MODULE_LICENSE("GPL");
