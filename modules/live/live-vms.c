// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual mouse: a platform device with an attribute, and an input device whose name
 * is copied to where there is no memory. With fixed=1 it is correct.
 */
//#Verdict: findings
//#Expect: oops init at vms_init
//#May: wedged-module
//#May: left-registered
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/input.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static bool fixed;
module_param(fixed, bool, 0444);

static struct platform_device *vms_dev;
static struct input_dev *vms_input_dev;

static ssize_t coordinates_store(struct device *dev, struct device_attribute *attr,
				 const char *buf, size_t count)
{
	return count;
}
static DEVICE_ATTR_WO(coordinates);

static struct attribute *vms_attrs[] = { &dev_attr_coordinates.attr, NULL };
static const struct attribute_group vms_group = { .attrs = vms_attrs };

static int __init vms_init(void)
{
	int err;

	vms_dev = platform_device_register_simple("vms", -1, NULL, 0);
	if (IS_ERR(vms_dev))
		return PTR_ERR(vms_dev);
	err = sysfs_create_group(&vms_dev->dev.kobj, &vms_group);
	if (err)
		goto device;
	err = -ENOMEM;
	vms_input_dev = input_allocate_device();
	if (!vms_input_dev)
		goto group;
	if (fixed) {
		vms_input_dev->name = "Vms test";
	} else {
		char *volatile name = (char *)vms_input_dev->name;

		strcpy(name, "Vms test");
	}
	input_set_capability(vms_input_dev, EV_REL, REL_X);
	err = input_register_device(vms_input_dev);
	if (!err)
		return 0;
	input_free_device(vms_input_dev);
group:
	sysfs_remove_group(&vms_dev->dev.kobj, &vms_group);
device:
	platform_device_unregister(vms_dev);
	return err;
}

static void __exit vms_exit(void)
{
	input_unregister_device(vms_input_dev);
	sysfs_remove_group(&vms_dev->dev.kobj, &vms_group);
	platform_device_unregister(vms_dev);
}

module_init(vms_init);
module_exit(vms_exit);
MODULE_LICENSE("GPL");
