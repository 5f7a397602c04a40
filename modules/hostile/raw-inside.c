// SPDX-License-Identifier: GPL-2.0
/*
 * Looks for a system call instruction in the program that it runs in, by way of the kernel function's own code, and
 * calls it there: would signal 0 reach another process?
 */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>
#include <linux/slab.h>

static long call_at(const unsigned char *at, long nr, long a, long b, long c)
{
	long ret;

	asm volatile("call *%[at]" : "=a"(ret)
		     : [at] "r"(at), "a"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r8", "r9", "r10", "r11", "memory");
	return ret;
}

static int __init raw_inside_init(void)
{
	const unsigned char *gate = (const unsigned char *)kfree, *at;
	long n;

	for (n = 0; n < 24; n++) {
		/* mov r10, imm64: where the code of the call goes on */
		if (gate[n] != 0x49 || gate[n + 1] != 0xba)
			continue;
		at = *(const unsigned char **)(gate + n + 2);
		for (n = 0; n < 4 << 20; n++)
			if (at[n] == 0x0f && at[n + 1] == 0x05)
				return call_at(at + n, 234, 1, 1, 0) ? -EPERM : 0;
		break;
	}
	return -ENOENT;
}

static void __exit raw_inside_exit(void)
{
}

module_init(raw_inside_init);
module_exit(raw_inside_exit);
MODULE_LICENSE("GPL");
