// SPDX-License-Identifier: GPL-2.0
/* symbol_get() on another module, whose function it keeps in its data: a reference that no list shows. */
//#With: chain-base.ko
//#Verdict: findings
//#Expect: module-pinned "chain_base"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int chain_base_add(int n);

static int (*kept)(int n);

static int __init live_keeper_init(void)
{
	kept = symbol_get(chain_base_add);
	return kept ? 0 : -ENOENT;
}

static void __exit live_keeper_exit(void)
{
	pr_info("still %d\n", kept(1));
}

module_init(live_keeper_init);
module_exit(live_keeper_exit);
MODULE_LICENSE("GPL");
