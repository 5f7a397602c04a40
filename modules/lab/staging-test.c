// SPDX-License-Identifier: GPL-2.0
/* Says of itself that it is from staging and for tests: two taints. Correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "module is from the staging directory"
#include <linux/module.h>

static int __init staging_test_init(void)
{
	return 0;
}

static void __exit staging_test_exit(void)
{
}

module_init(staging_test_init);
module_exit(staging_test_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_INFO(staging, "Y");
MODULE_INFO(test, "Y");
MODULE_VERSION("1.5");
