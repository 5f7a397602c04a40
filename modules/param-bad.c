// SPDX-License-Identifier: GPL-2.0
/* Gets a number that does not fit its type: the load is refused with ERANGE. */
//#Args: small=256
//#Verdict: clean
//#Result: load=-34 exit=not-run
//#Real: load=-34 log "`256' invalid for parameter `small'"
#include <linux/module.h>

static unsigned char small;
module_param(small, byte, 0444);

static int __init param_bad_init(void)
{
	return 0;
}

static void __exit param_bad_exit(void)
{
}

module_init(param_bad_init);
module_exit(param_bad_exit);
MODULE_LICENSE("GPL");
