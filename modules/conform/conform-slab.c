// SPDX-License-Identifier: GPL-2.0
/* Slab memory: contents, sizes, alignment, limits, caches. */
//#Conforms: kmalloc_trace __kmalloc kfree krealloc ksize kmem_cache_create kmem_cache_alloc
//#Conforms: kmem_cache_free kmem_cache_destroy kmemdup kstrdup kstrndup kasprintf
//#Conforms: kmem_cache_alloc_bulk kmem_cache_free_bulk kmemdup_nul kfree_sensitive kfree_const
//#Conforms: kstrdup_const kmem_cache_size
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static volatile size_t some = 100;

static bool all(const unsigned char *p, unsigned char c, size_t n)
{
	while (n--)
		if (*p++ != c)
			return false;
	return true;
}

static int check_kmalloc(void)
{
	size_t size;
	unsigned char *p, *q;

	for (size = 1; size <= 70000; size = size * 3 + 1) {
		p = kmalloc(size, GFP_KERNEL);
		CHECK(p);
		CHECK(ksize(p) >= size);
		CHECK(IS_ALIGNED((unsigned long)p, 8));
		memset(p, 0x5c, size);
		q = kzalloc(size, GFP_ATOMIC);
		CHECK(q && q != p);
		CHECK(all(q, 0, size) && all(p, 0x5c, size));
		kfree(q);
		kfree(p);
	}
	kfree(NULL);
	kfree(ZERO_SIZE_PTR);
	CHECK(kmalloc(some - 100, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(!kmalloc_array(SIZE_MAX / 4, some, GFP_KERNEL));
	p = kmalloc(40, GFP_KERNEL | __GFP_ZERO);
	CHECK(p && all(p, 0, 40));
	kfree_sensitive(p);
	return 0;
}

static int check_krealloc(void)
{
	unsigned char *p = krealloc(NULL, some, GFP_KERNEL);

	CHECK(p);
	memset(p, 0x21, 100);
	p = krealloc(p, some * 50, GFP_KERNEL);
	CHECK(p && all(p, 0x21, 100));
	p = krealloc(p, 30, GFP_KERNEL);
	CHECK(p && all(p, 0x21, 30));
	CHECK(krealloc(p, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	return 0;
}

static int check_copies(void)
{
	static const char text[] = "seven of nine";
	char *a = kstrdup(text, GFP_KERNEL), *b = kstrndup(text, 5, GFP_KERNEL);
	char *c = kmemdup(text, sizeof(text), GFP_KERNEL), *d = kmemdup_nul(text, 8, GFP_KERNEL);
	char *e = kasprintf(GFP_KERNEL, "%s/%d-%#x", text, 17, 255);
	const char *f = kstrdup_const(text, GFP_KERNEL);

	CHECK(a && b && c && d && e && f);
	CHECK(!strcmp(a, text) && a != text);
	CHECK(!strcmp(b, "seven"));
	CHECK(!memcmp(c, text, sizeof(text)));
	CHECK(!strcmp(d, "seven of"));
	CHECK(!strcmp(e, "seven of nine/17-0xff"));
	CHECK(!strcmp(f, text));
	CHECK(!kstrdup(NULL, GFP_KERNEL));
	kfree(a);
	kfree(b);
	kfree(c);
	kfree(d);
	kfree(e);
	kfree_const(f);
	return 0;
}

static int constructed;

static void construct(void *object)
{
	constructed++;
	*(int *)object = 4711;
}

static int check_cache(void)
{
	struct kmem_cache *cache = kmem_cache_create("lkm-conform", 72, 64, SLAB_HWCACHE_ALIGN,
						     construct);
	void *many[20];
	int n;

	CHECK(cache);
	CHECK(kmem_cache_size(cache) == 72);
	for (n = 0; n < 20; n++) {
		many[n] = kmem_cache_alloc(cache, GFP_KERNEL);
		CHECK(many[n]);
		CHECK(IS_ALIGNED((unsigned long)many[n], 64));
		CHECK(*(int *)many[n] == 4711);
	}
	CHECK(constructed >= 20);
	for (n = 0; n < 20; n++)
		kmem_cache_free(cache, many[n]);
	CHECK(kmem_cache_alloc_bulk(cache, GFP_KERNEL, 20, many) == 20);
	CHECK(many[0] != many[19]);
	kmem_cache_free_bulk(cache, 20, many);
	kmem_cache_destroy(cache);
	kmem_cache_destroy(NULL);
	return 0;
}

CHECKS(check_kmalloc, check_krealloc, check_copies, check_cache);
