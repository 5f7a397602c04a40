// SPDX-License-Identifier: GPL-2.0
/* The misc device outlives the module: the next open calls freed text. */
//#Verdict: findings
//#Expect: left-registered "misc"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent alone
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static const struct file_operations box_fops = {
	.owner = THIS_MODULE,
	.llseek = noop_llseek,
};

static struct miscdevice box = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-box",
	.fops = &box_fops,
};

static int __init misc_left_init(void)
{
	return misc_register(&box);
}

static void __exit misc_left_exit(void)
{
}

module_init(misc_left_init);
module_exit(misc_left_exit);
MODULE_LICENSE("GPL");
