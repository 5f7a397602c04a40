// SPDX-License-Identifier: GPL-2.0
/* Faults in init while it holds rtnl: freeing the module cannot give the lock back. */
//#Verdict: findings
//#Expect: oops init at live_rtnl_init
//#May: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>
#include <linux/rtnetlink.h>

static int __init live_rtnl_init(void)
{
	rtnl_lock();
	*(volatile int *)16 = 1;
	rtnl_unlock();
	return 0;
}

static void __exit live_rtnl_exit(void)
{
}

module_init(live_rtnl_init);
module_exit(live_rtnl_exit);
MODULE_LICENSE("GPL");
