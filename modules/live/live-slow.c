// SPDX-License-Identifier: GPL-2.0
/* An init that takes its time: COMING, and alive. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/delay.h>
#include <linux/module.h>

static int ms = 20000;
module_param(ms, int, 0444);

static noinline void live_slow_wait(void)
{
	msleep(ms);
}

static int __init live_slow_init(void)
{
	live_slow_wait();
	return 0;
}

static void __exit live_slow_exit(void)
{
}

module_init(live_slow_init);
module_exit(live_slow_exit);
MODULE_LICENSE("GPL");
