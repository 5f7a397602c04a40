// SPDX-License-Identifier: GPL-2.0
/* An index that went below zero reads what lies in front of an array. */
//#Verdict: findings
//#Expect: out-of-bounds at top "before a slab object"
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>

static int depth = 3;
module_param(depth, int, 0444);

static int *stack;

static noinline int top(int filled)
{
	return stack[filled - 1];
}

static int __init read_before_init(void)
{
	int n;

	stack = kcalloc(8, sizeof(*stack), GFP_KERNEL);
	if (!stack)
		return -ENOMEM;
	for (n = 0; n < depth; n++)
		stack[n] = n * n;
	while (n >= 0)
		pr_info("top %d\n", top(n--));
	return 0;
}

static void __exit read_before_exit(void)
{
	kfree(stack);
}

module_init(read_before_init);
module_exit(read_before_exit);
MODULE_LICENSE("GPL");
