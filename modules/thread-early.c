// SPDX-License-Identifier: GPL-2.0
/* The thread uses what init makes only behind its start: a fault when the thread is the quicker of the two. */
//#Verdict: findings
//#Expect: oops at take_orders
//#May: kthread-stop-after-exit
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>

struct orders {
	unsigned int taken;
};

static struct orders *orders;
static struct task_struct *waiter;

static int take_orders(void *data)
{
	do {
		READ_ONCE(orders)->taken++;
		schedule_timeout_interruptible(HZ);
	} while (!kthread_should_stop());
	return 0;
}

static int __init thread_early_init(void)
{
	waiter = kthread_run(take_orders, NULL, "waiter");
	if (IS_ERR(waiter))
		return PTR_ERR(waiter);
	orders = kzalloc(sizeof(*orders), GFP_KERNEL);
	if (!orders) {
		kthread_stop(waiter);
		return -ENOMEM;
	}
	return 0;
}

static void __exit thread_early_exit(void)
{
	kthread_stop(waiter);
	kfree(orders);
}

module_init(thread_early_init);
module_exit(thread_early_exit);
MODULE_LICENSE("GPL");
