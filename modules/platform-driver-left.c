// SPDX-License-Identifier: GPL-2.0
/* The platform driver stays on its bus. */
//#Verdict: findings
//#Expect: left-registered "driver"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/platform_device.h>

static int nothing_probe(struct platform_device *pdev)
{
	return -ENODEV;
}

static struct platform_driver nothing_driver = {
	.probe = nothing_probe,
	.driver = { .name = "lkm-nothing" },
};

static int __init platform_driver_left_init(void)
{
	return platform_driver_register(&nothing_driver);
}

static void __exit platform_driver_left_exit(void)
{
}

module_init(platform_driver_left_init);
module_exit(platform_driver_left_exit);
MODULE_LICENSE("GPL");
