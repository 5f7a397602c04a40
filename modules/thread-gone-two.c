// SPDX-License-Identifier: GPL-2.0
/* Two threads: the first loops until it is stopped, the second ends after its ten rounds. Exit stops both. */
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit "counts-ten"
//#Result: load=0 init=0
//#Real: unsafe
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
	return n;
}

static int __init thread_gone_two_init(void)
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

static void __exit thread_gone_two_exit(void)
{
	pr_info("thread-gone-two: loops answered %d\n", kthread_stop(loops));
	pr_info("thread-gone-two: counts answered %d\n", kthread_stop(counts));
}

module_init(thread_gone_two_init);
module_exit(thread_gone_two_exit);
MODULE_LICENSE("GPL");
