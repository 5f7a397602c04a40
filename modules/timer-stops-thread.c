// SPDX-License-Identifier: GPL-2.0
/* A timer stops a thread with the last call of its function: kthread_stop() waits, and a timer must not. */
//#Verdict: findings
//#Expect: sleep-in-atomic at curfew "kthread_stop"
//#May: schedule-in-atomic
//#May: unload-hangs
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/timer.h>

static struct task_struct *walker;

static int walk(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static void curfew(struct timer_list *timer)
{
	kthread_stop(walker);
}

static DEFINE_TIMER(evening, curfew);

static int __init timer_stops_thread_init(void)
{
	walker = kthread_run(walk, NULL, "walker");
	if (IS_ERR(walker))
		return PTR_ERR(walker);
	mod_timer(&evening, jiffies + HZ / 5);
	return 0;
}

static void __exit timer_stops_thread_exit(void)
{
	del_timer_sync(&evening);
}

module_init(timer_stops_thread_init);
module_exit(timer_stops_thread_exit);
MODULE_LICENSE("GPL");
