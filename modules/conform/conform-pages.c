// SPDX-License-Identifier: GPL-2.0
/* vmalloc, kvmalloc, whole pages and per-CPU memory. */
//#Conforms: vmalloc vzalloc vfree kvmalloc_node kvfree __get_free_pages free_pages
//#Conforms: get_zeroed_page __alloc_percpu free_percpu __free_pages vmalloc_to_page alloc_pages
//#Conforms: is_vmalloc_addr __folio_put
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include "check.h"

static int check_vmalloc(void)
{
	char *a = vmalloc(3 * PAGE_SIZE + 1), *b = vzalloc(100000);
	void *c = kvmalloc(64, GFP_KERNEL), *d = kvzalloc(8 << 20, GFP_KERNEL);

	CHECK(a && b && c && d);
	CHECK(PAGE_ALIGNED(a) && PAGE_ALIGNED(b));
	CHECK(is_vmalloc_addr(a) && is_vmalloc_addr(b));
	memset(a, 1, 3 * PAGE_SIZE + 1);
	CHECK(!memchr_inv(b, 0, 100000));
	CHECK(!memchr_inv(d, 0, 8 << 20));
	CHECK(vmalloc_to_page(a) && vmalloc_to_page(a) != vmalloc_to_page(a + PAGE_SIZE));
	vfree(a);
	vfree(b);
	vfree(NULL);
	kvfree(c);
	kvfree(d);
	return 0;
}

static int check_pages(void)
{
	unsigned long two = __get_free_pages(GFP_KERNEL, 1), one = get_zeroed_page(GFP_KERNEL);
	struct page *page = alloc_page(GFP_KERNEL);

	CHECK(two && one && page);
	CHECK(PAGE_ALIGNED(one) && IS_ALIGNED(two, 2 * PAGE_SIZE));
	CHECK(!memchr_inv((void *)one, 0, PAGE_SIZE));
	memset((void *)two, 0x77, 2 * PAGE_SIZE);
	CHECK(virt_to_page(one) != virt_to_page(two));
	CHECK(page_address(virt_to_page(one)) == (void *)one);
	memset(page_address(page), 3, PAGE_SIZE);
	CHECK(page_count(page) == 1);
	get_page(page);
	CHECK(page_count(page) == 2);
	put_page(page);
	__free_page(page);
	free_page(one);
	free_pages(two, 1);
	free_page(0);
	return 0;
}

struct counters {
	u64 a;
	u32 b;
};

static DEFINE_PER_CPU(int, fixed) = 31;

static int check_percpu(void)
{
	struct counters __percpu *c = alloc_percpu(struct counters);
	int cpu;

	CHECK(c);
	for_each_possible_cpu(cpu) {
		CHECK(per_cpu_ptr(c, cpu)->a == 0 && per_cpu_ptr(c, cpu)->b == 0);
		CHECK(per_cpu(fixed, cpu) == 31);
	}
	preempt_disable();
	this_cpu_add(c->a, 5);
	this_cpu_inc(c->b);
	__this_cpu_write(fixed, 8);
	CHECK(this_cpu_read(c->a) == 5 && this_cpu_ptr(c)->b == 1);
	CHECK(per_cpu(fixed, smp_processor_id()) == 8);
	CHECK(this_cpu_cmpxchg(c->b, 1, 9) == 1);
	CHECK(this_cpu_xchg(c->b, 2) == 9);
	preempt_enable();
	free_percpu(c);
	free_percpu(NULL);
	return 0;
}

CHECKS(check_vmalloc, check_pages, check_percpu);
