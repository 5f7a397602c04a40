// SPDX-License-Identifier: GPL-2.0
/* Exit itself schedules one last job and does not wait for it. */
//#Verdict: findings
//#Expect: left-running "work"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/workqueue.h>

static void farewell(struct work_struct *work)
{
	pr_info("one last job\n");
}

static DECLARE_WORK(last_job, farewell);

static int __init work_at_exit_init(void)
{
	return 0;
}

static void __exit work_at_exit_exit(void)
{
	schedule_work(&last_job);
}

module_init(work_at_exit_init);
module_exit(work_at_exit_exit);
MODULE_LICENSE("GPL");
