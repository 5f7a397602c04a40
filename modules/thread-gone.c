// SPDX-License-Identifier: GPL-2.0
/* The thread returns at once; exit stops it by a pointer that no longer means anything. */
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit at thread_gone_exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *worker;

static int work_once(void *data)
{
	pr_info("one job, done\n");
	return 0;
}

static int __init thread_gone_init(void)
{
	worker = kthread_run(work_once, NULL, "work-once");
	return PTR_ERR_OR_ZERO(worker);
}

static void __exit thread_gone_exit(void)
{
	kthread_stop(worker);
}

module_init(thread_gone_init);
module_exit(thread_gone_exit);
MODULE_LICENSE("GPL");
