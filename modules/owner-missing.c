// SPDX-License-Identifier: GPL-2.0
/* A misc device whose operations name no owner: rmmod goes through while a process has it open. */
//#Verdict: findings
//#Expect: missing-owner init at owner_missing_init "misc device owner_missing"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static ssize_t nothing_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	return 0;
}

static const struct file_operations nothing_fops = {
	.read = nothing_read,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "owner_missing",
	.fops = &nothing_fops,
};

static int __init owner_missing_init(void)
{
	return misc_register(&device);
}

static void __exit owner_missing_exit(void)
{
	misc_deregister(&device);
}

module_init(owner_missing_init);
module_exit(owner_missing_exit);
MODULE_LICENSE("GPL");
