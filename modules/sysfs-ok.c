// SPDX-License-Identifier: GPL-2.0
/* A kobject with an attribute group that can be written, removed with its last put: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kobject.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/sysfs.h>

static struct kobject *panel;
static int knob = 3;

static ssize_t knob_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", knob);
}

static ssize_t knob_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
			  size_t count)
{
	int ret = kstrtoint(buf, 10, &knob);

	return ret ? ret : count;
}

static struct kobj_attribute knob_attr = __ATTR_RW(knob);

static struct attribute *panel_attrs[] = { &knob_attr.attr, NULL };
static const struct attribute_group panel_group = { .name = "front", .attrs = panel_attrs };

static int __init sysfs_ok_init(void)
{
	int ret;

	panel = kobject_create_and_add("lkm-panel", kernel_kobj);
	if (!panel)
		return -ENOMEM;
	ret = sysfs_create_group(panel, &panel_group);
	if (ret)
		kobject_put(panel);
	return ret;
}

static void __exit sysfs_ok_exit(void)
{
	sysfs_remove_group(panel, &panel_group);
	kobject_put(panel);
}

module_init(sysfs_ok_init);
module_exit(sysfs_ok_exit);
MODULE_LICENSE("GPL");
