// SPDX-License-Identifier: GPL-2.0
/* The dependent of the step-by-step story: holds it while it is loaded. */
//#With: steps.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: steps_walk(1 -> steps_walk(3
#include <linux/module.h>

extern int steps_walk(int n);

static int __init steps_user_init(void)
{
	pr_info("steps-user: %d\n", steps_walk(1));
	return 0;
}

static void __exit steps_user_exit(void)
{
	pr_info("steps-user: exit\n");
}

module_init(steps_user_init);
module_exit(steps_user_exit);
MODULE_LICENSE("GPL");
