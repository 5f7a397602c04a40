// SPDX-License-Identifier: GPL-2.0
/* A member far behind an error pointer lies at the start of memory: it looks like one behind NULL, and is not. */
//#Verdict: findings
//#Expect: err-ptr-unchecked init "platform_device_register"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/platform_device.h>

static struct platform_device *device;

static int __init err_ptr_far_init(void)
{
	device = platform_device_register_simple("lkm-far", -1, NULL, 0);
	if (!device)
		return -ENOMEM;
	pr_info("err_ptr_far: driver %p\n", READ_ONCE(device->dev.driver));
	return 0;
}

static void __exit err_ptr_far_exit(void)
{
	platform_device_unregister(device);
}

module_init(err_ptr_far_init);
module_exit(err_ptr_far_exit);
MODULE_LICENSE("GPL");
