// SPDX-License-Identifier: GPL-2.0
/*
 * The oops in init. A virtual mouse: its platform device and its attributes are registered, then
 * the name of the input device, which is NULL, is written to.
 *
 * fixed=1   the name is set as it should be
 */
//#Verdict: findings
//#Expect: oops init at vms_init
//#Expect: wedged-module
//#May: left-registered
//#Result: load=null init=null exit=not-run
//#Log: "vms_init++++++++++"
//#Real: unsafe
//#Numbers: PLATFORM_DEVID_NONE -> 4
//#Fixed: 2 what sscanf answers when both were read
#include <linux/err.h>
#include <linux/input.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/string.h>
#include <linux/sysfs.h>

static bool fixed;
module_param(fixed, bool, 0444);

static struct input_dev *vms_input_dev;
static struct platform_device *vms_dev;

static ssize_t coordinates_store(struct device *dev, struct device_attribute *attr,
				 const char *buf, size_t count)
{
	int x, y;

	if (sscanf(buf, "%d%d", &x, &y) != 2)
		return -EINVAL;
	input_report_rel(vms_input_dev, REL_X, x);
	input_report_rel(vms_input_dev, REL_Y, y);
	input_sync(vms_input_dev);
	return count;
}

static ssize_t coordinates_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "write two numbers\n");
}

static DEVICE_ATTR_RW(coordinates);

static struct attribute *vms_attrs[] = { &dev_attr_coordinates.attr, NULL };
static const struct attribute_group vms_group = { .attrs = vms_attrs };

static int __init vms_init(void)
{
	int ret;

	pr_info("vms_init===========\n");
	vms_dev = platform_device_register_simple("vms", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(vms_dev)) {
		pr_err("####vms: platform_device_register_simple failed\n");
		return PTR_ERR(vms_dev);
	}
	pr_info("vms_dev = 0x%px\n", vms_dev);
	ret = sysfs_create_group(&vms_dev->dev.kobj, &vms_group);
	if (ret)
		goto no_group;
	vms_input_dev = input_allocate_device();
	if (!vms_input_dev) {
		ret = -ENOMEM;
		goto no_input;
	}
	pr_info("vms_init++++++++++\n");
	if (fixed)
		vms_input_dev->name = "Vms test";
	else
		strcpy((char *)vms_input_dev->name, "Vms test");
	input_set_capability(vms_input_dev, EV_REL, REL_X);
	input_set_capability(vms_input_dev, EV_REL, REL_Y);
	ret = input_register_device(vms_input_dev);
	if (ret)
		goto no_register;
	return 0;
no_register:
	input_free_device(vms_input_dev);
no_input:
	sysfs_remove_group(&vms_dev->dev.kobj, &vms_group);
no_group:
	platform_device_unregister(vms_dev);
	return ret;
}

static void __exit vms_cleanup(void)
{
	input_unregister_device(vms_input_dev);
	sysfs_remove_group(&vms_dev->dev.kobj, &vms_group);
	platform_device_unregister(vms_dev);
}

module_init(vms_init);
module_exit(vms_cleanup);
MODULE_LICENSE("GPL");
