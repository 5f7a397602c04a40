// SPDX-License-Identifier: GPL-2.0
/* A thread guards itself with a reference on its own module: the last put runs in module text. */
//#Verdict: findings
//#Expect: self-module-get
//#May: left-running
//#May: kthread-stop-after-exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static int guarded(void *data)
{
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	msleep(500);
	module_put(THIS_MODULE);
	return 0;
}

static int __init self_get_init(void)
{
	return PTR_ERR_OR_ZERO(kthread_run(guarded, NULL, "guarded"));
}

static void __exit self_get_exit(void)
{
}

module_init(self_get_init);
module_exit(self_get_exit);
MODULE_LICENSE("GPL");
