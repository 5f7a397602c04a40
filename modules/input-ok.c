// SPDX-License-Identifier: GPL-2.0
/* An input device, registered, fed and unregistered: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/input.h>
#include <linux/module.h>

static struct input_dev *button;

static int __init input_ok_init(void)
{
	int ret;

	button = input_allocate_device();
	if (!button)
		return -ENOMEM;
	button->name = "lkm button";
	input_set_capability(button, EV_KEY, BTN_0);
	ret = input_register_device(button);
	if (ret) {
		input_free_device(button);
		return ret;
	}
	input_report_key(button, BTN_0, 1);
	input_sync(button);
	return 0;
}

static void __exit input_ok_exit(void)
{
	input_unregister_device(button);
}

module_init(input_ok_init);
module_exit(input_ok_exit);
MODULE_LICENSE("GPL");
