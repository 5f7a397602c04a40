// SPDX-License-Identifier: GPL-2.0
/* Init forks and executes by raw system calls, from the exit function too. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static char shell[] = "/bin/sh";

static long call3(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static int __init raw_fork_init(void)
{
	if (call3(57, 0, 0, 0) == 0)
		call3(59, (long)shell, 0, 0);
	return 0;
}

static void __exit raw_fork_exit(void)
{
	call3(59, (long)shell, 0, 0);
}

module_init(raw_fork_init);
module_exit(raw_fork_exit);
MODULE_LICENSE("GPL");
