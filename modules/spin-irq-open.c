// SPDX-License-Identifier: GPL-2.0
/* A timer takes a spinlock that init takes with softirqs on. */
//#Verdict: findings
//#Expect: irq-unsafe-lock
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static DEFINE_SPINLOCK(level_lock);
static int level;
static void drain(struct timer_list *t);
static DEFINE_TIMER(drainer, drain);

static void drain(struct timer_list *t)
{
	spin_lock(&level_lock);
	if (level)
		level--;
	spin_unlock(&level_lock);
	mod_timer(t, jiffies + HZ / 10);
}

static int __init spin_irq_open_init(void)
{
	mod_timer(&drainer, jiffies + HZ / 10);
	spin_lock(&level_lock);
	level = 20;
	spin_unlock(&level_lock);
	return 0;
}

static void __exit spin_irq_open_exit(void)
{
	del_timer_sync(&drainer);
}

module_init(spin_irq_open_init);
module_exit(spin_irq_open_exit);
MODULE_LICENSE("GPL");
