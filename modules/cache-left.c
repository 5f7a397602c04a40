// SPDX-License-Identifier: GPL-2.0
/* A slab cache is destroyed while one of its objects is still in use. */
//#Verdict: findings
//#Expect: cache-not-empty exit
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>

struct token {
	int serial;
	char text[40];
};

static struct kmem_cache *tokens;
static struct token *given[4];

static int __init cache_left_init(void)
{
	int n;

	tokens = KMEM_CACHE(token, 0);
	if (!tokens)
		return -ENOMEM;
	for (n = 0; n < ARRAY_SIZE(given); n++)
		given[n] = kmem_cache_alloc(tokens, GFP_KERNEL);
	return 0;
}

static void __exit cache_left_exit(void)
{
	int n;

	for (n = 0; n < ARRAY_SIZE(given) - 1; n++)
		if (given[n])
			kmem_cache_free(tokens, given[n]);
	kmem_cache_destroy(tokens);
}

module_init(cache_left_init);
module_exit(cache_left_exit);
MODULE_LICENSE("GPL");
