// SPDX-License-Identifier: GPL-2.0
/* What is asked for by an alias. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: none
#include <linux/module.h>

static int __init asked_init(void)
{
	pr_info("asked: here\n");
	return 0;
}

static void __exit asked_exit(void)
{
}

module_init(asked_init);
module_exit(asked_exit);
MODULE_ALIAS("lkm-asked");
MODULE_LICENSE("GPL");
