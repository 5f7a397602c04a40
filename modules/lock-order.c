// SPDX-License-Identifier: GPL-2.0
/* Two threads take the same two mutexes in opposite orders. */
//#Verdict: findings
//#Expect: lock-order
//#May: deadlock
//#May: unload-hangs
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(rows);
static DEFINE_MUTEX(columns);
static struct task_struct *first, *second;

static int by_row(void *data)
{
	while (!kthread_should_stop()) {
		mutex_lock(&rows);
		mutex_lock(&columns);
		mutex_unlock(&columns);
		mutex_unlock(&rows);
		msleep_interruptible(70);
	}
	return 0;
}

static int by_column(void *data)
{
	while (!kthread_should_stop()) {
		mutex_lock(&columns);
		mutex_lock(&rows);
		mutex_unlock(&rows);
		mutex_unlock(&columns);
		msleep_interruptible(90);
	}
	return 0;
}

static int __init lock_order_init(void)
{
	first = kthread_run(by_row, NULL, "by-row");
	if (IS_ERR(first))
		return PTR_ERR(first);
	second = kthread_run(by_column, NULL, "by-column");
	if (IS_ERR(second)) {
		kthread_stop(first);
		return PTR_ERR(second);
	}
	return 0;
}

static void __exit lock_order_exit(void)
{
	kthread_stop(second);
	kthread_stop(first);
}

module_init(lock_order_init);
module_exit(lock_order_exit);
MODULE_LICENSE("GPL");
