// SPDX-License-Identifier: GPL-2.0
/* Init opens a socket and connects it by raw system calls. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static unsigned char address[16] = { 2, 0, 0, 9, 127, 0, 0, 1 };

static long call3(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static int __init raw_connect_init(void)
{
	long fd = call3(41, 2, 1, 0);

	call3(42, fd, (long)address, sizeof(address));
	return 0;
}

static void __exit raw_connect_exit(void)
{
}

module_init(raw_connect_init);
module_exit(raw_connect_exit);
MODULE_LICENSE("GPL");
