// SPDX-License-Identifier: GPL-2.0
/* Lists, lock-less lists, sorting and searching. */
//#Conforms: list_sort sort bsearch llist_add_batch llist_reverse_order llist_del_first
//#Conforms: __list_add_valid __list_del_entry_valid
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/bsearch.h>
#include <linux/list.h>
#include <linux/list_sort.h>
#include <linux/llist.h>
#include <linux/sort.h>
#include "check.h"

struct item {
	struct list_head node;
	struct llist_node bare;
	int key, order;
};

static struct item items[50];

static int by_key(void *priv, const struct list_head *a, const struct list_head *b)
{
	(*(int *)priv)++;
	return list_entry(a, struct item, node)->key - list_entry(b, struct item, node)->key;
}

static int check_list_sort(void)
{
	LIST_HEAD(head);
	struct item *item, *last = NULL;
	int n, compared = 0, count = 0;

	for (n = 0; n < 50; n++) {
		items[n].key = (n * 37) % 11;
		items[n].order = n;
		list_add_tail(&items[n].node, &head);
	}
	list_sort(&compared, &head, by_key);
	list_for_each_entry(item, &head, node) {
		if (last) {
			CHECK(last->key <= item->key);
			CHECK(last->key < item->key || last->order < item->order);
			CHECK(item->node.prev == &last->node);
		}
		last = item;
		count++;
	}
	CHECK(count == 50 && compared >= 49 && head.prev == &last->node);
	list_del_init(&items[0].node);
	CHECK(list_empty(&items[0].node));
	list_move(&items[1].node, &head);
	CHECK(head.next == &items[1].node);
	list_del(&items[2].node);
	CHECK(items[2].node.next == LIST_POISON1 && items[2].node.prev == LIST_POISON2);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int check_sort(void)
{
	int n, numbers[33], wanted = 21;

	for (n = 0; n < 33; n++)
		numbers[n] = (n * 23) % 33;
	sort(numbers, 33, sizeof(int), by_number, NULL);
	for (n = 0; n < 33; n++)
		CHECK(numbers[n] == n);
	CHECK(bsearch(&wanted, numbers, 33, sizeof(int), by_number) == &numbers[21]);
	wanted = 40;
	CHECK(!bsearch(&wanted, numbers, 33, sizeof(int), by_number));
	return 0;
}

static int check_llist(void)
{
	LLIST_HEAD(head);
	struct llist_node *all;

	CHECK(llist_add(&items[0].bare, &head));
	CHECK(!llist_add(&items[1].bare, &head) && !llist_add(&items[2].bare, &head));
	CHECK(llist_del_first(&head) == &items[2].bare);
	all = llist_del_all(&head);
	CHECK(llist_empty(&head) && all == &items[1].bare);
	all = llist_reverse_order(all);
	CHECK(all == &items[0].bare && all->next == &items[1].bare && !all->next->next);
	return 0;
}

CHECKS(check_list_sort, check_sort, check_llist);
