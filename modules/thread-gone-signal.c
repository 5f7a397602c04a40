// SPDX-License-Identifier: GPL-2.0
/* The thread allows a signal and leaves its loop on it; the module sends it one, and stops the thread later. */
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit at thread_gone_signal_exit "listens"
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/timer.h>

static struct task_struct *listener;

static int listen(void *data)
{
	allow_signal(SIGTERM);
	while (!kthread_should_stop() && !signal_pending(current))
		schedule_timeout_interruptible(HZ);
	return 0;
}

static void tell(struct timer_list *t)
{
	send_sig(SIGTERM, listener, 1);
}

static DEFINE_TIMER(teller, tell);

static int __init thread_gone_signal_init(void)
{
	listener = kthread_run(listen, NULL, "listens");
	if (IS_ERR(listener))
		return PTR_ERR(listener);
	mod_timer(&teller, jiffies + HZ);
	return 0;
}

static void __exit thread_gone_signal_exit(void)
{
	del_timer_sync(&teller);
	kthread_stop(listener);
}

module_init(thread_gone_signal_init);
module_exit(thread_gone_signal_exit);
MODULE_LICENSE("GPL");
