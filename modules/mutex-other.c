// SPDX-License-Identifier: GPL-2.0
/* Init takes the mutex and a thread gives it back. */
//#Verdict: findings
//#Expect: mutex-misuse "unlock-by-other"
//#May: mutex-misuse "held-at-exit"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(baton);
static struct task_struct *runner;

static int take_over(void *data)
{
	mutex_unlock(&baton);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init mutex_other_init(void)
{
	mutex_lock(&baton);
	runner = kthread_run(take_over, NULL, "runner");
	if (IS_ERR(runner)) {
		mutex_unlock(&baton);
		return PTR_ERR(runner);
	}
	return 0;
}

static void __exit mutex_other_exit(void)
{
	kthread_stop(runner);
}

module_init(mutex_other_init);
module_exit(mutex_other_exit);
MODULE_LICENSE("GPL");
