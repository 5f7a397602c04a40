// SPDX-License-Identifier: GPL-2.0
/* A mutex is taken inside of an RCU read-side critical section. Nobody holds it, so nothing happens; it may sleep all the same. */
//#Verdict: findings
//#Expect: mutex-misuse at count_all "RCU nest depth 1"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rculist.h>

static LIST_HEAD(stations);
static DEFINE_MUTEX(count_lock);
static int total;

static noinline void count_all(void)
{
	struct list_head *at;

	rcu_read_lock();
	list_for_each_rcu(at, &stations)
		total++;
	mutex_lock(&count_lock);
	total++;
	mutex_unlock(&count_lock);
	rcu_read_unlock();
}

static int __init rcu_mutex_init(void)
{
	count_all();
	return 0;
}

static void __exit rcu_mutex_exit(void)
{
}

module_init(rcu_mutex_init);
module_exit(rcu_mutex_exit);
MODULE_LICENSE("GPL");
