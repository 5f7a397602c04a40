// SPDX-License-Identifier: GPL-2.0
/* symbol_get() on another module and no symbol_put(): that module can no longer be unloaded. */
//#With: chain-base.ko
//#Verdict: findings
//#Expect: module-pinned "chain_base"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: add(1 -> add(5
#include <linux/module.h>

extern int chain_base_add(int n);

static int __init pin_symbol_init(void)
{
	int (*add)(int) = symbol_get(chain_base_add);

	if (!add)
		return -ENOENT;
	pr_info("now %d\n", add(1));
	return 0;
}

static void __exit pin_symbol_exit(void)
{
}

module_init(pin_symbol_init);
module_exit(pin_symbol_exit);
MODULE_LICENSE("GPL");
