// SPDX-License-Identifier: GPL-2.0
/* Init writes through a NULL pointer: the loading task dies and the module stays Loading for ever. */
//#Verdict: findings
//#Expect: oops init at fill
//#Expect: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>

struct device_state {
	int number;
	char *name;
};

static struct device_state state;

static noinline void fill(struct device_state *s)
{
	strcpy(s->name, "unset");
}

static int __init oops_init_init(void)
{
	state.number = 7;
	fill(&state);
	return 0;
}

static void __exit oops_init_exit(void)
{
}

module_init(oops_init_init);
module_exit(oops_init_exit);
MODULE_LICENSE("GPL");
