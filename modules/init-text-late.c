// SPDX-License-Identifier: GPL-2.0
/* Exit calls a helper that is marked __init: its text has gone since the load. */
//#Verdict: findings
//#Expect: init-section-use exit
//#May: oops
//#May: wedged-module
//#Result: load=0 init=0 exit=fault
//#Real: unsafe
#include <linux/module.h>

static int mode;

static noinline void __init reset_mode(int m)
{
	mode = m;
}

static void (*reset)(int);

static int __init init_text_late_init(void)
{
	reset = reset_mode;
	reset(1);
	return 0;
}

static void __exit init_text_late_exit(void)
{
	reset(0);
}

module_init(init_text_late_init);
module_exit(init_text_late_exit);
MODULE_LICENSE("GPL");
