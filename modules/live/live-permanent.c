// SPDX-License-Identifier: GPL-2.0
/* An init and no exit: the kernel keeps it until the next boot. */
#include <linux/module.h>

static int __init live_permanent_init(void)
{
	return 0;
}

module_init(live_permanent_init);
MODULE_LICENSE("GPL");
