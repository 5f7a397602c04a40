// SPDX-License-Identifier: GPL-2.0
/* Gives another module an exit of its own, and goes first: the other's exit points into freed memory. */
//#With: hello.ko
//#Verdict: findings
//#Expect: forced-unload init at gives_exit_init "hello: exit"
//#Expect: dangling-exit "the exit of hello is in gives_exit"
//#May: oops
//#May: wedged-module
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/string.h>

static void other_exit(void)
{
	pr_info("gives-exit: exit of somebody else\n");
}

static int __init gives_exit_init(void)
{
	struct module *other;

	list_for_each_entry(other, &THIS_MODULE->list, list)
		if (!strcmp(other->name, "hello")) {
			other->exit = other_exit;
			pr_info("gives-exit: %s has another exit\n", other->name);
			return 0;
		}
	return -ENOENT;
}

static void __exit gives_exit_exit(void)
{
}

module_init(gives_exit_init);
module_exit(gives_exit_exit);
MODULE_LICENSE("GPL");
