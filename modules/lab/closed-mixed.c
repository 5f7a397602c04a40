// SPDX-License-Identifier: GPL-2.0
/* Uses a GPL-only symbol and one of a proprietary module: refused. */
//#With: closed-export.ko chain-base.ko
//#Build: blind
//#Result: load=-2 exit=not-run
//#Real: load=-2 log "inheriting taint"
#include <linux/module.h>

extern int chain_base_add(int n);
extern int closed_number(void);

static int __init closed_mixed_init(void)
{
	int sum = chain_base_add(0);

	return sum + closed_number() ? 0 : -EINVAL;
}

static void __exit closed_mixed_exit(void)
{
}

module_init(closed_mixed_init);
module_exit(closed_mixed_exit);
MODULE_LICENSE("GPL");
