// SPDX-License-Identifier: GPL-2.0
/* Registering and unregistering: what a second one answers. */
//#Conforms: alloc_chrdev_region register_chrdev_region unregister_chrdev_region
//#Conforms: __register_chrdev __unregister_chrdev misc_register misc_deregister
//#Conforms: register_filesystem unregister_filesystem __request_region __release_region
//#Conforms: request_threaded_irq free_irq ioremap iounmap cdev_init cdev_add cdev_del
//#Conforms: cdev_alloc netlink_kernel_release __netlink_kernel_create
//#May: release-unheld
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/miscdevice.h>
#include <linux/netlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include "check.h"

static const struct file_operations fops = { .owner = THIS_MODULE };

static int check_chrdev(void)
{
	struct cdev plain, *own;
	dev_t dev;
	int major;

	CHECK(!alloc_chrdev_region(&dev, 3, 2, "lkm-conform") && MAJOR(dev) && MINOR(dev) == 3);
	CHECK(register_chrdev_region(dev, 1, "lkm-conform-2") == -EBUSY);
	CHECK(!register_chrdev_region(dev + 2, 1, "lkm-conform-2"));
	cdev_init(&plain, &fops);
	CHECK(!cdev_add(&plain, dev, 2) && plain.dev == dev && plain.count == 2);
	own = cdev_alloc();
	CHECK(own);
	own->ops = &fops;
	CHECK(!cdev_add(own, dev + 2, 1));
	cdev_del(own);
	cdev_del(&plain);
	unregister_chrdev_region(dev + 2, 1);
	unregister_chrdev_region(dev, 2);
	major = register_chrdev(0, "lkm-conform", &fops);
	CHECK(major > 0 && register_chrdev(major, "lkm-conform", &fops) == -EBUSY);
	unregister_chrdev(major, "lkm-conform");
	CHECK(register_chrdev(major, "lkm-conform", &fops) == 0);
	unregister_chrdev(major, "lkm-conform");
	return 0;
}

static int check_misc(void)
{
	static struct miscdevice a = { MISC_DYNAMIC_MINOR, "lkm-conform-a", &fops };
	static struct miscdevice b = { 0, "lkm-conform-b", &fops };

	CHECK(!misc_register(&a) && a.minor != MISC_DYNAMIC_MINOR && a.this_device);
	b.minor = a.minor;
	CHECK(misc_register(&b) == -EBUSY);
	misc_deregister(&a);
	CHECK(!misc_register(&b));
	misc_deregister(&b);
	return 0;
}

static int no_context(struct fs_context *fc)
{
	return -ENODEV;
}

static int check_filesystem(void)
{
	static struct file_system_type a = { .owner = THIS_MODULE, .name = "lkm-conform", .init_fs_context = no_context };
	static struct file_system_type b = { .owner = THIS_MODULE, .name = "lkm-conform", .init_fs_context = no_context };

	CHECK(!register_filesystem(&a) && register_filesystem(&b) == -EBUSY);
	CHECK(unregister_filesystem(&b) == -EINVAL);
	CHECK(!unregister_filesystem(&a) && unregister_filesystem(&a) == -EINVAL);
	return 0;
}

static int check_regions(void)
{
	struct resource *r = request_region(0x2c0, 16, "lkm-conform");
	void __iomem *io;

	CHECK(r && r->start == 0x2c0 && r->end == 0x2cf && !strcmp(r->name, "lkm-conform"));
	CHECK(!request_region(0x2c8, 2, "lkm-conform-2"));
	release_region(0x2c0, 16);
	CHECK(request_region(0x2c8, 2, "lkm-conform-2"));
	release_region(0x2c8, 2);
	io = ioremap(0xfed00000, 0x400);
	CHECK(io);
	iounmap(io);
	return 0;
}

static irqreturn_t handle(int irq, void *dev)
{
	return IRQ_NONE;
}

static int check_irq(void)
{
	static int a, b;

	CHECK(request_irq(5, handle, IRQF_SHARED, "lkm-conform", NULL) == -EINVAL);
	CHECK(!request_irq(5, handle, IRQF_SHARED, "lkm-conform", &a));
	CHECK(!request_irq(5, handle, IRQF_SHARED, "lkm-conform", &b));
	CHECK(request_irq(5, handle, IRQF_PROBE_SHARED, "lkm-conform", &a) == -EBUSY);
	CHECK(!strcmp(free_irq(5, &a), "lkm-conform"));
	free_irq(5, &b);
	CHECK(request_irq(1 << 30, handle, 0, "lkm-conform", &a) == -EINVAL);
	return 0;
}

static void hear(struct sk_buff *skb)
{
}

static int check_netlink(void)
{
	struct netlink_kernel_cfg cfg = { .input = hear };
	struct sock *a = netlink_kernel_create(&init_net, 28, &cfg);

	CHECK(a && !netlink_kernel_create(&init_net, 28, &cfg));
	CHECK(!netlink_kernel_create(&init_net, 32, &cfg));
	netlink_kernel_release(a);
	a = netlink_kernel_create(&init_net, 28, NULL);
	CHECK(a);
	netlink_kernel_release(a);
	return 0;
}

CHECKS(check_chrdev, check_misc, check_filesystem, check_regions, check_irq, check_netlink);
