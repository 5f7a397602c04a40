// SPDX-License-Identifier: GPL-2.0
/* A kthread worker with its own works: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct kthread_worker *worker;
static int done;

static void job(struct kthread_work *work)
{
	done++;
}

static DEFINE_KTHREAD_WORK(now, job);
static DEFINE_KTHREAD_DELAYED_WORK(later, job);

static int __init kworker_ok_init(void)
{
	worker = kthread_create_worker(0, "lkm-worker/%d", 0);
	if (IS_ERR(worker))
		return PTR_ERR(worker);
	kthread_queue_work(worker, &now);
	kthread_queue_delayed_work(worker, &later, HZ);
	kthread_flush_work(&now);
	return done == 1 ? 0 : -EINVAL;
}

static void __exit kworker_ok_exit(void)
{
	kthread_cancel_delayed_work_sync(&later);
	kthread_destroy_worker(worker);
}

module_init(kworker_ok_init);
module_exit(kworker_ok_exit);
MODULE_LICENSE("GPL");
