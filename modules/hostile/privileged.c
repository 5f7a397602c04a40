// SPDX-License-Identifier: GPL-2.0
/* Halts, writes a model specific register and a control register. */
//#Hostile: contained
//#Args: what=1
//#Real: unsafe
#include <linux/module.h>

static int what;
module_param(what, int, 0444);

static int __init privileged_init(void)
{
	switch (what) {
	case 0:
		asm volatile("hlt");
		break;
	case 1:
		asm volatile("wrmsr" : : "c"(0xc0000082), "a"(0), "d"(0) : "memory");
		break;
	default:
		asm volatile("mov %0, %%cr3" : : "r"(0ul) : "memory");
	}
	return 0;
}

static void __exit privileged_exit(void)
{
}

module_init(privileged_init);
module_exit(privileged_exit);
MODULE_LICENSE("GPL");
