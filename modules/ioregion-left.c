// SPDX-License-Identifier: GPL-2.0
/* An I/O port region is requested and kept: the next load gets -EBUSY. */
//#Verdict: findings
//#Expect: left-registered "region"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/ioport.h>
#include <linux/module.h>

static int __init ioregion_left_init(void)
{
	return request_region(0x2e0, 8, "lkm-ports") ? 0 : -EBUSY;
}

static void __exit ioregion_left_exit(void)
{
}

module_init(ioregion_left_init);
module_exit(ioregion_left_exit);
MODULE_LICENSE("GPL");
