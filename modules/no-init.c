// SPDX-License-Identifier: GPL-2.0
/* Only an exit: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

static void __exit no_init_exit(void)
{
	pr_info("only an exit\n");
}

module_exit(no_init_exit);
MODULE_LICENSE("GPL");
