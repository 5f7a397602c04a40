// SPDX-License-Identifier: GPL-2.0
/* Its init asks for the module itself, by its name: modprobe waits for a load that waits for modprobe. */
//#Verdict: findings
//#Expect: autoload-deadlock init
//#May: deadlock
//#May: wedged-module
//#Real: unsafe
//#Numbers: none
#include <linux/kmod.h>
#include <linux/module.h>

static int __init asks_itself_init(void)
{
	int ret = request_module("asks-itself");

	pr_info("asks-itself: %d\n", ret);
	return 0;
}

static void __exit asks_itself_exit(void)
{
}

module_init(asks_itself_init);
module_exit(asks_itself_exit);
MODULE_LICENSE("GPL");
