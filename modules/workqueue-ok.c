// SPDX-License-Identifier: GPL-2.0
/* An own workqueue with plain and delayed work, and system work, all flushed: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/workqueue.h>

struct job {
	struct work_struct work;
	int done;
};

static struct workqueue_struct *queue;
static struct job jobs[3];

static void run_job(struct work_struct *work)
{
	struct job *job = container_of(work, struct job, work);

	job->done++;
}

static void again(struct work_struct *work);
static DECLARE_DELAYED_WORK(repeater, again);

static void again(struct work_struct *work)
{
	queue_delayed_work(queue, &repeater, HZ / 2);
}

static int __init workqueue_ok_init(void)
{
	int n;

	queue = alloc_workqueue("lkm-%s", WQ_UNBOUND, 1, "jobs");
	if (!queue)
		return -ENOMEM;
	for (n = 0; n < ARRAY_SIZE(jobs); n++) {
		INIT_WORK(&jobs[n].work, run_job);
		queue_work(queue, &jobs[n].work);
	}
	queue_delayed_work(queue, &repeater, HZ / 2);
	flush_work(&jobs[0].work);
	return 0;
}

static void __exit workqueue_ok_exit(void)
{
	cancel_delayed_work_sync(&repeater);
	destroy_workqueue(queue);
}

module_init(workqueue_ok_init);
module_exit(workqueue_ok_exit);
MODULE_LICENSE("GPL");
