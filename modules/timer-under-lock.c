// SPDX-License-Identifier: GPL-2.0
/* A timer is waited for with the spinlock held that its function takes. */
//#Verdict: findings
//#Expect: lock-order at timer_under_lock_exit "waits for a timer"
//#Real: unsafe
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static DEFINE_SPINLOCK(count_lock);
static unsigned int count;
static void tick(struct timer_list *t);
static DEFINE_TIMER(ticker, tick);

static void tick(struct timer_list *t)
{
	spin_lock(&count_lock);
	count++;
	spin_unlock(&count_lock);
	mod_timer(t, jiffies + HZ / 2);
}

static int __init timer_under_lock_init(void)
{
	mod_timer(&ticker, jiffies + HZ / 2);
	return 0;
}

static void __exit timer_under_lock_exit(void)
{
	spin_lock_bh(&count_lock);
	del_timer_sync(&ticker);
	spin_unlock_bh(&count_lock);
}

module_init(timer_under_lock_init);
module_exit(timer_under_lock_exit);
MODULE_LICENSE("GPL");
