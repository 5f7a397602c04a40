// SPDX-License-Identifier: GPL-2.0
/* The top of a chain of three whose own symbol_get of the lowest is never put. */
//#With: chain-base.ko chain-middle.ko
//#Verdict: findings
//#Expect: module-pinned "chain_base"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int chain_base_add(int n);
extern int chain_middle_twice(int n);

static int (*add)(int);

static int __init chain_leaf_leak_init(void)
{
	if (chain_middle_twice(1) < 0)
		return -EINVAL;
	add = symbol_get(chain_base_add);
	return add ? 0 : -ENOENT;
}

static void __exit chain_leaf_leak_exit(void)
{
	add(-2);
}

module_init(chain_leaf_leak_init);
module_exit(chain_leaf_leak_exit);
MODULE_LICENSE("GPL");
