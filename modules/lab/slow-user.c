// SPDX-License-Identifier: GPL-2.0
/* Uses a function of a module that may still be in its init. */
//#With: slow-init.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int slow_number(void);

static int __init slow_user_init(void)
{
	return slow_number() == 7 ? 0 : -EINVAL;
}

static void __exit slow_user_exit(void)
{
}

module_init(slow_user_init);
module_exit(slow_user_exit);
MODULE_LICENSE("GPL");
