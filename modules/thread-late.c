// SPDX-License-Identifier: GPL-2.0
/* Two threads, one of them made long after init by a work item; only the first is stopped. */
//#Verdict: findings
//#Expect: left-running "thread"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static struct task_struct *early, *late;

static int idle(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static void make_late(struct work_struct *work)
{
	late = kthread_run(idle, NULL, "late-one");
}

static DECLARE_DELAYED_WORK(maker, make_late);

static int __init thread_late_init(void)
{
	early = kthread_run(idle, NULL, "early-one");
	if (IS_ERR(early))
		return PTR_ERR(early);
	schedule_delayed_work(&maker, 5 * HZ);
	return 0;
}

static void __exit thread_late_exit(void)
{
	cancel_delayed_work_sync(&maker);
	kthread_stop(early);
}

module_init(thread_late_init);
module_exit(thread_late_exit);
MODULE_LICENSE("GPL");
