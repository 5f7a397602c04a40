// SPDX-License-Identifier: GPL-2.0
/* The top of a chain of three. Correct. */
//#With: chain-base.ko chain-middle.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int chain_base_add(int n);
extern int chain_middle_twice(int n);

static int __init chain_top_init(void)
{
	int sum = chain_middle_twice(20);

	if (sum < 40)
		return -EINVAL;
	pr_info("total %d\n", chain_base_add(-40));
	return 0;
}

static void __exit chain_top_exit(void)
{
}

module_init(chain_top_init);
module_exit(chain_top_exit);
MODULE_LICENSE("GPL");
