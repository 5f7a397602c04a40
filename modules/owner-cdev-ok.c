// SPDX-License-Identifier: GPL-2.0
/* Each of two character devices is held by one owner only: the cdev's, or that of its operations. Both are enough. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>

static int any_open(struct inode *inode, struct file *file)
{
	return 0;
}

static const struct file_operations without = {
	.open = any_open,
};

static const struct file_operations with = {
	.owner = THIS_MODULE,
	.open = any_open,
};

static struct cdev first, second;
static dev_t numbers;

static int __init owner_cdev_ok_init(void)
{
	int ret = alloc_chrdev_region(&numbers, 0, 2, "owner_cdev_ok");

	if (ret)
		return ret;
	cdev_init(&first, &without);
	first.owner = THIS_MODULE;
	ret = cdev_add(&first, numbers, 1);
	if (ret)
		goto numbers;
	cdev_init(&second, &with);
	ret = cdev_add(&second, numbers + 1, 1);
	if (ret)
		goto first;
	return 0;
first:
	cdev_del(&first);
numbers:
	unregister_chrdev_region(numbers, 2);
	return ret;
}

static void __exit owner_cdev_ok_exit(void)
{
	cdev_del(&second);
	cdev_del(&first);
	unregister_chrdev_region(numbers, 2);
}

module_init(owner_cdev_ok_init);
module_exit(owner_cdev_ok_exit);
MODULE_LICENSE("GPL");
