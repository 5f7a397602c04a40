// SPDX-License-Identifier: GPL-2.0
/* Polls a flag with a time limit, by jiffies and by ktime, and goes on: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/module.h>

static int ready;

static int __init poll_limit_ok_init(void)
{
	unsigned long end = jiffies + HZ / 20;
	ktime_t limit = ktime_add_ms(ktime_get(), 20);

	while (!READ_ONCE(ready) && time_before(jiffies, end))
		cpu_relax();
	while (!READ_ONCE(ready) && ktime_before(ktime_get(), limit))
		udelay(50);
	return 0;
}

static void __exit poll_limit_ok_exit(void)
{
}

module_init(poll_limit_ok_init);
module_exit(poll_limit_ok_exit);
MODULE_LICENSE("GPL");
