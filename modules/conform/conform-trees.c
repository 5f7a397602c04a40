// SPDX-License-Identifier: GPL-2.0
/* Red-black trees, idr, ida and xarray. */
//#Conforms: rb_insert_color rb_erase rb_next rb_prev rb_first rb_last rb_replace_node
//#Conforms: rb_first_postorder rb_next_postorder idr_alloc idr_alloc_cyclic idr_find idr_remove
//#Conforms: idr_replace idr_get_next idr_for_each idr_destroy ida_alloc_range ida_free
//#Conforms: ida_destroy xa_store xa_load xa_erase xa_find xa_find_after xa_destroy __xa_alloc
//#Conforms: __xa_cmpxchg xa_set_mark xa_get_mark xa_clear_mark __xa_insert
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/idr.h>
#include <linux/rbtree.h>
#include <linux/xarray.h>
#include "check.h"

struct node {
	struct rb_node rb;
	int key;
};

static struct node nodes[100], other;

static void insert(struct rb_root *root, struct node *new)
{
	struct rb_node **at = &root->rb_node, *parent = NULL;

	while (*at) {
		parent = *at;
		at = new->key < rb_entry(parent, struct node, rb)->key ? &parent->rb_left
								       : &parent->rb_right;
	}
	rb_link_node(&new->rb, parent, at);
	rb_insert_color(&new->rb, root);
}

static int check_rbtree(void)
{
	struct rb_root root = RB_ROOT;
	struct rb_node *n;
	int i, last = -1, count = 0;

	for (i = 0; i < 100; i++) {
		nodes[i].key = (i * 61) % 100;
		insert(&root, &nodes[i]);
	}
	for (n = rb_first(&root); n; n = rb_next(n)) {
		CHECK(rb_entry(n, struct node, rb)->key == last + 1);
		last++;
	}
	CHECK(last == 99);
	for (i = 0; i < 100; i += 2)
		rb_erase(&nodes[i].rb, &root);
	for (n = rb_last(&root); n; n = rb_prev(n))
		count++;
	CHECK(count == 50);
	other.key = nodes[1].key;
	rb_replace_node(&nodes[1].rb, &other.rb, &root);
	count = 0;
	for (n = rb_first_postorder(&root); n; n = rb_next_postorder(n))
		count++;
	CHECK(count == 50);
	return 0;
}

static int add_ids(int id, void *p, void *data)
{
	*(int *)data += id;
	return 0;
}

static int check_idr(void)
{
	DEFINE_IDR(idr);
	int sum = 0, next = 0;

	CHECK(idr_alloc(&idr, &nodes[0], 5, 7, GFP_KERNEL) == 5);
	CHECK(idr_alloc(&idr, &nodes[1], 5, 7, GFP_KERNEL) == 6);
	CHECK(idr_alloc(&idr, &nodes[2], 5, 7, GFP_KERNEL) == -ENOSPC);
	CHECK(idr_alloc_cyclic(&idr, &nodes[3], 0, 0, GFP_KERNEL) == 0);
	CHECK(idr_alloc_cyclic(&idr, &nodes[4], 0, 0, GFP_KERNEL) == 1);
	CHECK(idr_find(&idr, 6) == &nodes[1] && !idr_find(&idr, 7));
	CHECK(idr_replace(&idr, &nodes[9], 6) == &nodes[1] && idr_find(&idr, 6) == &nodes[9]);
	CHECK(idr_replace(&idr, &nodes[9], 99) == ERR_PTR(-ENOENT));
	CHECK(!idr_for_each(&idr, add_ids, &sum) && sum == 12);
	next = 2;
	CHECK(idr_get_next(&idr, &next) == &nodes[0] && next == 5);
	CHECK(idr_remove(&idr, 5) == &nodes[0] && !idr_remove(&idr, 5));
	idr_destroy(&idr);
	CHECK(idr_is_empty(&idr));
	return 0;
}

static int check_ida(void)
{
	DEFINE_IDA(ida);
	int n;

	for (n = 0; n < 200; n++)
		CHECK(ida_alloc(&ida, GFP_KERNEL) == n);
	ida_free(&ida, 17);
	CHECK(ida_alloc(&ida, GFP_KERNEL) == 17);
	CHECK(ida_alloc_range(&ida, 1000, 1000, GFP_KERNEL) == 1000);
	CHECK(ida_alloc_range(&ida, 1000, 1000, GFP_KERNEL) == -ENOSPC);
	CHECK(ida_alloc_min(&ida, 500, GFP_KERNEL) == 500);
	ida_destroy(&ida);
	CHECK(ida_is_empty(&ida));
	return 0;
}

static int check_xarray(void)
{
	DEFINE_XARRAY_ALLOC(xa);
	unsigned long index = 0;
	void *entry;
	u32 id;

	CHECK(!xa_store(&xa, 70000, &nodes[1], GFP_KERNEL));
	CHECK(xa_store(&xa, 70000, &nodes[2], GFP_KERNEL) == &nodes[1]);
	CHECK(xa_load(&xa, 70000) == &nodes[2] && !xa_load(&xa, 69999));
	CHECK(xa_insert(&xa, 70000, &nodes[3], GFP_KERNEL) == -EBUSY);
	CHECK(!xa_insert(&xa, 3, &nodes[3], GFP_KERNEL));
	CHECK(xa_cmpxchg(&xa, 3, &nodes[1], NULL, GFP_KERNEL) == &nodes[3]);
	CHECK(!xa_alloc(&xa, &id, xa_mk_value(7), XA_LIMIT(3, 9), GFP_KERNEL) && id == 4);
	entry = xa_find(&xa, &index, ULONG_MAX, XA_PRESENT);
	CHECK(entry == &nodes[3] && index == 3);
	entry = xa_find_after(&xa, &index, ULONG_MAX, XA_PRESENT);
	CHECK(xa_is_value(entry) && xa_to_value(entry) == 7 && index == 4);
	xa_set_mark(&xa, 70000, XA_MARK_1);
	CHECK(xa_get_mark(&xa, 70000, XA_MARK_1) && !xa_get_mark(&xa, 3, XA_MARK_1));
	xa_clear_mark(&xa, 70000, XA_MARK_1);
	CHECK(!xa_get_mark(&xa, 70000, XA_MARK_1));
	CHECK(xa_erase(&xa, 70000) == &nodes[2] && !xa_erase(&xa, 70000));
	xa_destroy(&xa);
	CHECK(xa_empty(&xa));
	return 0;
}

CHECKS(check_rbtree, check_idr, check_ida, check_xarray);
