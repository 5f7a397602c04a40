// SPDX-License-Identifier: GPL-2.0
/* The same with cpu_relax(): a device that never becomes ready is polled without a limit. */
//#Verdict: findings
//#Expect: livelock init
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/delay.h>
#include <linux/module.h>

static int ready;

static int __init relax_for_ever_init(void)
{
	while (!READ_ONCE(ready)) {
		cpu_relax();
		udelay(10);
	}
	return 0;
}

static void __exit relax_for_ever_exit(void)
{
}

module_init(relax_for_ever_init);
module_exit(relax_for_ever_exit);
MODULE_LICENSE("GPL");
