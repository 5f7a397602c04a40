// SPDX-License-Identifier: GPL-2.0
/* Init waits for a thread that waits for init: neither can go on. */
//#Verdict: findings
//#Expect: deadlock
//#May: wedged-module
//#May: left-running
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static DECLARE_COMPLETION(thread_ready);
static DECLARE_COMPLETION(init_ready);
static struct task_struct *thread;

static int greet(void *data)
{
	wait_for_completion(&init_ready);
	complete(&thread_ready);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init init_waits_init(void)
{
	thread = kthread_run(greet, NULL, "greeter");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	wait_for_completion(&thread_ready);
	complete(&init_ready);
	return 0;
}

static void __exit init_waits_exit(void)
{
	kthread_stop(thread);
}

module_init(init_waits_init);
module_exit(init_waits_exit);
MODULE_LICENSE("GPL");
