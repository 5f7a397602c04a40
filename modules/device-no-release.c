// SPDX-License-Identifier: GPL-2.0
/* A static device without a release function. */
//#Verdict: findings
//#Expect: no-release exit
//#May: no-release init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/device.h>
#include <linux/module.h>

static struct device panel = { .init_name = "lkm-panel" };

static int __init device_no_release_init(void)
{
	int ret = device_register(&panel);

	if (ret)
		put_device(&panel);
	return ret;
}

static void __exit device_no_release_exit(void)
{
	device_unregister(&panel);
}

module_init(device_no_release_init);
module_exit(device_no_release_exit);
MODULE_LICENSE("GPL");
