// SPDX-License-Identifier: GPL-2.0
/* Init calls the 32-bit system call gate (getpid there). */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static int __init raw_int80_init(void)
{
	long ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory");
	return ret > 0 ? 0 : -EINVAL;
}

static void __exit raw_int80_exit(void)
{
}

module_init(raw_int80_init);
module_exit(raw_int80_exit);
MODULE_LICENSE("GPL");
