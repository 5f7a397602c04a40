// SPDX-License-Identifier: GPL-2.0
/* Exit waits for a work with a mutex held that the work takes: whether it hangs is a matter of the moment. */
//#Verdict: findings
//#Expect: lock-order at work_under_lock_exit "waits for a work"
//#May: unload-hangs
//#Real: unsafe
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

static DEFINE_MUTEX(table_lock);
static unsigned int rounds;

static void refresh(struct work_struct *work)
{
	mutex_lock(&table_lock);
	rounds++;
	mutex_unlock(&table_lock);
	schedule_delayed_work(to_delayed_work(work), HZ);
}

static DECLARE_DELAYED_WORK(refresher, refresh);

static int __init work_under_lock_init(void)
{
	schedule_delayed_work(&refresher, HZ);
	return 0;
}

static void __exit work_under_lock_exit(void)
{
	mutex_lock(&table_lock);
	cancel_delayed_work_sync(&refresher);
	rounds = 0;
	mutex_unlock(&table_lock);
}

module_init(work_under_lock_init);
module_exit(work_under_lock_exit);
MODULE_LICENSE("GPL");
