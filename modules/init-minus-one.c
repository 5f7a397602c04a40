// SPDX-License-Identifier: GPL-2.0
/* Init fails with a bare -1, which insmod reports as "Operation not permitted". */
//#Verdict: findings
//#Expect: init-return-value init "-1"
//#Result: load=-1 init=-1 exit=not-run
//#Real: load=-1 silent
#include <linux/module.h>

static int __init init_minus_one_init(void)
{
	return -1;
}

static void __exit init_minus_one_exit(void)
{
}

module_init(init_minus_one_init);
module_exit(init_minus_one_exit);
MODULE_LICENSE("GPL");
