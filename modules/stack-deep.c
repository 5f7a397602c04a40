// SPDX-License-Identifier: GPL-2.0
/* A recursion whose end depends on data that never ends it. */
//#Verdict: findings
//#Expect: stack-overflow init
//#May: oops
//#May: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>
#include <linux/string.h>

static noinline int descend(int depth, const char *path)
{
	char here[256];

	memset(here, depth, sizeof(here));
	OPTIMIZER_HIDE_VAR(path);
	if (path[0] == '\0')
		return here[5];
	depth = descend(depth + 1, path);
	/* What was filled is looked at after the return, so no loop can stand for the calls. */
	OPTIMIZER_HIDE_VAR(depth);
	return depth + here[depth & 255];
}

static int __init stack_deep_init(void)
{
	return descend(0, "/") == 0x7fffffff ? -EINVAL : 0;
}

static void __exit stack_deep_exit(void)
{
}

module_init(stack_deep_init);
module_exit(stack_deep_exit);
MODULE_LICENSE("GPL");
