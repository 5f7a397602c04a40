// SPDX-License-Identifier: GPL-2.0
/*
 * The thread that ended first. What its function does and what exit does are chosen:
 *
 * how=once       returns at once; exit stops it all the same
 * how=loop       loops until it is asked to stop
 * how=signal     loops until it is asked to stop or has a signal pending
 * how=ref        returns at once; the module has a task reference of its own
 * allow=1        the thread allows SIGKILL (with how=signal)
 */
//#Args: how=once
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit
//#May: oops init at kstop_init "made to fail"
//#Result: load=0 init=0
//#Real: unsafe
//#Numbers: 10 -> 37, ANSWER 0 -> ANSWER 7
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/string.h>

/* What the thread answers. */
#define ANSWER 0
/* Jiffies between its looks. */
#define PAUSE 10

static char *how = "once";
module_param(how, charp, 0444);
static bool allow;
module_param(allow, bool, 0444);

static struct task_struct *k;

static int function(void *data)
{
	pr_info("kstop: thread %s\n", how);
	if (!strcmp(how, "once") || !strcmp(how, "ref"))
		return ANSWER;
	if (allow)
		allow_signal(SIGKILL);
	while (!kthread_should_stop()) {
		if (!strcmp(how, "signal") && signal_pending(current))
			break;
		schedule_timeout_interruptible(PAUSE);
	}
	return ANSWER;
}

static int __init kstop_init(void)
{
	k = kthread_create(function, NULL, "kstop");
	/* The mistake of the story: kthread_create() never answers NULL. */
	if (!k)
		return -ENOMEM;
	if (!strcmp(how, "ref"))
		get_task_struct(k);
	wake_up_process(k);
	return 0;
}

static void __exit kstop_exit(void)
{
	int ret = kthread_stop(k);

	if (!strcmp(how, "ref"))
		put_task_struct(k);
	pr_info("kstop: thread answered %d\n", ret);
}

module_init(kstop_init);
module_exit(kstop_exit);
MODULE_LICENSE("GPL");
