// SPDX-License-Identifier: GPL-2.0
/*
 * Load and unload, step by step: a module that says where it is, answers what it is told, and
 * lets another one use it.
 *
 * ret=N   what init answers
 */
//#Args: ret=0
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Log: "steps: exit"
//#Real: load=0 unload=0 silent
//#Numbers: n + 1 -> n + 5
#include <linux/module.h>

static int ret;
module_param(ret, int, 0444);

int steps_walk(int n);
int steps_walk(int n)
{
	return n + 1;
}
EXPORT_SYMBOL(steps_walk);

static int __init steps_init(void)
{
	pr_info("steps: init, refcount %d\n", (int)module_refcount(THIS_MODULE));
	return ret;
}

static void __exit steps_exit(void)
{
	pr_info("steps: exit\n");
}

module_init(steps_init);
module_exit(steps_exit);
MODULE_LICENSE("GPL");
