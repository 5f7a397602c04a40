// SPDX-License-Identifier: GPL-2.0
/* Needs a function that nobody exports: refused. */
//#Result: load=-2 exit=not-run
//#Real: load=-2 log "Unknown symbol nobody_has_this_function (err -2)"
#include <linux/module.h>

extern int nobody_has_this_function(int n);

static int __init unknown_symbol_init(void)
{
	return nobody_has_this_function(3);
}

static void __exit unknown_symbol_exit(void)
{
}

module_init(unknown_symbol_init);
module_exit(unknown_symbol_exit);
MODULE_LICENSE("GPL");
