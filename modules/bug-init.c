// SPDX-License-Identifier: GPL-2.0
/* Init runs into a BUG_ON. */
//#Args: slots=12
//#Verdict: findings
//#Expect: oops init at bug_init_init
//#Expect: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>

static int slots = 4;
module_param(slots, int, 0444);

static int __init bug_init_init(void)
{
	BUG_ON(slots > 8);
	return 0;
}

static void __exit bug_init_exit(void)
{
}

module_init(bug_init_init);
module_exit(bug_init_exit);
MODULE_LICENSE("GPL");
