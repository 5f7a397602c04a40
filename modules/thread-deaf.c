// SPDX-License-Identifier: GPL-2.0
/* The thread never asks whether it should stop, so kthread_stop() never returns. */
//#Verdict: findings
//#Expect: unload-hangs
//#Result: load=0 init=0 exit=hang
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static struct task_struct *deaf;
static unsigned long rounds;

static int never_listen(void *data)
{
	for (;;) {
		rounds++;
		msleep(200);
	}
	return 0;
}

static int __init thread_deaf_init(void)
{
	deaf = kthread_run(never_listen, NULL, "deaf");
	return PTR_ERR_OR_ZERO(deaf);
}

static void __exit thread_deaf_exit(void)
{
	kthread_stop(deaf);
}

module_init(thread_deaf_init);
module_exit(thread_deaf_exit);
MODULE_LICENSE("GPL");
