// SPDX-License-Identifier: GPL-2.0
/* Init warns once and goes on: a message and a taint, but nothing is broken. Correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "WARNING: CPU:"
#include <linux/module.h>

static int __init warn_init_init(void)
{
	WARN(1, "only a warning, number %d\n", 5);
	return 0;
}

static void __exit warn_init_exit(void)
{
}

module_init(warn_init_init);
module_exit(warn_init_exit);
MODULE_LICENSE("GPL");
