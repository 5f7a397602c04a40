// SPDX-License-Identifier: GPL-2.0
/* The input device stays registered; its input core reference is never given back either. */
//#Verdict: findings
//#Expect: left-registered "input"
//#May: memory-leak
//#May: module-pinned
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/input.h>
#include <linux/module.h>

static struct input_dev *wheel;

static int __init input_left_init(void)
{
	int ret;

	wheel = input_allocate_device();
	if (!wheel)
		return -ENOMEM;
	wheel->name = "lkm wheel";
	input_set_capability(wheel, EV_REL, REL_WHEEL);
	ret = input_register_device(wheel);
	if (ret)
		input_free_device(wheel);
	return ret;
}

static void __exit input_left_exit(void)
{
}

module_init(input_left_init);
module_exit(input_left_exit);
MODULE_LICENSE("GPL");
