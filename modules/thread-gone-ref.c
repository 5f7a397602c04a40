// SPDX-License-Identifier: GPL-2.0
/* The same self-ending thread, with a task reference of its own: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/task.h>

static struct task_struct *worker;

static int work_once(void *data)
{
	return 42;
}

static int __init thread_gone_ref_init(void)
{
	worker = kthread_create(work_once, NULL, "work-once-ref");
	if (IS_ERR(worker))
		return PTR_ERR(worker);
	get_task_struct(worker);
	wake_up_process(worker);
	return 0;
}

static void __exit thread_gone_ref_exit(void)
{
	int ret = kthread_stop(worker);

	put_task_struct(worker);
	pr_info("thread answered %d\n", ret);
}

module_init(thread_gone_ref_init);
module_exit(thread_gone_ref_exit);
MODULE_LICENSE("GPL");
