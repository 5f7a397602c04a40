// SPDX-License-Identifier: GPL-2.0
/* Files in sysfs of every kind, written and read as a process would: classes, buses, drivers, groups, binary ones. */
//#Conforms: __class_register class_unregister class_create_file_ns class_remove_file_ns
//#Conforms: bus_create_file bus_remove_file driver_create_file driver_remove_file
//#Conforms: sysfs_create_bin_file sysfs_remove_bin_file sysfs_create_groups sysfs_remove_groups
//#Conforms: sysfs_add_file_to_group sysfs_remove_file_from_group sysfs_chmod_file sysfs_emit
//#Conforms: sysfs_emit_at sysfs_notify sysfs_create_mount_point sysfs_remove_mount_point
//#Conforms: kernel_read kernel_write device_initialize device_add device_del dev_set_name
//#Conforms: bus_for_each_drv driver_for_each_device bus_find_device driver_attach
//#Conforms: device_attach device_release_driver device_find_child device_rename
//#Conforms: class_for_each_device kobject_set_name kset_register kobject_uevent
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include "check.h"

/* What a file has; a negative errno. */
static int get(const char *path, char *buf, int room)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	loff_t pos = 0;
	int ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = kernel_read(file, buf, room, &pos);
	filp_close(file, NULL);
	return ret;
}

static int put(const char *path, const char *text)
{
	struct file *file = filp_open(path, O_WRONLY, 0);
	loff_t pos = 0;
	int ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = kernel_write(file, text, strlen(text), &pos);
	filp_close(file, NULL);
	return ret;
}

static char buf[64], kept[64];

static ssize_t own_show(struct class *class, struct class_attribute *attr, char *page)
{
	return sysfs_emit(page, "class %s\n", class->name);
}

static ssize_t own_store(struct class *class, struct class_attribute *attr, const char *page, size_t count)
{
	strscpy(kept, page, sizeof(kept));
	return count;
}

static CLASS_ATTR_RW(own);
static struct class lkm_class = { .name = "lkm-conform-own", .owner = THIS_MODULE };

static int check_class(void)
{
	CHECK(!class_register(&lkm_class));
	CHECK(get("/sys/class/lkm-conform-own/own", buf, 64) == -ENOENT);
	CHECK(!class_create_file(&lkm_class, &class_attr_own));
	CHECK(get("/sys/class/lkm-conform-own/own", buf, 64) == 22 && !strncmp(buf, "class lkm-conform-own\n", 22));
	CHECK(put("/sys/class/lkm-conform-own/own", "hello") == 5 && !strcmp(kept, "hello"));
	class_remove_file(&lkm_class, &class_attr_own);
	CHECK(get("/sys/class/lkm-conform-own/own", buf, 64) == -ENOENT);
	return 0;
}

static int match(struct device *dev, struct device_driver *drv)
{
	return 1;
}

static int probes, removes;

static int probe(struct device *dev)
{
	probes++;
	return 0;
}

static int removed(struct device *dev)
{
	removes++;
	return 0;
}

static struct bus_type bus = { .name = "lkm-conform-bus", .match = match };
static struct device_driver driver = {
	.name = "lkm-conform-driver", .bus = &bus, .owner = THIS_MODULE, .probe = probe, .remove = removed,
};

static ssize_t color_show(struct bus_type *b, char *page)
{
	return sysfs_emit(page, "%s\n", b == &bus ? "red" : "none");
}

static ssize_t color_store(struct bus_type *b, const char *page, size_t count)
{
	return -EPERM;
}

static BUS_ATTR_RW(color);

static ssize_t shape_show(struct device_driver *d, char *page)
{
	return sysfs_emit(page, "%s is round\n", d->name);
}

static DRIVER_ATTR_RO(shape);

static void release(struct device *dev)
{
	kfree(dev);
}

static struct device *make(struct device *parent, int n)
{
	struct device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	device_initialize(dev);
	dev->bus = &bus;
	dev->class = parent ? &lkm_class : NULL;
	if (dev->class)
		dev->bus = NULL;
	dev->parent = parent;
	dev->release = release;
	if (dev_set_name(dev, "lkm-conform-%d", n) || device_add(dev)) {
		put_device(dev);
		return NULL;
	}
	return dev;
}

static int count(struct device *dev, void *data)
{
	++*(int *)data;
	return 0;
}

static int count_driver(struct device_driver *drv, void *data)
{
	++*(int *)data;
	return 0;
}

static int named(struct device *dev, const void *name)
{
	return !strcmp(dev_name(dev), name);
}

static int named_child(struct device *dev, void *name)
{
	return !strcmp(dev_name(dev), name);
}

static int check_bus(void)
{
	struct device *dev, *child, *found;
	int n = 0;

	CHECK(!bus_register(&bus) && !bus_create_file(&bus, &bus_attr_color));
	CHECK(get("/sys/bus/lkm-conform-bus/color", buf, 64) == 4 && !strncmp(buf, "red\n", 4));
	CHECK(put("/sys/bus/lkm-conform-bus/color", "x") == -EPERM);
	dev = make(NULL, 1);
	CHECK(dev && !dev->driver && device_attach(dev) == 0);
	CHECK(!kobject_uevent(&dev->kobj, KOBJ_CHANGE));
	CHECK(!driver_register(&driver) && probes == 1 && dev->driver == &driver);
	CHECK(!driver_create_file(&driver, &driver_attr_shape));
	CHECK(get("/sys/bus/lkm-conform-bus/drivers/lkm-conform-driver/shape", buf, 64) == 28);
	CHECK(!strncmp(buf, "lkm-conform-driver is round\n", 28));
	CHECK(!bus_for_each_drv(&bus, NULL, &n, count_driver) && n == 1);
	CHECK(!driver_for_each_device(&driver, NULL, &n, count) && n == 2);
	device_release_driver(dev);
	CHECK(removes == 1 && !dev->driver && !driver_for_each_device(&driver, NULL, &n, count) && n == 2);
	CHECK(!driver_attach(&driver) && probes == 2 && device_attach(dev) == 1 && probes == 2);
	found = bus_find_device(&bus, NULL, "lkm-conform-1", named);
	CHECK(found == dev && !bus_find_device(&bus, NULL, "lkm-conform-9", named));
	put_device(found);
	child = make(dev, 2);
	CHECK(child);
	found = device_find_child(dev, (void *)"lkm-conform-2", named_child);
	CHECK(found == child);
	put_device(found);
	n = 0;
	CHECK(!class_for_each_device(&lkm_class, NULL, &n, count) && n == 1);
	CHECK(!device_rename(child, "lkm-conform-3") && !strcmp(dev_name(child), "lkm-conform-3"));
	device_del(child);
	put_device(child);
	driver_remove_file(&driver, &driver_attr_shape);
	CHECK(get("/sys/bus/lkm-conform-bus/drivers/lkm-conform-driver/shape", buf, 64) == -ENOENT);
	driver_unregister(&driver);
	CHECK(removes == 2);
	device_del(dev);
	put_device(dev);
	bus_remove_file(&bus, &bus_attr_color);
	bus_unregister(&bus);
	class_unregister(&lkm_class);
	return 0;
}

static struct kobject *dir;

static ssize_t text_show(struct kobject *kobj, struct kobj_attribute *attr, char *page)
{
	int len = sysfs_emit(page, "%s:", attr->attr.name);

	return len + sysfs_emit_at(page, len, "%d\n", 42);
}

static struct kobj_attribute a = __ATTR(a, 0444, text_show, NULL), b = __ATTR(b, 0444, text_show, NULL);
static struct kobj_attribute extra = __ATTR(extra, 0444, text_show, NULL);
static struct attribute *plain_attrs[] = { &a.attr, NULL }, *named_attrs[] = { &b.attr, NULL };
static const struct attribute_group plain_group = { .attrs = plain_attrs };
static const struct attribute_group named_group = { .name = "inner", .attrs = named_attrs };
static const struct attribute_group *groups[] = { &plain_group, &named_group, NULL };

static ssize_t raw_read(struct file *file, struct kobject *kobj, struct bin_attribute *attr, char *page,
			loff_t off, size_t size)
{
	return memory_read_from_buffer(page, size, &off, "\x01\x02\x03\x04", 4);
}

static struct bin_attribute raw = { .attr = { .name = "raw", .mode = 0400 }, .size = 4, .read = raw_read };

static int check_groups(void)
{
	dir = kobject_create_and_add("lkm-conform-dir", kernel_kobj);
	CHECK(dir && !sysfs_create_groups(dir, groups));
	CHECK(get("/sys/kernel/lkm-conform-dir/a", buf, 64) == 5 && !strncmp(buf, "a:42\n", 5));
	CHECK(get("/sys/kernel/lkm-conform-dir/inner/b", buf, 64) == 5 && !strncmp(buf, "b:42\n", 5));
	CHECK(put("/sys/kernel/lkm-conform-dir/a", "x") < 0);
	CHECK(!sysfs_add_file_to_group(dir, &extra.attr, "inner"));
	CHECK(get("/sys/kernel/lkm-conform-dir/inner/extra", buf, 64) == 9);
	CHECK(sysfs_add_file_to_group(dir, &extra.attr, "outer") == -ENOENT);
	sysfs_remove_file_from_group(dir, &extra.attr, "inner");
	CHECK(get("/sys/kernel/lkm-conform-dir/inner/extra", buf, 64) == -ENOENT);
	CHECK(!sysfs_create_bin_file(dir, &raw));
	CHECK(get("/sys/kernel/lkm-conform-dir/raw", buf, 64) == 4 && buf[0] == 1 && buf[3] == 4);
	sysfs_remove_bin_file(dir, &raw);
	CHECK(get("/sys/kernel/lkm-conform-dir/raw", buf, 64) == -ENOENT);
	CHECK(!sysfs_chmod_file(dir, &a.attr, 0400));
	sysfs_notify(dir, NULL, "a");
	CHECK(!sysfs_create_mount_point(dir, "mnt"));
	/* It is in no set. */
	CHECK(kobject_uevent(dir, KOBJ_CHANGE) == -EINVAL);
	sysfs_remove_mount_point(dir, "mnt");
	sysfs_remove_groups(dir, groups);
	CHECK(get("/sys/kernel/lkm-conform-dir/a", buf, 64) == -ENOENT);
	CHECK(get("/sys/kernel/lkm-conform-dir/inner/b", buf, 64) == -ENOENT);
	kobject_put(dir);
	return 0;
}

static void set_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct kset, kobj));
}

static const struct kobj_type set_type = { .release = set_release, .sysfs_ops = &kobj_sysfs_ops };

static int check_set(void)
{
	struct kset *set = kzalloc(sizeof(*set), GFP_KERNEL);

	CHECK(set && !kobject_set_name(&set->kobj, "lkm-conform-%s", "set"));
	CHECK(!strcmp(kobject_name(&set->kobj), "lkm-conform-set"));
	set->kobj.ktype = &set_type;
	set->kobj.parent = kernel_kobj;
	CHECK(!kset_register(set) && list_empty(&set->list));
	kset_unregister(set);
	return 0;
}

CHECKS(check_class, check_bus, check_groups, check_set);
