// SPDX-License-Identifier: GPL-2.0
/* Exit frees an entry with a callback of its own and does not wait for the callback. */
//#Verdict: findings
//#Expect: left-running "rcu"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

struct route {
	int metric;
	struct rcu_head rcu;
};

static struct route __rcu *best;

static void free_route(struct rcu_head *head)
{
	kfree(container_of(head, struct route, rcu));
}

static int __init rcu_left_init(void)
{
	struct route *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return -ENOMEM;
	r->metric = 5;
	rcu_assign_pointer(best, r);
	return 0;
}

static void __exit rcu_left_exit(void)
{
	struct route *r = rcu_dereference_protected(best, 1);

	RCU_INIT_POINTER(best, NULL);
	call_rcu(&r->rcu, free_route);
}

module_init(rcu_left_init);
module_exit(rcu_left_exit);
MODULE_LICENSE("GPL");
