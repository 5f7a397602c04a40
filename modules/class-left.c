// SPDX-License-Identifier: GPL-2.0
/* A device class is made in init and never destroyed. */
//#Verdict: findings
//#Expect: left-registered "class"
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>

static struct class *toys;

static int __init class_left_init(void)
{
	toys = class_create(THIS_MODULE, "lkm-toys");
	return PTR_ERR_OR_ZERO(toys);
}

static void __exit class_left_exit(void)
{
}

module_init(class_left_init);
module_exit(class_left_exit);
MODULE_LICENSE("GPL");
