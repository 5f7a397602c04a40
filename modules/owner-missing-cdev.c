// SPDX-License-Identifier: GPL-2.0
/* Two character devices: the first cdev has an owner, which is enough; the second has none, and its operations neither. */
//#Verdict: findings
//#Expect: missing-owner init at add_both "character device"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>

static int first_open(struct inode *inode, struct file *file)
{
	return 0;
}

static ssize_t second_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	return len;
}

static const struct file_operations first_fops = {
	.open = first_open,
};

static const struct file_operations second_fops = {
	.write = second_write,
};

static struct cdev first, second;
static dev_t numbers;

static noinline int add_both(void)
{
	int ret;

	cdev_init(&first, &first_fops);
	first.owner = THIS_MODULE;
	ret = cdev_add(&first, numbers, 1);
	if (ret)
		return ret;
	cdev_init(&second, &second_fops);
	ret = cdev_add(&second, numbers + 1, 1);
	if (ret)
		cdev_del(&first);
	return ret;
}

static int __init owner_missing_cdev_init(void)
{
	int ret = alloc_chrdev_region(&numbers, 0, 2, "owner_missing");

	if (ret)
		return ret;
	ret = add_both();
	if (ret)
		unregister_chrdev_region(numbers, 2);
	return ret;
}

static void __exit owner_missing_cdev_exit(void)
{
	cdev_del(&second);
	cdev_del(&first);
	unregister_chrdev_region(numbers, 2);
}

module_init(owner_missing_cdev_init);
module_exit(owner_missing_cdev_exit);
MODULE_LICENSE("GPL");
