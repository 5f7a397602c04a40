// SPDX-License-Identifier: GPL-2.0
/* Sends the stack pointer somewhere else and calls the kernel, and a second time into nothing. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>
#include <linux/slab.h>

static unsigned long where = 0x10;
module_param(where, ulong, 0444);

static int __init wreck_stack_init(void)
{
	asm volatile("mov %0, %%rsp\n\txor %%edi, %%edi\n\tcall kfree"
		     : : "r"(where) : "memory");
	return 0;
}

static void __exit wreck_stack_exit(void)
{
}

module_init(wreck_stack_init);
module_exit(wreck_stack_exit);
MODULE_LICENSE("GPL");
