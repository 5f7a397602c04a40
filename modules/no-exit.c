// SPDX-License-Identifier: GPL-2.0
/* Has an init and no exit: permanent, and meant to be. */
//#Verdict: clean
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-16 silent
#include <linux/module.h>

static int __init no_exit_init(void)
{
	return 0;
}

module_init(no_exit_init);
MODULE_LICENSE("GPL");
