// SPDX-License-Identifier: GPL-2.0
/* An idle workqueue with its rescuer thread is never destroyed. */
//#Verdict: findings
//#Expect: left-registered "workqueue"
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/workqueue.h>

static struct workqueue_struct *queue;

static int __init workqueue_left_init(void)
{
	queue = create_singlethread_workqueue("lkm-idle");
	return queue ? 0 : -ENOMEM;
}

static void __exit workqueue_left_exit(void)
{
	flush_workqueue(queue);
}

module_init(workqueue_left_init);
module_exit(workqueue_left_exit);
MODULE_LICENSE("GPL");
