// SPDX-License-Identifier: GPL-2.0
/* Prints without end: the log and the trace must stay bounded. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static int __init log_flood_init(void)
{
	unsigned long n;

	for (n = 0; n < 100000000ul; n++)
		pr_info("line %lu of very many, and it is a long one at that, padded %60s\n", n, "");
	return 0;
}

static void __exit log_flood_exit(void)
{
}

module_init(log_flood_init);
module_exit(log_flood_exit);
MODULE_LICENSE("GPL");
