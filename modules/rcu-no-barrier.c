// SPDX-License-Identifier: GPL-2.0
/* Exit waits for a grace period, but not for the callbacks that were to run after it: on another CPU they run later. */
//#Verdict: findings
//#Expect: left-running "rcu"
//#Expect: cache-not-empty exit
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

struct lease {
	struct list_head list;
	struct rcu_head rcu;
};

static LIST_HEAD(leases);
static struct kmem_cache *cache;

static void free_lease(struct rcu_head *head)
{
	kmem_cache_free(cache, container_of(head, struct lease, rcu));
}

static int __init rcu_no_barrier_init(void)
{
	struct lease *lease;

	cache = KMEM_CACHE(lease, 0);
	if (!cache)
		return -ENOMEM;
	lease = kmem_cache_alloc(cache, GFP_KERNEL);
	if (!lease) {
		kmem_cache_destroy(cache);
		return -ENOMEM;
	}
	list_add_rcu(&lease->list, &leases);
	return 0;
}

static void __exit rcu_no_barrier_exit(void)
{
	struct lease *lease, *next;

	list_for_each_entry_safe(lease, next, &leases, list) {
		list_del_rcu(&lease->list);
		call_rcu(&lease->rcu, free_lease);
	}
	synchronize_rcu();
	kmem_cache_destroy(cache);
}

module_init(rcu_no_barrier_init);
module_exit(rcu_no_barrier_exit);
MODULE_LICENSE("GPL");
