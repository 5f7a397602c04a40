// SPDX-License-Identifier: GPL-2.0
/* The device numbers are never given back: only the cdev is. */
//#Verdict: findings
//#Expect: left-registered "chr"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>

static dev_t number;
static struct cdev *cdev;

static const struct file_operations no_fops = {
	.owner = THIS_MODULE,
};

static int __init region_left_init(void)
{
	int ret = alloc_chrdev_region(&number, 0, 1, "lkm-region");

	if (ret)
		return ret;
	cdev = cdev_alloc();
	if (!cdev) {
		ret = -ENOMEM;
		goto undo;
	}
	cdev->ops = &no_fops;
	cdev->owner = THIS_MODULE;
	ret = cdev_add(cdev, number, 1);
	if (!ret)
		return 0;
	kobject_put(&cdev->kobj);
undo:
	unregister_chrdev_region(number, 1);
	return ret;
}

static void __exit region_left_exit(void)
{
	cdev_del(cdev);
}

module_init(region_left_init);
module_exit(region_left_exit);
MODULE_LICENSE("GPL");
