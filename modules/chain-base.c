// SPDX-License-Identifier: GPL-2.0
/* The lowest of a chain of three: exports a counter. Correct. */
//#Verdict: clean
//#Result: load=0 init=0
//#Real: load=0 unload=0 silent
//#Numbers: 100 -> 250
#include <linux/atomic.h>
#include <linux/module.h>

static atomic_t total = ATOMIC_INIT(0);

int chain_base_add(int n);
int chain_base_add(int n)
{
	return atomic_add_return(n, &total);
}
EXPORT_SYMBOL_GPL(chain_base_add);

int chain_base_limit = 100;
EXPORT_SYMBOL(chain_base_limit);

MODULE_LICENSE("GPL");
