// SPDX-License-Identifier: GPL-2.0
/* The same loop in a thread that does not allow the signal: it never arrives, and the thread is there to be stopped. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent wait
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/timer.h>

static struct task_struct *listener;

static int listen(void *data)
{
	while (!kthread_should_stop() && !signal_pending(current))
		schedule_timeout_interruptible(HZ);
	return 0;
}

static void tell(struct timer_list *t)
{
	send_sig(SIGTERM, listener, 0);
}

static DEFINE_TIMER(teller, tell);

static int __init thread_signal_ok_init(void)
{
	listener = kthread_run(listen, NULL, "listens");
	if (IS_ERR(listener))
		return PTR_ERR(listener);
	mod_timer(&teller, jiffies + HZ);
	return 0;
}

static void __exit thread_signal_ok_exit(void)
{
	del_timer_sync(&teller);
	kthread_stop(listener);
}

module_init(thread_signal_ok_init);
module_exit(thread_signal_ok_exit);
MODULE_LICENSE("GPL");
