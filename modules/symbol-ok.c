// SPDX-License-Identifier: GPL-2.0
/* symbol_get() with its symbol_put(), and one that is absent: correct. */
//#With: chain-base.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int chain_base_add(int n);
extern int surely_not_exported_by_anyone(void);

static int (*add)(int);

static int __init symbol_ok_init(void)
{
	if (symbol_get(surely_not_exported_by_anyone))
		return -EEXIST;
	add = symbol_get(chain_base_add);
	if (!add)
		return -ENOENT;
	add(5);
	return 0;
}

static void __exit symbol_ok_exit(void)
{
	add(-5);
	symbol_put(chain_base_add);
}

module_init(symbol_ok_init);
module_exit(symbol_ok_exit);
MODULE_LICENSE("GPL");
