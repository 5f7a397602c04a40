// SPDX-License-Identifier: GPL-2.0
/* Exit unregisters the character device by the wrong major. */
//#Verdict: findings
//#Expect: left-registered "chr"
//#May: release-unheld
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/module.h>

static int major;

static const struct file_operations plain_fops = {
	.owner = THIS_MODULE,
};

static int __init chrdev_left_init(void)
{
	major = register_chrdev(0, "lkm-plain", &plain_fops);
	return major < 0 ? major : 0;
}

static void __exit chrdev_left_exit(void)
{
	unregister_chrdev(major + 1, "lkm-plain");
}

module_init(chrdev_left_init);
module_exit(chrdev_left_exit);
MODULE_LICENSE("GPL");
