// SPDX-License-Identifier: GPL-2.0
/* A thread ends on an error path with the mutex still held. */
//#Verdict: findings
//#Expect: mutex-misuse "held-at-exit"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/task.h>

static DEFINE_MUTEX(log_lock);
static struct task_struct *writer;
static int lines;

static int write_lines(void *data)
{
	while (!kthread_should_stop()) {
		mutex_lock(&log_lock);
		if (++lines == 3)
			return -ENOSPC;
		mutex_unlock(&log_lock);
		schedule_timeout_interruptible(HZ / 10);
	}
	return 0;
}

static int __init mutex_held_init(void)
{
	writer = kthread_create(write_lines, NULL, "writer");
	if (IS_ERR(writer))
		return PTR_ERR(writer);
	get_task_struct(writer);
	wake_up_process(writer);
	return 0;
}

static void __exit mutex_held_exit(void)
{
	kthread_stop(writer);
	put_task_struct(writer);
}

module_init(mutex_held_init);
module_exit(mutex_held_exit);
MODULE_LICENSE("GPL");
