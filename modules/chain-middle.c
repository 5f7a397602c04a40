// SPDX-License-Identifier: GPL-2.0
/* The middle of a chain of three: uses the base, exports to the top. Correct. */
//#With: chain-base.ko
//#Verdict: clean
//#Result: load=0 init=0
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int chain_base_add(int n);
extern int chain_base_limit;

int chain_middle_twice(int n);
int chain_middle_twice(int n)
{
	if (2 * n > chain_base_limit)
		return -ERANGE;
	return chain_base_add(2 * n);
}
EXPORT_SYMBOL_GPL(chain_middle_twice);

MODULE_LICENSE("GPL");
