// SPDX-License-Identifier: GPL-2.0
/*
 * A link of a chain: its init asks for the next one by an alias and tells what it was answered.
 *
 * strict=1   it does not load without the next one
 */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/errno.h>
#include <linux/kmod.h>
#include <linux/module.h>

static bool strict;
module_param(strict, bool, 0444);

static int __init link_two_init(void)
{
	int ret = request_module("lkm-link-three");

	pr_info("link-two: asked for three, answered %d\n", ret);
	if (strict && ret)
		return -ENOENT;
	return 0;
}

static void __exit link_two_exit(void)
{
}

module_init(link_two_init);
module_exit(link_two_exit);
MODULE_ALIAS("lkm-link-two");
MODULE_LICENSE("GPL");
