// SPDX-License-Identifier: GPL-2.0
/* A thread that is parked, unparked and stopped: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *guard;

static int stand(void *data)
{
	while (!kthread_should_stop()) {
		if (kthread_should_park())
			kthread_parkme();
		schedule_timeout_interruptible(HZ / 10);
	}
	return 0;
}

static int __init park_ok_init(void)
{
	int ret;

	guard = kthread_run(stand, NULL, "guard");
	if (IS_ERR(guard))
		return PTR_ERR(guard);
	ret = kthread_park(guard);
	if (ret) {
		kthread_stop(guard);
		return ret;
	}
	kthread_unpark(guard);
	return 0;
}

static void __exit park_ok_exit(void)
{
	kthread_stop(guard);
}

module_init(park_ok_init);
module_exit(park_ok_exit);
MODULE_LICENSE("GPL");
