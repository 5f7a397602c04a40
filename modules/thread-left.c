// SPDX-License-Identifier: GPL-2.0
/* Exit forgets the thread: it goes on running in memory that is no longer there. */
//#Verdict: findings
//#Expect: left-running "thread"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static int beat(void *data)
{
	while (!kthread_should_stop())
		msleep(1000);
	return 0;
}

static int __init thread_left_init(void)
{
	return PTR_ERR_OR_ZERO(kthread_run(beat, NULL, "heartbeat"));
}

static void __exit thread_left_exit(void)
{
}

module_init(thread_left_init);
module_exit(thread_left_exit);
MODULE_LICENSE("GPL");
