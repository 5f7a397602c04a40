// SPDX-License-Identifier: GPL-2.0
/* A timer callback takes a mutex. */
//#Verdict: findings
//#Expect: mutex-misuse use "in-atomic"
//#May: sleep-in-atomic
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/timer.h>

static DEFINE_MUTEX(lock);
static int count;

static void tick(struct timer_list *t)
{
	mutex_lock(&lock);
	count++;
	mutex_unlock(&lock);
}

static DEFINE_TIMER(ticker, tick);

static int __init mutex_atomic_init(void)
{
	mod_timer(&ticker, jiffies + HZ / 2);
	return 0;
}

static void __exit mutex_atomic_exit(void)
{
	del_timer_sync(&ticker);
}

module_init(mutex_atomic_init);
module_exit(mutex_atomic_exit);
MODULE_LICENSE("GPL");
