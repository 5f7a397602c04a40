// SPDX-License-Identifier: GPL-2.0
/* A slab cache with a constructor, emptied and destroyed: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>

struct token {
	int serial;
	char text[40];
};

static struct kmem_cache *tokens;
static struct token *given[16];

static void token_ctor(void *object)
{
	struct token *t = object;

	t->serial = -1;
}

static int __init cache_ok_init(void)
{
	int n;

	tokens = kmem_cache_create("lkm-token", sizeof(struct token), 0, 0, token_ctor);
	if (!tokens)
		return -ENOMEM;
	for (n = 0; n < ARRAY_SIZE(given); n++) {
		given[n] = kmem_cache_alloc(tokens, GFP_KERNEL);
		if (!given[n])
			break;
		given[n]->serial = n;
	}
	return 0;
}

static void __exit cache_ok_exit(void)
{
	int n;

	for (n = 0; n < ARRAY_SIZE(given); n++)
		if (given[n])
			kmem_cache_free(tokens, given[n]);
	kmem_cache_destroy(tokens);
}

module_init(cache_ok_init);
module_exit(cache_ok_exit);
MODULE_LICENSE("GPL");
