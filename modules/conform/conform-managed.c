// SPDX-License-Identifier: GPL-2.0
/* Managed resources in groups, attributes of devices, resources of platform devices, buses of one's own. */
//#Conforms: __devres_alloc_node devres_add devres_find devres_remove devres_free devres_destroy
//#Conforms: devres_release devres_open_group devres_close_group devres_release_group
//#Conforms: devres_remove_group devm_kstrdup devm_kasprintf devm_remove_action
//#Conforms: device_create_file device_remove_file device_add_groups device_remove_groups
//#Conforms: sysfs_create_files sysfs_remove_files platform_get_resource platform_get_irq
//#Conforms: platform_get_resource_byname platform_device_register_full bus_register
//#Conforms: bus_unregister driver_register driver_unregister device_register device_unregister
//#Conforms: bus_for_each_dev driver_find kobject_get_path
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/device.h>
#include <linux/err.h>
#include <linux/ioport.h>
#include <linux/kobject.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static int order[8], done;

static void end(struct device *dev, void *res)
{
	order[done++ & 7] = *(int *)res;
}

static int add(struct device *dev, int n)
{
	int *res = devres_alloc(end, sizeof(*res), GFP_KERNEL);

	if (!res)
		return -ENOMEM;
	*res = n;
	devres_add(dev, res);
	return 0;
}

static int is(struct device *dev, void *res, void *data)
{
	return *(int *)res == (long)data;
}

static void act(void *data)
{
	order[done++ & 7] = (long)data;
}

static int check_devres(void)
{
	struct device *dev = root_device_register("lkm-conform-managed");
	void *group, *res;

	CHECK(!IS_ERR(dev));
	CHECK(!add(dev, 1) && !add(dev, 2));
	CHECK(devres_find(dev, end, NULL, NULL) && *(int *)devres_find(dev, end, NULL, NULL) == 2);
	CHECK(*(int *)devres_find(dev, end, is, (void *)1) == 1);
	CHECK(!devres_find(dev, end, is, (void *)9));
	res = devres_remove(dev, end, is, (void *)1);
	CHECK(res && done == 0);
	devres_free(res);
	CHECK(devres_destroy(dev, end, is, (void *)1) == -ENOENT);
	CHECK(!devres_release(dev, end, is, (void *)2) && done == 1 && order[0] == 2);
	group = devres_open_group(dev, NULL, GFP_KERNEL);
	CHECK(group && !add(dev, 3) && !add(dev, 4));
	devres_close_group(dev, group);
	CHECK(!add(dev, 5));
	CHECK(devres_release_group(dev, group) == 2 && done == 3 && order[1] == 4 && order[2] == 3);
	group = devres_open_group(dev, NULL, GFP_KERNEL);
	devres_close_group(dev, group);
	devres_remove_group(dev, group);
	CHECK(!strcmp(devm_kstrdup(dev, "text", GFP_KERNEL), "text"));
	CHECK(!strcmp(devm_kasprintf(dev, GFP_KERNEL, "%s-%d", "a", 5), "a-5"));
	CHECK(!devm_add_action(dev, act, (void *)6) && !devm_add_action(dev, act, (void *)7));
	devm_remove_action(dev, act, (void *)6);
	root_device_unregister(dev);
	/* What is left goes with the device, last first: 7, then 5. */
	CHECK(done == 5 && order[3] == 7 && order[4] == 5);
	return 0;
}

static ssize_t size_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "1\n");
}

static DEVICE_ATTR_RO(size);
static struct attribute *attrs[] = { &dev_attr_size.attr, NULL };
static const struct attribute_group group = { .attrs = attrs };
static const struct attribute_group named = { .name = "named", .attrs = attrs };
static const struct attribute_group *groups[] = { &named, &group, NULL };

static int check_attributes(void)
{
	struct device *dev = root_device_register("lkm-conform-attrs");
	const struct attribute *list[] = { &dev_attr_size.attr, NULL };
	char *path;

	CHECK(!IS_ERR(dev));
	CHECK(!device_create_file(dev, &dev_attr_size));
	device_remove_file(dev, &dev_attr_size);
	CHECK(!device_add_groups(dev, groups));
	device_remove_groups(dev, groups);
	CHECK(!device_add_groups(dev, groups));
	device_remove_groups(dev, groups);
	CHECK(!sysfs_create_files(&dev->kobj, list));
	sysfs_remove_files(&dev->kobj, list);
	path = kobject_get_path(&dev->kobj, GFP_KERNEL);
	CHECK(path && !strcmp(path, "/devices/lkm-conform-attrs"));
	kfree(path);
	root_device_unregister(dev);
	return 0;
}

static const struct resource parts[] = {
	{ .start = 0x2c0, .end = 0x2c7, .flags = IORESOURCE_IO, .name = "ports" },
	{ .start = 5, .end = 5, .flags = IORESOURCE_IRQ },
	{ .start = 0x2d0, .end = 0x2d3, .flags = IORESOURCE_IO, .name = "more" },
};

static int check_resources(void)
{
	struct platform_device *pdev = platform_device_register_simple("lkm-conform-parts", 2, parts, 3);
	struct resource *r;

	CHECK(!IS_ERR(pdev) && pdev->num_resources == 3);
	r = platform_get_resource(pdev, IORESOURCE_IO, 1);
	CHECK(r && r->start == 0x2d0 && resource_size(r) == 4);
	CHECK(!platform_get_resource(pdev, IORESOURCE_IO, 2));
	CHECK(!platform_get_resource(pdev, IORESOURCE_MEM, 0));
	r = platform_get_resource_byname(pdev, IORESOURCE_IO, "ports");
	CHECK(r && r->start == 0x2c0);
	CHECK(platform_get_irq(pdev, 0) == 5);
	platform_device_unregister(pdev);
	return 0;
}

static int matched, probed, removed, seen;

static int match(struct device *dev, struct device_driver *drv)
{
	matched++;
	return !strncmp(dev_name(dev), "fits", 4);
}

static int probe(struct device *dev)
{
	probed++;
	return 0;
}

static void remove(struct device *dev)
{
	removed++;
}

static struct bus_type bus = { .name = "lkm-conform-bus", .match = match, .probe = probe, .remove = remove };
static struct device_driver driver = { .name = "lkm-conform-driver", .bus = &bus };

static void release(struct device *dev)
{
	kfree(dev);
}

static struct device *make(const char *name)
{
	struct device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	dev->bus = &bus;
	dev->release = release;
	if (dev_set_name(dev, "%s", name) || device_register(dev)) {
		put_device(dev);
		return NULL;
	}
	return dev;
}

static int look(struct device *dev, void *data)
{
	seen++;
	return 0;
}

static int check_bus(void)
{
	struct device *early, *late, *other;

	CHECK(!bus_register(&bus));
	early = make("fits-early");
	CHECK(early && !matched && !probed);
	CHECK(!driver_register(&driver) && matched == 1 && probed == 1 && early->driver == &driver);
	CHECK(driver_find("lkm-conform-driver", &bus) == &driver && !driver_find("none", &bus));
	late = make("fits-late");
	other = make("other");
	CHECK(late && other && probed == 2 && matched == 3 && !other->driver);
	CHECK(!bus_for_each_dev(&bus, NULL, NULL, look) && seen == 3);
	device_unregister(late);
	CHECK(removed == 1);
	driver_unregister(&driver);
	CHECK(removed == 2 && !early->driver);
	device_unregister(other);
	device_unregister(early);
	bus_unregister(&bus);
	return 0;
}

CHECKS(check_devres, check_attributes, check_resources, check_bus);
