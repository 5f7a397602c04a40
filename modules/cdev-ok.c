// SPDX-License-Identifier: GPL-2.0
/* Region, cdev, class and device nodes, all undone on each failure: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>

#define UNITS 3

static dev_t first;
static struct cdev cdev;
static struct class *class;

static int unit_open(struct inode *inode, struct file *file)
{
	return iminor(inode) - MINOR(first) < UNITS ? 0 : -ENXIO;
}

static const struct file_operations unit_fops = {
	.owner = THIS_MODULE,
	.open = unit_open,
	.llseek = no_llseek,
};

static void drop_units(int n)
{
	while (n--)
		device_destroy(class, first + n);
}

static int __init cdev_ok_init(void)
{
	int n, ret;

	ret = alloc_chrdev_region(&first, 0, UNITS, "lkm-units");
	if (ret)
		return ret;
	cdev_init(&cdev, &unit_fops);
	cdev.owner = THIS_MODULE;
	ret = cdev_add(&cdev, first, UNITS);
	if (ret)
		goto no_cdev;
	class = class_create(THIS_MODULE, "lkm-units");
	if (IS_ERR(class)) {
		ret = PTR_ERR(class);
		goto no_class;
	}
	for (n = 0; n < UNITS; n++) {
		struct device *dev = device_create(class, NULL, first + n, NULL, "lkm-unit%d", n);

		if (IS_ERR(dev)) {
			ret = PTR_ERR(dev);
			goto no_device;
		}
	}
	return 0;
no_device:
	drop_units(n);
	class_destroy(class);
no_class:
	cdev_del(&cdev);
no_cdev:
	unregister_chrdev_region(first, UNITS);
	return ret;
}

static void __exit cdev_ok_exit(void)
{
	drop_units(UNITS);
	class_destroy(class);
	cdev_del(&cdev);
	unregister_chrdev_region(first, UNITS);
}

module_init(cdev_ok_init);
module_exit(cdev_ok_exit);
MODULE_LICENSE("GPL");
