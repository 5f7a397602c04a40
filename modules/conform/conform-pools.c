// SPDX-License-Identifier: GPL-2.0
/* Pools, counters on all CPUs, the less usual ways to memory, static keys counted. */
//#Conforms: mempool_create mempool_create_node mempool_alloc mempool_free mempool_destroy
//#Conforms: mempool_alloc_slab mempool_free_slab mempool_kmalloc mempool_kfree mempool_resize
//#Conforms: mempool_init mempool_exit __percpu_counter_init percpu_counter_destroy
//#Conforms: percpu_counter_add_batch percpu_counter_set __percpu_counter_sum
//#Conforms: __percpu_counter_compare percpu_counter_sync kmalloc_large __kmalloc_node
//#Conforms: kmem_cache_alloc_node kmem_cache_alloc_lru kmem_cache_shrink
//#Conforms: kmem_cache_create_usercopy kmalloc_node_trace __vmalloc vmalloc_node vzalloc_node
//#Conforms: vmalloc_user vmalloc_32 vcalloc vmalloc_array alloc_pages_exact free_pages_exact
//#Conforms: __alloc_percpu_gfp vmalloc_to_pfn kvfree_sensitive kvrealloc
//#Conforms: kmem_cache_create kmem_cache_destroy static_key_slow_inc static_key_slow_dec
//#Conforms: static_key_enable static_key_disable kvasprintf_const
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/jump_label.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/percpu_counter.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include "check.h"

static int check_pool(void)
{
	struct kmem_cache *cache = kmem_cache_create("lkm-conform-pool", 48, 0, 0, NULL);
	mempool_t *pool, embedded;
	void *p[4];
	int n;

	CHECK(cache);
	pool = mempool_create(2, mempool_alloc_slab, mempool_free_slab, cache);
	CHECK(pool && pool->min_nr == 2 && pool->curr_nr == 2);
	for (n = 0; n < 4; n++) {
		p[n] = mempool_alloc(pool, GFP_KERNEL);
		CHECK(p[n]);
	}
	/* Memory was there: the reserve is whole. */
	CHECK(pool->curr_nr == 2);
	for (n = 0; n < 4; n++)
		mempool_free(p[n], pool);
	mempool_free(NULL, pool);
	CHECK(!mempool_resize(pool, 5) && pool->min_nr == 5 && pool->curr_nr == 5);
	CHECK(!mempool_resize(pool, 1) && pool->min_nr == 1 && pool->curr_nr == 1);
	mempool_destroy(pool);
	kmem_cache_destroy(cache);
	pool = mempool_create_node(1, mempool_kmalloc, mempool_kfree, (void *)64, GFP_KERNEL, NUMA_NO_NODE);
	CHECK(pool);
	p[0] = mempool_alloc(pool, GFP_KERNEL);
	memset(p[0], 1, 64);
	mempool_free(p[0], pool);
	mempool_destroy(pool);
	mempool_destroy(NULL);
	CHECK(!mempool_init_kmalloc_pool(&embedded, 3, 32) && embedded.curr_nr == 3);
	mempool_exit(&embedded);
	return 0;
}

static int check_counter(void)
{
	struct percpu_counter c;

	CHECK(!percpu_counter_init(&c, 100, GFP_KERNEL));
	percpu_counter_add(&c, 5);
	percpu_counter_dec(&c);
	CHECK(percpu_counter_sum(&c) == 104);
	/* What is below the batch waits on its CPU. */
	CHECK(percpu_counter_read(&c) == 100);
	percpu_counter_sync(&c);
	CHECK(percpu_counter_sum(&c) == 104);
	percpu_counter_add(&c, 1000000);
	CHECK(percpu_counter_read(&c) >= 1000100 && percpu_counter_sum(&c) == 1000104);
	CHECK(percpu_counter_compare(&c, 5) == 1 && percpu_counter_compare(&c, 2000000) == -1);
	CHECK(percpu_counter_compare(&c, 1000104) == 0);
	percpu_counter_set(&c, -3);
	CHECK(percpu_counter_sum(&c) == -3 && percpu_counter_sum_positive(&c) == 0);
	percpu_counter_destroy(&c);
	return 0;
}

static int check_slab(void)
{
	struct kmem_cache *cache = kmem_cache_create_usercopy("lkm-conform-copy", 64, 8, 0, 16, 32, NULL);
	volatile size_t big = 100000, small = 40;
	void *p;

	CHECK(cache);
	p = kmem_cache_alloc_node(cache, GFP_KERNEL | __GFP_ZERO, NUMA_NO_NODE);
	CHECK(p && !memchr_inv(p, 0, 64));
	kmem_cache_free(cache, p);
	p = kmem_cache_alloc_lru(cache, NULL, GFP_KERNEL);
	CHECK(p);
	kmem_cache_free(cache, p);
	CHECK(kmem_cache_shrink(cache) == 0);
	kmem_cache_destroy(cache);
	p = kmalloc_large(big, GFP_KERNEL);
	CHECK(p && ksize(p) >= big);
	kfree(p);
	p = kmalloc_node(small, GFP_KERNEL, NUMA_NO_NODE);
	CHECK(p && ksize(p) >= 40);
	kfree(p);
	p = kzalloc_node(24, GFP_KERNEL, NUMA_NO_NODE);
	CHECK(p && !memchr_inv(p, 0, 24));
	kfree(p);
	return 0;
}

static int check_areas(void)
{
	volatile size_t size = 5000;
	char *p = __vmalloc(size, GFP_KERNEL | __GFP_ZERO), *q;
	int __percpu *c;

	CHECK(p && is_vmalloc_addr(p) && PAGE_ALIGNED(p) && !memchr_inv(p, 0, 5000));
	p[4999] = 7;
	CHECK(vmalloc_to_pfn(p) == page_to_pfn(vmalloc_to_page(p)));
	CHECK(((char *)page_address(vmalloc_to_page(p + 4096)))[903] == 7);
	p = kvrealloc(p, 5000, 9000, GFP_KERNEL);
	CHECK(p && p[4999] == 7);
	kvfree_sensitive(p, 9000);
	p = vmalloc_node(size, NUMA_NO_NODE);
	CHECK(p);
	vfree(p);
	p = vzalloc_node(size, NUMA_NO_NODE);
	CHECK(p && !memchr_inv(p, 0, 5000));
	vfree(p);
	p = vmalloc_user(size);
	CHECK(p && !memchr_inv(p, 0, 5000));
	vfree(p);
	p = vmalloc_32(size);
	CHECK(p && vmalloc_to_pfn(p) < 1UL << 20);
	vfree(p);
	p = vcalloc(size, 2);
	q = vmalloc_array(size, 2);
	CHECK(p && q && !memchr_inv(p, 0, 10000) && !vcalloc(size, SIZE_MAX / 2));
	vfree(p);
	vfree(q);
	p = alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO);
	CHECK(p && PAGE_ALIGNED(p) && !memchr_inv(p, 0, 8192));
	free_pages_exact(p, size);
	c = alloc_percpu_gfp(int, GFP_KERNEL | __GFP_ZERO);
	CHECK(c && *per_cpu_ptr(c, 0) == 0);
	free_percpu(c);
	return 0;
}

static DEFINE_STATIC_KEY_FALSE(key);

static noinline int asked(void)
{
	return static_branch_unlikely(&key) ? 1 : 0;
}

static int check_keys(void)
{
	CHECK(!asked());
	static_branch_inc(&key);
	static_branch_inc(&key);
	CHECK(asked() && static_key_count(&key.key) == 2);
	static_branch_dec(&key);
	CHECK(asked());
	static_branch_dec(&key);
	CHECK(!asked() && static_key_count(&key.key) == 0);
	static_branch_enable(&key);
	CHECK(asked());
	static_branch_disable(&key);
	CHECK(!asked());
	return 0;
}

static const char *formatted(const char *fmt, ...)
{
	va_list args;
	const char *text;

	va_start(args, fmt);
	text = kvasprintf_const(GFP_KERNEL, fmt, args);
	va_end(args);
	return text;
}

static int check_text(void)
{
	static const char plain[] = "plain";
	const char *a = formatted(plain), *b = formatted("%s", plain), *c = formatted("%d!", 7);

	CHECK(!strcmp(a, plain) && !strcmp(b, plain) && !strcmp(c, "7!"));
	kfree_const(a);
	kfree_const(b);
	kfree_const(c);
	return 0;
}

CHECKS(check_pool, check_counter, check_slab, check_areas, check_keys, check_text);
