// SPDX-License-Identifier: GPL-2.0
/* Memory is asked for with leave to sleep inside of an RCU read-side critical section. */
//#Verdict: findings
//#Expect: sleep-in-atomic "RCU nest depth 1"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>

struct route {
	struct list_head link;
	char *label;
};

static LIST_HEAD(routes);
static struct route first;

static int label_all(void)
{
	struct route *r;
	int ret = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(r, &routes, link) {
		r->label = kasprintf(GFP_KERNEL, "route %p", r);
		if (!r->label)
			ret = -ENOMEM;
	}
	rcu_read_unlock();
	return ret;
}

static int __init rcu_sleep_init(void)
{
	list_add_rcu(&first.link, &routes);
	return label_all();
}

static void __exit rcu_sleep_exit(void)
{
	list_del_rcu(&first.link);
	synchronize_rcu();
	kfree(first.label);
}

module_init(rcu_sleep_init);
module_exit(rcu_sleep_exit);
MODULE_LICENSE("GPL");
