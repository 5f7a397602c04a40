// SPDX-License-Identifier: GPL-2.0
/* A timer callback takes a reference for each tick and gives back all but the last. */
//#Verdict: findings
//#Expect: module-pinned "on_tick"
//#Expect: self-module-get
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-11 silent wait
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/timer.h>

static unsigned int left = 4;
static struct timer_list ticker;

static void on_tick(struct timer_list *t)
{
	if (!try_module_get(THIS_MODULE))
		return;
	if (--left) {
		mod_timer(t, jiffies + HZ / 20);
		module_put(THIS_MODULE);
	}
}

static int __init pin_timer_init(void)
{
	timer_setup(&ticker, on_tick, 0);
	mod_timer(&ticker, jiffies + HZ / 20);
	return 0;
}

static void __exit pin_timer_exit(void)
{
	del_timer_sync(&ticker);
}

module_init(pin_timer_init);
module_exit(pin_timer_exit);
MODULE_LICENSE("GPL");
