// SPDX-License-Identifier: GPL-2.0
/* Exports a name that another module exports too. */
//#With: chain-base.ko
//#Build: blind
//#Result: load=-8 exit=not-run
//#Real: load=-8 log "exports duplicate symbol chain_base_add (owned by chain_base)"
#include <linux/module.h>

int chain_base_add(int n);
int chain_base_add(int n)
{
	return n;
}
EXPORT_SYMBOL_GPL(chain_base_add);

MODULE_LICENSE("GPL");
