// SPDX-License-Identifier: GPL-2.0
/* Faults in exit, before it has taken its device away. With fixed=1 it is correct. */
//#Verdict: findings
//#Expect: oops exit at live_exit_oops_exit
//#May: wedged-module
//#May: left-registered
//#Real: unsafe
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static bool fixed;
module_param(fixed, bool, 0444);

static const struct file_operations live_fops = { .owner = THIS_MODULE };
static struct miscdevice live_exit_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "live_exit_oops",
	.fops = &live_fops,
};

static int __init live_exit_oops_init(void)
{
	return misc_register(&live_exit_misc);
}

static void __exit live_exit_oops_exit(void)
{
	if (!fixed)
		*(volatile int *)16 = 1;
	misc_deregister(&live_exit_misc);
}

module_init(live_exit_oops_init);
module_exit(live_exit_oops_exit);
MODULE_LICENSE("GPL");
