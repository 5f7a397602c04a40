// SPDX-License-Identifier: GPL-2.0
/* The last link of a chain, which cannot load: what it needs is not there. */
//#Verdict: clean
//#Result: load=-5 init=-5 exit=not-run
//#Real: load=-5 silent
#include <linux/errno.h>
#include <linux/module.h>

static int __init link_three_init(void)
{
	pr_info("link-three: nothing there\n");
	return -EIO;
}

static void __exit link_three_exit(void)
{
}

module_init(link_three_init);
module_exit(link_three_exit);
MODULE_ALIAS("lkm-link-three");
MODULE_LICENSE("GPL");
