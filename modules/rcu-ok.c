// SPDX-License-Identifier: GPL-2.0
/* call_rcu with rcu_barrier, kfree_rcu, synchronize_rcu and SRCU: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/srcu.h>

struct route {
	int metric;
	struct rcu_head rcu;
};

static struct route __rcu *best;
DEFINE_STATIC_SRCU(paths);

static void free_route(struct rcu_head *head)
{
	kfree(container_of(head, struct route, rcu));
}

static struct route *new_route(int metric)
{
	struct route *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (r)
		r->metric = metric;
	return r;
}

static int __init rcu_ok_init(void)
{
	struct route *r = new_route(5), *s = new_route(7);
	int idx;

	if (!r || !s) {
		kfree(r);
		kfree(s);
		return -ENOMEM;
	}
	rcu_assign_pointer(best, r);
	rcu_read_lock();
	pr_info("metric %d\n", rcu_dereference(best)->metric);
	rcu_read_unlock();
	rcu_assign_pointer(best, s);
	synchronize_rcu();
	kfree(r);
	idx = srcu_read_lock(&paths);
	srcu_read_unlock(&paths, idx);
	synchronize_srcu(&paths);
	r = new_route(9);
	if (r)
		kfree_rcu(r, rcu);
	return 0;
}

static void __exit rcu_ok_exit(void)
{
	struct route *r = rcu_dereference_protected(best, 1);

	RCU_INIT_POINTER(best, NULL);
	call_rcu(&r->rcu, free_route);
	rcu_barrier();
}

module_init(rcu_ok_init);
module_exit(rcu_ok_exit);
MODULE_LICENSE("GPL");
