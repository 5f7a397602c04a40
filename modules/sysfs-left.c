// SPDX-License-Identifier: GPL-2.0
/* The kobject and its attribute file stay in sysfs. */
//#Verdict: findings
//#Expect: left-registered "kobject"
//#May: left-registered "sysfs"
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>

static struct kobject *corner;

static ssize_t size_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", 11);
}

static struct kobj_attribute size_attr = __ATTR_RO(size);

static int __init sysfs_left_init(void)
{
	int ret;

	corner = kobject_create_and_add("lkm-corner", kernel_kobj);
	if (!corner)
		return -ENOMEM;
	ret = sysfs_create_file(corner, &size_attr.attr);
	if (ret)
		kobject_put(corner);
	return ret;
}

static void __exit sysfs_left_exit(void)
{
}

module_init(sysfs_left_init);
module_exit(sysfs_left_exit);
MODULE_LICENSE("GPL");
