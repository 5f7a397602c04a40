// SPDX-License-Identifier: GPL-2.0
/* Init answers with a count: the kernel calls that suspicious and loads the module anyway. */
//#Verdict: findings
//#Expect: init-return-value init "3"
//#Result: load=0 init=3 exit=done
//#Real: load=0 unload=0 log "suspiciously returned 3"
#include <linux/module.h>

static int __init init_positive_init(void)
{
	return 3;
}

static void __exit init_positive_exit(void)
{
}

module_init(init_positive_init);
module_exit(init_positive_exit);
MODULE_LICENSE("GPL");
