// SPDX-License-Identifier: GPL-2.0
/* A string without its terminator is copied into a kernel function that looks for one. */
//#Verdict: findings
//#Expect: out-of-bounds use "measure"
//#May: oops
//#May: kthread-stop-after-exit
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *label;
static struct task_struct *thread;

static int measure(void *data)
{
	msleep(100);
	pr_info("label has %zu characters\n", strlen(label));
	while (!kthread_should_stop())
		msleep_interruptible(500);
	return 0;
}

static int __init read_past_init(void)
{
	label = kmalloc(64, GFP_KERNEL);
	if (!label)
		return -ENOMEM;
	memset(label, 'x', 64);
	thread = kthread_run(measure, NULL, "measure");
	if (IS_ERR(thread)) {
		kfree(label);
		return PTR_ERR(thread);
	}
	return 0;
}

static void __exit read_past_exit(void)
{
	kthread_stop(thread);
	kfree(label);
}

module_init(read_past_init);
module_exit(read_past_exit);
MODULE_LICENSE("GPL");
