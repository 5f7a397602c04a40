// SPDX-License-Identifier: GPL-2.0
/* The early return of a lookup leaves an RCU read-side critical section open. */
//#Verdict: findings
//#Expect: context-imbalance init "rcu_read_lock"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/rcupdate.h>

static int table[] = { 3, 1, 4, 1, 5 };

static noinline int lookup(unsigned int index)
{
	int value;

	rcu_read_lock();
	if (index >= ARRAY_SIZE(table))
		return -ERANGE;
	value = READ_ONCE(table[index]);
	rcu_read_unlock();
	return value;
}

static int __init rcu_unbalanced_init(void)
{
	return lookup(2) == 4 && lookup(9) < 0 ? 0 : -EINVAL;
}

static void __exit rcu_unbalanced_exit(void)
{
}

module_init(rcu_unbalanced_init);
module_exit(rcu_unbalanced_exit);
MODULE_LICENSE("GPL");
