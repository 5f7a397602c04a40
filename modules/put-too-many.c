// SPDX-License-Identifier: GPL-2.0
/* A thread puts its module once more than it got it. */
//#Verdict: findings
//#Expect: module-ref-underflow "keep_awake"
//#May: self-module-get
//#May: unload-hangs
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *thread;

static int keep_awake(void *data)
{
	__module_get(THIS_MODULE);
	msleep(20);
	module_put(THIS_MODULE);
	msleep(20);
	module_put(THIS_MODULE);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init put_too_many_init(void)
{
	thread = kthread_run(keep_awake, NULL, "keep-awake");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit put_too_many_exit(void)
{
	kthread_stop(thread);
}

module_init(put_too_many_init);
module_exit(put_too_many_exit);
MODULE_LICENSE("GPL");
