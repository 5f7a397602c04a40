// SPDX-License-Identifier: GPL-2.0
/* Hangs a callback on another module and takes it off: correct. */
//#With: hooks.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/list.h>
#include <linux/module.h>

struct hook {
	struct list_head node;
	int (*call)(int);
};

extern void hooks_add(struct hook *hook);
extern void hooks_del(struct hook *hook);

static int double_it(int n)
{
	return 2 * n;
}

static struct hook hook = { .call = double_it };

static int __init hooks_user_init(void)
{
	hooks_add(&hook);
	return 0;
}

static void __exit hooks_user_exit(void)
{
	hooks_del(&hook);
}

module_init(hooks_user_init);
module_exit(hooks_user_exit);
MODULE_LICENSE("GPL");
