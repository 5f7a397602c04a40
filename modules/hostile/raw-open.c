// SPDX-License-Identifier: GPL-2.0
/* Init makes system calls of its own: opens and writes a file of the host. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static char path[] = "/tmp/lkm-was-here";

static long call3(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static int __init raw_open_init(void)
{
	long fd = call3(2, (long)path, 0101, 0666);

	call3(1, fd, (long)path, sizeof(path));
	call3(3, fd, 0, 0);
	return 0;
}

static void __exit raw_open_exit(void)
{
}

module_init(raw_open_init);
module_exit(raw_open_exit);
MODULE_LICENSE("GPL");
