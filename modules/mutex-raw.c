// SPDX-License-Identifier: GPL-2.0
/* A mutex in zeroed memory is used without mutex_init(): a debug kernel complains, a stock one may hang. */
//#Verdict: findings
//#Expect: mutex-misuse "uninitialised"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

struct box {
	int items;
	struct mutex lock;
};

static struct box *box;

static int __init mutex_raw_init(void)
{
	box = kzalloc(sizeof(*box), GFP_KERNEL);
	if (!box)
		return -ENOMEM;
	mutex_lock(&box->lock);
	box->items = 1;
	mutex_unlock(&box->lock);
	return 0;
}

static void __exit mutex_raw_exit(void)
{
	kfree(box);
}

module_init(mutex_raw_init);
module_exit(mutex_raw_exit);
MODULE_LICENSE("GPL");
