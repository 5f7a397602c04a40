// SPDX-License-Identifier: GPL-2.0
/* The name is taken, so the second registration answers an error pointer; it is tested for NULL. */
//#Verdict: findings
//#Expect: err-ptr-unchecked init
//#May: oops
//#May: wedged-module
//#May: left-registered
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>
#include <linux/platform_device.h>

static struct platform_device *one, *two;

static int __init err_ptr_init(void)
{
	one = platform_device_register_simple("lkm-pair", 0, NULL, 0);
	if (!one)
		return -ENODEV;
	two = platform_device_register_simple("lkm-pair", 0, NULL, 0);
	if (!two) {
		platform_device_unregister(one);
		return -ENODEV;
	}
	pr_info("%s and %s\n", one->name, two->name);
	return 0;
}

static void __exit err_ptr_exit(void)
{
	platform_device_unregister(two);
	platform_device_unregister(one);
}

module_init(err_ptr_init);
module_exit(err_ptr_exit);
MODULE_LICENSE("GPL");
