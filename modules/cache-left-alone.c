// SPDX-License-Identifier: GPL-2.0
/* The same with a constructor, so that the cache is not merged with another and the kernel notices. */
//#Verdict: findings
//#Expect: cache-not-empty exit
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "Slab cache still has objects" alone
#include <linux/module.h>
#include <linux/slab.h>

struct ticket {
	int serial;
	char text[40];
};

static void number(void *object)
{
	struct ticket *t = object;

	t->serial = -1;
}

static struct kmem_cache *tickets;
static struct ticket *given[4];

static int __init cache_left_alone_init(void)
{
	int n;

	tickets = kmem_cache_create("lkm-ticket", sizeof(struct ticket), 0, 0, number);
	if (!tickets)
		return -ENOMEM;
	for (n = 0; n < ARRAY_SIZE(given); n++)
		given[n] = kmem_cache_alloc(tickets, GFP_KERNEL);
	return 0;
}

static void __exit cache_left_alone_exit(void)
{
	int n;

	for (n = 0; n < ARRAY_SIZE(given) - 1; n++)
		if (given[n])
			kmem_cache_free(tickets, given[n]);
	kmem_cache_destroy(tickets);
}

module_init(cache_left_alone_init);
module_exit(cache_left_alone_exit);
MODULE_LICENSE("GPL");
