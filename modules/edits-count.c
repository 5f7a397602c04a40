// SPDX-License-Identifier: GPL-2.0
/* Writes the reference count of another module by hand, which it finds in the module list. */
//#With: hello.ko
//#Verdict: findings
//#Expect: forced-unload init at edits_count_init "hello: reference count 0 is now 3"
//#Expect: forced-unload exit at edits_count_exit "hello: reference count 3 is now 0"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/string.h>

static struct module *victim;

static int __init edits_count_init(void)
{
	struct module *other;

	list_for_each_entry(other, &THIS_MODULE->list, list)
		if (!strcmp(other->name, "hello")) {
			victim = other;
			break;
		}
	if (!victim)
		return -ENOENT;
	atomic_add(3, &victim->refcnt);
	pr_info("edits-count: %s is pinned\n", victim->name);
	return 0;
}

static void __exit edits_count_exit(void)
{
	atomic_sub(3, &victim->refcnt);
	pr_info("edits-count: %s is free\n", victim->name);
}

module_init(edits_count_init);
module_exit(edits_count_exit);
MODULE_LICENSE("GPL");
