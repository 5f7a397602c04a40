// SPDX-License-Identifier: GPL-2.0
/* A thread gives back the reference that init took for it, and returns: the module may go before it has. */
//#Verdict: findings
//#Expect: self-module-get "porter"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent wait
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static int carried;

static int porter(void *data)
{
	msleep(20);
	module_put(THIS_MODULE);
	carried++;
	return 0;
}

static int __init thread_put_last_init(void)
{
	struct task_struct *k;

	__module_get(THIS_MODULE);
	k = kthread_run(porter, NULL, "porter");
	if (IS_ERR(k)) {
		module_put(THIS_MODULE);
		return PTR_ERR(k);
	}
	return 0;
}

static void __exit thread_put_last_exit(void)
{
}

module_init(thread_put_last_init);
module_exit(thread_put_last_exit);
MODULE_LICENSE("GPL");
