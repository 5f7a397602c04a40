// SPDX-License-Identifier: GPL-2.0
/* A thread runs over a NULL list tail some time after init; exit then stops a dead thread. */
//#Verdict: findings
//#Expect: oops use at walk_list
//#May: kthread-stop-after-exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

struct item {
	struct item *next;
	int value;
};

static struct item last = { .value = 3 };
static struct item first = { .next = &last, .value = 1 };
static struct task_struct *walker;

static noinline int walk_list(struct item *from, int steps)
{
	int sum = 0;

	while (steps--) {
		sum += READ_ONCE(from->value);
		from = from->next;
	}
	return sum;
}

static int walk(void *data)
{
	msleep(2500);
	pr_info("sum %d\n", walk_list(&first, 3));
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init thread_oops_init(void)
{
	walker = kthread_run(walk, NULL, "walker");
	return PTR_ERR_OR_ZERO(walker);
}

static void __exit thread_oops_exit(void)
{
	kthread_stop(walker);
}

module_init(thread_oops_init);
module_exit(thread_oops_exit);
MODULE_LICENSE("GPL");
