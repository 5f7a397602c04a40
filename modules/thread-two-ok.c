// SPDX-License-Identifier: GPL-2.0
/* Two threads: one loops, the other waits to be stopped when its rounds are over. Both are there when exit stops them. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Log: "counts answered 10"
//#Real: load=0 unload=0 silent wait
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *loops, *counts;

static int loop(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 10);
	return 0;
}

static int count_ten(void *data)
{
	int n;

	for (n = 0; n < 10 && !kthread_should_stop(); n++)
		schedule_timeout_interruptible(HZ / 10);
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return n;
}

static int __init thread_two_ok_init(void)
{
	loops = kthread_run(loop, NULL, "loops");
	if (IS_ERR(loops))
		return PTR_ERR(loops);
	counts = kthread_run(count_ten, NULL, "counts-ten");
	if (IS_ERR(counts)) {
		kthread_stop(loops);
		return PTR_ERR(counts);
	}
	return 0;
}

static void __exit thread_two_ok_exit(void)
{
	pr_info("thread-two-ok: loops answered %d\n", kthread_stop(loops));
	pr_info("thread-two-ok: counts answered %d\n", kthread_stop(counts));
}

module_init(thread_two_ok_init);
module_exit(thread_two_ok_exit);
MODULE_LICENSE("GPL");
