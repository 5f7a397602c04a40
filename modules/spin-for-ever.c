// SPDX-License-Identifier: GPL-2.0
/* Init waits, without ever yielding, for a flag that only a timer it never starts would set. */
//#Verdict: findings
//#Expect: livelock init
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>

static int flag;

static int __init spin_for_ever_init(void)
{
	while (!READ_ONCE(flag))
		;
	return 0;
}

static void __exit spin_for_ever_exit(void)
{
}

module_init(spin_for_ever_init);
module_exit(spin_for_ever_exit);
MODULE_LICENSE("GPL");
