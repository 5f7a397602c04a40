// SPDX-License-Identifier: GPL-2.0
/* An error path gives a mutex back that was not taken on it. */
//#Verdict: findings
//#Expect: mutex-misuse init at lookup "unlock"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(table);
static int rows;

static noinline int lookup(int row)
{
	int ret = -ENOENT;

	if (row >= READ_ONCE(rows))
		goto out;
	mutex_lock(&table);
	ret = row;
out:
	mutex_unlock(&table);
	return ret;
}

static int __init mutex_unlocked_init(void)
{
	pr_info("mutex-unlocked: %d\n", lookup(3));
	return 0;
}

static void __exit mutex_unlocked_exit(void)
{
}

module_init(mutex_unlocked_init);
module_exit(mutex_unlocked_exit);
MODULE_LICENSE("GPL");
