// SPDX-License-Identifier: GPL-2.0
/* Takes references on itself and never gives them back. */
//#Verdict: findings
//#Expect: module-pinned "live_leak_init"
//#May: self-module-get
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-11 silent
#include <linux/module.h>

static int n = 1;
module_param(n, int, 0444);

static int __init live_leak_init(void)
{
	int i;

	for (i = 0; i < n; i++)
		__module_get(THIS_MODULE);
	return 0;
}

static void __exit live_leak_exit(void)
{
	pr_info("exit has run\n");
}

module_init(live_leak_init);
module_exit(live_leak_exit);
MODULE_LICENSE("GPL");
