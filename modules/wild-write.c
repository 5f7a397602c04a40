// SPDX-License-Identifier: GPL-2.0
/* An index that was never set scales a pointer into nowhere. */
//#Verdict: findings
//#Expect: wild-access init
//#May: oops
//#May: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>

static unsigned long base = 0x7f3300000000ul;
module_param(base, ulong, 0444);

static int __init wild_write_init(void)
{
	unsigned int *slot = (unsigned int *)(base + 0x5a5a0);

	WRITE_ONCE(*slot, 0x77);
	return 0;
}

static void __exit wild_write_exit(void)
{
}

module_init(wild_write_init);
module_exit(wild_write_exit);
MODULE_LICENSE("GPL");
