// SPDX-License-Identifier: GPL-2.0
/* Tests a weak symbol before it calls it: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int nobody_has_this_either(void) __attribute__((weak));

static int __init weak_symbol_ok_init(void)
{
	if (nobody_has_this_either)
		return nobody_has_this_either();
	return 0;
}

static void __exit weak_symbol_ok_exit(void)
{
}

module_init(weak_symbol_ok_init);
module_exit(weak_symbol_ok_exit);
MODULE_LICENSE("GPL");
