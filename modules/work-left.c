// SPDX-License-Identifier: GPL-2.0
/* A work item that queues itself again is still there after exit. */
//#Verdict: findings
//#Expect: left-running "work"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static void sweep(struct work_struct *work);
static DECLARE_DELAYED_WORK(sweeper, sweep);
static DECLARE_WORK(starter, NULL);

static void sweep(struct work_struct *work)
{
	schedule_delayed_work(&sweeper, HZ);
}

static void start(struct work_struct *work)
{
	schedule_delayed_work(&sweeper, HZ);
}

static int __init work_left_init(void)
{
	INIT_WORK(&starter, start);
	schedule_work(&starter);
	return 0;
}

static void __exit work_left_exit(void)
{
	cancel_work_sync(&starter);
}

module_init(work_left_init);
module_exit(work_left_exit);
MODULE_LICENSE("GPL");
