// SPDX-License-Identifier: GPL-2.0
/* Two owners free the same buffer. */
//#Verdict: findings
//#Expect: double-free exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/module.h>
#include <linux/slab.h>

struct owner {
	char *buffer;
};

static struct owner a, b;

static noinline void drop(struct owner *o)
{
	kfree(o->buffer);
	o->buffer = NULL;
}

static int __init double_free_init(void)
{
	a.buffer = kmalloc(200, GFP_KERNEL);
	if (!a.buffer)
		return -ENOMEM;
	b = a;
	return 0;
}

static void __exit double_free_exit(void)
{
	drop(&a);
	drop(&b);
}

module_init(double_free_init);
module_exit(double_free_exit);
MODULE_LICENSE("GPL");
