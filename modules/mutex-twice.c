// SPDX-License-Identifier: GPL-2.0
/* A helper takes the mutex that its caller already holds. */
//#Verdict: findings
//#Expect: mutex-misuse init "recursive"
//#May: deadlock
//#May: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(ledger);
static int balance;

static noinline void deposit(int n)
{
	mutex_lock(&ledger);
	balance += n;
	mutex_unlock(&ledger);
}

static int __init mutex_twice_init(void)
{
	mutex_lock(&ledger);
	deposit(10);
	mutex_unlock(&ledger);
	return 0;
}

static void __exit mutex_twice_exit(void)
{
}

module_init(mutex_twice_init);
module_exit(mutex_twice_exit);
MODULE_LICENSE("GPL");
