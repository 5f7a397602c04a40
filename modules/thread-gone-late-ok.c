// SPDX-License-Identifier: GPL-2.0
/* The same with a reference on the task, taken before it can run: correct, whenever it ends. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent wait
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/workqueue.h>

static struct task_struct *job;

static int job_run(void *data)
{
	return 0;
}

static void make_job(struct work_struct *work)
{
	job = kthread_create(job_run, NULL, "late-job");
	if (!IS_ERR(job)) {
		get_task_struct(job);
		wake_up_process(job);
	}
}

static DECLARE_DELAYED_WORK(maker, make_job);

static int __init thread_gone_late_ok_init(void)
{
	schedule_delayed_work(&maker, HZ);
	return 0;
}

static void __exit thread_gone_late_ok_exit(void)
{
	cancel_delayed_work_sync(&maker);
	if (!IS_ERR_OR_NULL(job)) {
		kthread_stop(job);
		put_task_struct(job);
	}
}

module_init(thread_gone_late_ok_init);
module_exit(thread_gone_late_ok_exit);
MODULE_LICENSE("GPL");
