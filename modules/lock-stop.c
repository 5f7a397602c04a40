// SPDX-License-Identifier: GPL-2.0
/* Exit holds the mutex that the thread wants while it waits for the thread to end. */
//#Verdict: findings
//#Expect: unload-hangs exit
//#May: lock-order
//#May: deadlock
//#Result: load=0 init=0 exit=hang
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(state_lock);
static struct task_struct *thread;
static int state;

static int update(void *data)
{
	while (!kthread_should_stop()) {
		schedule_timeout_interruptible(HZ / 5);
		mutex_lock(&state_lock);
		state++;
		mutex_unlock(&state_lock);
	}
	return 0;
}

static int __init lock_stop_init(void)
{
	thread = kthread_run(update, NULL, "updater");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit lock_stop_exit(void)
{
	mutex_lock(&state_lock);
	kthread_stop(thread);
	state = 0;
	mutex_unlock(&state_lock);
}

module_init(lock_stop_init);
module_exit(lock_stop_exit);
MODULE_LICENSE("GPL");
