// SPDX-License-Identifier: GPL-2.0
/* Of three threads one ends by itself when its counter runs out; exit stops all of them. */
//#Verdict: findings
//#Expect: kthread-stop-after-exit exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

struct lane {
	int limit;
	struct task_struct *task;
};

static struct lane lanes[3] = { { .limit = -1 }, { .limit = 6 }, { .limit = -1 } };

static int run_lane(void *data)
{
	struct lane *lane = data;
	int n;

	for (n = 0; !kthread_should_stop(); n++) {
		if (n == lane->limit)
			break;
		msleep_interruptible(300);
	}
	return n;
}

static void stop_lanes(int count)
{
	while (count--)
		kthread_stop(lanes[count].task);
}

static int __init thread_gone_some_init(void)
{
	int n;

	for (n = 0; n < ARRAY_SIZE(lanes); n++) {
		lanes[n].task = kthread_run(run_lane, &lanes[n], "lane/%d", n);
		if (IS_ERR(lanes[n].task)) {
			stop_lanes(n);
			return PTR_ERR(lanes[n].task);
		}
	}
	return 0;
}

static void __exit thread_gone_some_exit(void)
{
	stop_lanes(ARRAY_SIZE(lanes));
}

module_init(thread_gone_some_init);
module_exit(thread_gone_some_exit);
MODULE_LICENSE("GPL");
