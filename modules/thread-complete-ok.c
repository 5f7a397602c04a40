// SPDX-License-Identifier: GPL-2.0
/* A thread that sleeps on a wait queue, gets work, and reports completion: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/wait.h>

static DECLARE_WAIT_QUEUE_HEAD(bell);
static DECLARE_COMPLETION(served);
static bool ringing;
static struct task_struct *butler;

static int serve(void *data)
{
	while (!kthread_should_stop()) {
		wait_event_interruptible(bell, ringing || kthread_should_stop());
		if (ringing) {
			ringing = false;
			complete(&served);
		}
	}
	return 0;
}

static int __init thread_complete_ok_init(void)
{
	butler = kthread_run(serve, NULL, "butler");
	if (IS_ERR(butler))
		return PTR_ERR(butler);
	ringing = true;
	wake_up(&bell);
	if (!wait_for_completion_timeout(&served, 5 * HZ)) {
		kthread_stop(butler);
		return -ETIMEDOUT;
	}
	return 0;
}

static void __exit thread_complete_ok_exit(void)
{
	kthread_stop(butler);
}

module_init(thread_complete_ok_init);
module_exit(thread_complete_ok_exit);
MODULE_LICENSE("GPL");
