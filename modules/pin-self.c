// SPDX-License-Identifier: GPL-2.0
/* Init takes a reference on its own module and nobody gives it back. */
//#Verdict: findings
//#Expect: module-pinned "pin_self_init"
//#May: self-module-get
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-11 silent
#include <linux/module.h>

static int __init pin_self_init(void)
{
	__module_get(THIS_MODULE);
	return 0;
}

static void __exit pin_self_exit(void)
{
}

module_init(pin_self_init);
module_exit(pin_self_exit);
MODULE_LICENSE("GPL");
