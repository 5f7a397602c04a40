// SPDX-License-Identifier: GPL-2.0
/* Uses a symbol of a proprietary module and nothing that is for GPL modules only. */
//#With: closed-export.ko
//#Build: blind
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "inheriting taint"
#include <linux/module.h>

extern int closed_number(void);

static int __init closed_user_init(void)
{
	return closed_number() == 13 ? 0 : -EINVAL;
}

static void __exit closed_user_exit(void)
{
}

module_init(closed_user_init);
module_exit(closed_user_exit);
MODULE_LICENSE("GPL");
