// SPDX-License-Identifier: GPL-2.0
/* Work that runs each second keeps a list; from the eighth entry on exit loses the rest. */
//#Verdict: findings
//#Expect: memory-leak "collect"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

struct sample {
	struct list_head node;
	unsigned long when;
};

static LIST_HEAD(samples);
static void collect(struct work_struct *work);
static DECLARE_DELAYED_WORK(collector, collect);

static void collect(struct work_struct *work)
{
	struct sample *s = kmalloc(sizeof(*s), GFP_KERNEL);

	if (s) {
		s->when = jiffies;
		list_add_tail(&s->node, &samples);
	}
	schedule_delayed_work(&collector, HZ);
}

static int __init leak_late_init(void)
{
	schedule_delayed_work(&collector, HZ);
	return 0;
}

static void __exit leak_late_exit(void)
{
	struct sample *s, *n;
	int count = 0;

	cancel_delayed_work_sync(&collector);
	list_for_each_entry_safe(s, n, &samples, node) {
		if (++count == 8)
			break;
		list_del(&s->node);
		kfree(s);
	}
}

module_init(leak_late_init);
module_exit(leak_late_exit);
MODULE_LICENSE("GPL");
