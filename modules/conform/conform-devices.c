// SPDX-License-Identifier: GPL-2.0
/* The device core: devices, classes, platform devices and drivers, managed resources. */
//#Conforms: __class_create class_destroy device_create device_destroy dev_set_name
//#Conforms: device_register device_unregister put_device get_device class_find_device
//#Conforms: device_for_each_child platform_device_register_full platform_device_unregister
//#Conforms: __platform_driver_register platform_driver_unregister platform_device_alloc
//#Conforms: platform_device_add platform_device_put platform_device_add_data devm_kmalloc
//#Conforms: devm_kfree devm_add_action __root_device_register root_device_unregister
//#Conforms: device_match_name
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/kdev_t.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static int released, probed, removed, actions[4], acted;

static void release(struct device *dev)
{
	released++;
	kfree(dev);
}

static int count_child(struct device *dev, void *data)
{
	(*(int *)data)++;
	return 0;
}

static int check_device(void)
{
	struct device *parent = root_device_register("lkm-conform-root");
	struct device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int children = 0;

	CHECK(!IS_ERR(parent) && dev);
	dev->parent = parent;
	dev->release = release;
	dev_set_drvdata(dev, &children);
	CHECK(!dev_set_name(dev, "child-%d", 3));
	CHECK(!device_register(dev));
	CHECK(!strcmp(dev_name(dev), "child-3") && device_is_registered(dev));
	CHECK(dev_get_drvdata(dev) == &children);
	CHECK(!device_for_each_child(parent, &children, count_child) && children == 1);
	CHECK(get_device(dev) == dev);
	device_unregister(dev);
	CHECK(!released);
	put_device(dev);
	CHECK(released == 1);
	root_device_unregister(parent);
	return 0;
}

static int check_class(void)
{
	struct class *class = class_create(THIS_MODULE, "lkm-conform-class"), *again;
	struct device *dev, *found;

	CHECK(!IS_ERR(class));
	dev = device_create(class, NULL, MKDEV(0, 0), &probed, "member%d", 7);
	CHECK(!IS_ERR(dev) && dev_get_drvdata(dev) == &probed && dev->class == class);
	found = class_find_device_by_name(class, "member7");
	CHECK(found == dev && !class_find_device_by_name(class, "member8"));
	put_device(found);
	device_unregister(dev);
	dev = device_create(class, NULL, MKDEV(240, 5), NULL, "node");
	CHECK(!IS_ERR(dev));
	device_destroy(class, MKDEV(240, 5));
	CHECK(!class_find_device_by_name(class, "node"));
	class_destroy(class);
	again = class_create(THIS_MODULE, "lkm-conform-class");
	CHECK(!IS_ERR(again));
	class_destroy(again);
	return 0;
}

static void act(void *data)
{
	actions[acted++ & 3] = (long)data;
}

static int conform_probe(struct platform_device *pdev)
{
	int *data = dev_get_platdata(&pdev->dev), *mine;

	if (!data)
		return -ENODEV;
	mine = devm_kzalloc(&pdev->dev, 64, GFP_KERNEL);
	if (!mine || devm_add_action(&pdev->dev, act, (void *)1) ||
	    devm_add_action(&pdev->dev, act, (void *)2))
		return -ENOMEM;
	if (*data == 13)
		return -EIO;
	devm_kfree(&pdev->dev, devm_kzalloc(&pdev->dev, 8, GFP_KERNEL));
	probed++;
	platform_set_drvdata(pdev, mine);
	return 0;
}

static int conform_remove(struct platform_device *pdev)
{
	removed++;
	return 0;
}

static struct platform_driver driver = {
	.probe = conform_probe,
	.remove = conform_remove,
	.driver = { .name = "lkm-conform" },
};

static int check_platform(void)
{
	struct platform_device *bare, *pdev;
	int good = 1, bad = 13;

	CHECK(!platform_driver_register(&driver));
	bare = platform_device_register_simple("lkm-conform", -1, NULL, 0);
	CHECK(!IS_ERR(bare) && !probed && !bare->dev.driver);
	CHECK(!strcmp(dev_name(&bare->dev), "lkm-conform"));
	pdev = platform_device_register_data(NULL, "lkm-conform", 4, &good, sizeof(good));
	CHECK(!IS_ERR(pdev) && probed == 1 && pdev->dev.driver == &driver.driver);
	CHECK(!strcmp(dev_name(&pdev->dev), "lkm-conform.4") && platform_get_drvdata(pdev));
	CHECK(acted == 0);
	platform_device_unregister(pdev);
	CHECK(removed == 1 && acted == 2 && actions[0] == 2 && actions[1] == 1);
	pdev = platform_device_alloc("lkm-conform", 5);
	CHECK(pdev && !platform_device_add_data(pdev, &bad, sizeof(bad)));
	CHECK(!platform_device_add(pdev) && !pdev->dev.driver && acted == 4);
	platform_device_unregister(pdev);
	CHECK(removed == 1);
	platform_device_put(platform_device_alloc("lkm-conform", 6));
	platform_device_unregister(bare);
	platform_driver_unregister(&driver);
	return 0;
}

CHECKS(check_device, check_class, check_platform);
