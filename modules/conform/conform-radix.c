// SPDX-License-Identifier: GPL-2.0
/* The radix tree with its inline iteration, the IDR's other calls, the XArray's marks, interval trees. */
//#Conforms: radix_tree_insert radix_tree_lookup radix_tree_lookup_slot radix_tree_delete
//#Conforms: radix_tree_delete_item radix_tree_replace_slot radix_tree_next_chunk
//#Conforms: radix_tree_iter_resume radix_tree_iter_delete radix_tree_gang_lookup
//#Conforms: radix_tree_gang_lookup_tag radix_tree_gang_lookup_tag_slot radix_tree_tag_set
//#Conforms: radix_tree_tag_clear radix_tree_tag_get radix_tree_tagged radix_tree_preload
//#Conforms: radix_tree_maybe_preload idr_preload idr_alloc_u32 idr_get_next_ul
//#Conforms: xa_extract __xa_erase __xa_set_mark __xa_clear_mark xas_set_mark xas_clear_mark
//#Conforms: interval_tree_insert interval_tree_remove interval_tree_iter_first
//#Conforms: interval_tree_iter_next idr_destroy
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/idr.h>
#include <linux/interval_tree.h>
#include <linux/preempt.h>
#include <linux/radix-tree.h>
#include <linux/xarray.h>
#include "check.h"

static int items[300];

static RADIX_TREE(tree, GFP_KERNEL);

static int fill(void)
{
	int n;

	for (n = 0; n < 300; n++)
		CHECK(!radix_tree_insert(&tree, n * 7, &items[n]));
	CHECK(radix_tree_insert(&tree, 14, &items[0]) == -EEXIST);
	CHECK(!radix_tree_insert(&tree, 1UL << 40, &items[0]));
	return 0;
}

static int check_lookup(void)
{
	void *found[8], **slot;

	if (fill())
		return -EINVAL;
	CHECK(radix_tree_lookup(&tree, 21) == &items[3] && !radix_tree_lookup(&tree, 22));
	CHECK(!radix_tree_lookup(&tree, ~0UL) && radix_tree_lookup(&tree, 1UL << 40) == &items[0]);
	slot = (void **)radix_tree_lookup_slot(&tree, 28);
	CHECK(slot && *slot == &items[4] && !radix_tree_lookup_slot(&tree, 29));
	radix_tree_replace_slot(&tree, (void __rcu **)slot, &items[5]);
	CHECK(radix_tree_lookup(&tree, 28) == &items[5]);
	CHECK(radix_tree_gang_lookup(&tree, found, 15, 3) == 3);
	CHECK(found[0] == &items[3] && found[1] == &items[5] && found[2] == &items[5]);
	CHECK(radix_tree_gang_lookup(&tree, found, 299 * 7, 8) == 2 && found[1] == &items[0]);
	CHECK(radix_tree_gang_lookup(&tree, found, (1UL << 40) + 1, 8) == 0);
	CHECK(!radix_tree_delete_item(&tree, 21, &items[4]));
	CHECK(radix_tree_delete_item(&tree, 21, &items[3]) == &items[3]);
	CHECK(!radix_tree_lookup(&tree, 21) && !radix_tree_delete(&tree, 21));
	CHECK(radix_tree_delete(&tree, 1UL << 40) == &items[0]);
	return 0;
}

static int check_tags(void)
{
	void *found[8];
	void __rcu **slots[8];

	CHECK(!radix_tree_tagged(&tree, 1) && !radix_tree_tag_get(&tree, 70, 1));
	CHECK(radix_tree_tag_set(&tree, 70, 1) == &items[10]);
	CHECK(radix_tree_tag_set(&tree, 700, 1) == &items[100]);
	CHECK(radix_tree_tag_set(&tree, 77, 2) == &items[11]);
	CHECK(radix_tree_tagged(&tree, 1) && radix_tree_tag_get(&tree, 70, 1));
	CHECK(!radix_tree_tag_get(&tree, 70, 2) && !radix_tree_tag_get(&tree, 77, 1));
	CHECK(radix_tree_gang_lookup_tag(&tree, found, 0, 8, 1) == 2);
	CHECK(found[0] == &items[10] && found[1] == &items[100]);
	CHECK(radix_tree_gang_lookup_tag(&tree, found, 71, 8, 1) == 1 && found[0] == &items[100]);
	CHECK(radix_tree_gang_lookup_tag_slot(&tree, slots, 0, 8, 2) == 1);
	CHECK(radix_tree_deref_slot(slots[0]) == &items[11]);
	CHECK(radix_tree_tag_clear(&tree, 70, 1) == &items[10] && !radix_tree_tag_get(&tree, 70, 1));
	CHECK(radix_tree_tagged(&tree, 1));
	/* What is deleted takes its tag along. */
	CHECK(radix_tree_delete(&tree, 700) == &items[100] && !radix_tree_tagged(&tree, 1));
	CHECK(radix_tree_tag_clear(&tree, 77, 2) == &items[11] && !radix_tree_tagged(&tree, 2));
	return 0;
}

static int check_iteration(void)
{
	struct radix_tree_iter iter;
	unsigned long last = 0;
	void __rcu **slot;
	int count = 0;

	radix_tree_for_each_slot(slot, &tree, &iter, 100) {
		CHECK(iter.index >= 100 && iter.index > last && iter.index % 7 == 0);
		CHECK(radix_tree_deref_slot(slot));
		last = iter.index;
		count++;
		if (count % 50 == 0)
			slot = radix_tree_iter_resume(slot, &iter);
	}
	CHECK(last == 299 * 7 && count == 299 - 15 + 1 - 1);
	radix_tree_tag_set(&tree, 7, 0);
	radix_tree_tag_set(&tree, 1400, 0);
	count = 0;
	radix_tree_for_each_tagged(slot, &tree, &iter, 0, 0) {
		CHECK(iter.index == 7 || iter.index == 1400);
		count++;
	}
	CHECK(count == 2);
	radix_tree_for_each_slot(slot, &tree, &iter, 0)
		radix_tree_iter_delete(&tree, &iter, slot);
	CHECK(radix_tree_empty(&tree) && !radix_tree_tagged(&tree, 0));
	return 0;
}

static int check_preload(void)
{
	int before = preempt_count();

	CHECK(!radix_tree_preload(GFP_KERNEL));
	CHECK(preempt_count() == before + 1);
	radix_tree_preload_end();
	CHECK(!radix_tree_maybe_preload(GFP_NOWAIT));
	CHECK(preempt_count() == before + 1);
	radix_tree_preload_end();
	idr_preload(GFP_KERNEL);
	CHECK(preempt_count() == before + 1);
	idr_preload_end();
	CHECK(preempt_count() == before);
	return 0;
}

static int check_idr(void)
{
	DEFINE_IDR(idr);
	unsigned long at = 0;
	u32 id = 3;
	void *entry;
	int n = 0, seen;

	CHECK(!idr_alloc_u32(&idr, &items[0], &id, UINT_MAX, GFP_KERNEL) && id == 3);
	id = 3;
	CHECK(!idr_alloc_u32(&idr, &items[1], &id, 4, GFP_KERNEL) && id == 4);
	id = 3;
	CHECK(idr_alloc_u32(&idr, &items[2], &id, 4, GFP_KERNEL) == -ENOSPC);
	id = 5000;
	/* A number without a pointer is taken all the same. */
	CHECK(!idr_alloc_u32(&idr, NULL, &id, 5000, GFP_KERNEL) && id == 5000);
	CHECK(idr_alloc_u32(&idr, NULL, &id, 5000, GFP_KERNEL) == -ENOSPC && !idr_find(&idr, 5000));
	CHECK(idr_get_next_ul(&idr, &at) == &items[0] && at == 3);
	at = 4;
	CHECK(idr_get_next_ul(&idr, &at) == &items[1] && at == 4);
	at = 5;
	CHECK(!idr_get_next_ul(&idr, &at));
	CHECK(!idr_replace(&idr, &items[9], 5000));
	idr_for_each_entry(&idr, entry, seen)
		n += seen;
	CHECK(n == 5007);
	CHECK(idr_alloc(&idr, &items[7], 0, 0, GFP_KERNEL) == 0);
	CHECK(idr_remove(&idr, 4) == &items[1] && !idr_remove(&idr, 4));
	CHECK(idr_alloc(&idr, &items[7], 1, 0, GFP_KERNEL) == 1);
	idr_destroy(&idr);
	CHECK(idr_is_empty(&idr));
	return 0;
}

static int check_xarray(void)
{
	DEFINE_XARRAY(xa);
	XA_STATE(xas, &xa, 5);
	void *found[4], *entry;
	int n;

	for (n = 0; n < 100; n++)
		CHECK(!xa_err(xa_store(&xa, n, xa_mk_value(n), GFP_KERNEL)));
	CHECK(xa_extract(&xa, found, 10, 12, 4, XA_PRESENT) == 3 && xa_to_value(found[2]) == 12);
	xa_lock(&xa);
	__xa_set_mark(&xa, 20, XA_MARK_2);
	__xa_set_mark(&xa, 90, XA_MARK_2);
	xa_unlock(&xa);
	CHECK(xa_extract(&xa, found, 0, ULONG_MAX, 4, XA_MARK_2) == 2 && xa_to_value(found[1]) == 90);
	xa_lock(&xa);
	__xa_clear_mark(&xa, 20, XA_MARK_2);
	CHECK(__xa_erase(&xa, 90) == xa_mk_value(90));
	xa_unlock(&xa);
	CHECK(!xa_marked(&xa, XA_MARK_2));
	xas_lock(&xas);
	CHECK(xas_load(&xas) == xa_mk_value(5));
	xas_set_mark(&xas, XA_MARK_1);
	xas_unlock(&xas);
	CHECK(xa_get_mark(&xa, 5, XA_MARK_1));
	n = 0;
	rcu_read_lock();
	xas_set(&xas, 0);
	xas_for_each(&xas, entry, ULONG_MAX)
		n++;
	rcu_read_unlock();
	CHECK(n == 99);
	xas_lock(&xas);
	xas_set(&xas, 5);
	xas_load(&xas);
	xas_clear_mark(&xas, XA_MARK_1);
	xas_unlock(&xas);
	CHECK(!xa_get_mark(&xa, 5, XA_MARK_1) && !xa_marked(&xa, XA_MARK_1));
	xa_destroy(&xa);
	CHECK(xa_empty(&xa));
	return 0;
}

static int check_intervals(void)
{
	static struct interval_tree_node nodes[50];
	struct rb_root_cached root = RB_ROOT_CACHED;
	struct interval_tree_node *at;
	int n, count = 0;

	for (n = 0; n < 50; n++) {
		nodes[n].start = n * 10;
		nodes[n].last = n * 10 + 14;
		interval_tree_insert(&nodes[n], &root);
	}
	for (at = interval_tree_iter_first(&root, 100, 109); at;
	     at = interval_tree_iter_next(at, 100, 109)) {
		CHECK(at == &nodes[9] + count);
		count++;
	}
	CHECK(count == 2 && !interval_tree_iter_first(&root, 600, 700));
	interval_tree_remove(&nodes[9], &root);
	CHECK(interval_tree_iter_first(&root, 100, 104) == &nodes[10]);
	return 0;
}

CHECKS(check_lookup, check_tags, check_iteration, check_preload, check_idr, check_xarray,
       check_intervals);
