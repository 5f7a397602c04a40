// SPDX-License-Identifier: GPL-2.0
/* A thread that sleeps in a loop until it is asked to stop: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *ticker;
static unsigned long ticks;

static int tick(void *data)
{
	unsigned long *count = data;

	while (!kthread_should_stop()) {
		(*count)++;
		schedule_timeout_interruptible(HZ / 10);
	}
	return 0;
}

static int __init thread_loop_init(void)
{
	ticker = kthread_run(tick, &ticks, "ticker/%d", 1);
	return PTR_ERR_OR_ZERO(ticker);
}

static void __exit thread_loop_exit(void)
{
	kthread_stop(ticker);
}

module_init(thread_loop_init);
module_exit(thread_loop_exit);
MODULE_LICENSE("GPL");
