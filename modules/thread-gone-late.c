// SPDX-License-Identifier: GPL-2.0
/* The thread is made long after init, by a delayed work; it returns at once, and exit stops it all the same. */
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit at thread_gone_late_exit "late-job"
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static struct task_struct *job;

static int job_run(void *data)
{
	return 0;
}

static void make_job(struct work_struct *work)
{
	job = kthread_run(job_run, NULL, "late-job");
}

static DECLARE_DELAYED_WORK(maker, make_job);

static int __init thread_gone_late_init(void)
{
	schedule_delayed_work(&maker, HZ);
	return 0;
}

static void __exit thread_gone_late_exit(void)
{
	cancel_delayed_work_sync(&maker);
	if (!IS_ERR_OR_NULL(job))
		kthread_stop(job);
}

module_init(thread_gone_late_init);
module_exit(thread_gone_late_exit);
MODULE_LICENSE("GPL");
