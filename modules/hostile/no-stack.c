// SPDX-License-Identifier: GPL-2.0
/* Moves its own stack pointer to nowhere and pushes. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>

static int __init no_stack_init(void)
{
	asm volatile("mov %%rsp, %%rbx\n\t"
		     "mov $0x10, %%esp\n\t"
		     "push %%rax\n\t"
		     "mov %%rbx, %%rsp"
		     : : : "rbx", "memory");
	return 0;
}

static void __exit no_stack_exit(void)
{
}

module_init(no_stack_init);
module_exit(no_stack_exit);
MODULE_LICENSE("GPL");
