// SPDX-License-Identifier: GPL-2.0
/* Exit frees a list while it reads each next pointer from the entry just freed. */
//#Verdict: findings
//#Expect: use-after-free exit
//#May: oops
//#May: wedged-module
//#May: memory-leak
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>

struct card {
	int value;
	struct list_head node;
};

static LIST_HEAD(deck);

static int __init free_then_read_init(void)
{
	int n;

	for (n = 0; n < 5; n++) {
		struct card *c = kmalloc(sizeof(*c), GFP_KERNEL);

		if (!c)
			break;
		c->value = n;
		list_add(&c->node, &deck);
	}
	return 0;
}

static void __exit free_then_read_exit(void)
{
	struct card *c;

	list_for_each_entry(c, &deck, node)
		kfree(c);
}

module_init(free_then_read_init);
module_exit(free_then_read_exit);
MODULE_LICENSE("GPL");
