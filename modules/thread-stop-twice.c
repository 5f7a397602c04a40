// SPDX-License-Identifier: GPL-2.0
/* Exit stops the thread, and then a helper stops it again. */
//#Verdict: findings
//#Expect: kthread-stop-twice exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *reader;

static int read_loop(void *data)
{
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static noinline void shut_down(void)
{
	kthread_stop(reader);
}

static int __init thread_stop_twice_init(void)
{
	reader = kthread_run(read_loop, NULL, "reader");
	return PTR_ERR_OR_ZERO(reader);
}

static void __exit thread_stop_twice_exit(void)
{
	kthread_stop(reader);
	shut_down();
}

module_init(thread_stop_twice_init);
module_exit(thread_stop_twice_exit);
MODULE_LICENSE("GPL");
