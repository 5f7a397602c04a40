// SPDX-License-Identifier: GPL-2.0
/* Writes at random addresses, low and high, until one of them faults. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static unsigned int seed = 12345;
module_param(seed, uint, 0444);

static unsigned int next(unsigned int *s)
{
	return *s = *s * 1103515245u + 12345u;
}

static int __init scribble_init(void)
{
	unsigned int s = seed;
	int n;

	for (n = 0; n < 100000; n++) {
		unsigned long at = ((unsigned long)next(&s) << 20) ^ next(&s);

		*(volatile unsigned char *)(at & 0x7fffffffffffUL) = 0xcc;
	}
	return 0;
}

static void __exit scribble_exit(void)
{
}

module_init(scribble_init);
module_exit(scribble_exit);
MODULE_LICENSE("GPL");
