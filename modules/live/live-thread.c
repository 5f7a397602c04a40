// SPDX-License-Identifier: GPL-2.0
/* A thread in the module's text whose sleep outlasts its being woken; with leak=1 a reference that nobody owns as well. */
//#Verdict: findings
//#Expect: unload-hangs exit "kthread_stop"
//#Result: load=0 init=0 exit=hang
//#Real: unsafe
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>

static bool leak;
module_param(leak, bool, 0444);

static struct task_struct *thread;

static noinline int live_thread_work(void *unused)
{
	while (!kthread_should_stop())
		msleep_interruptible(1000000);
	return 0;
}

static int __init live_thread_init(void)
{
	if (leak)
		__module_get(THIS_MODULE);
	thread = kthread_run(live_thread_work, NULL, "live-thread");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit live_thread_exit(void)
{
	kthread_stop(thread);
}

module_init(live_thread_init);
module_exit(live_thread_exit);
MODULE_LICENSE("GPL");
