// SPDX-License-Identifier: GPL-2.0
/* The set callback of a parameter uses what only init makes: it runs before init. */
//#Args: level=3
//#Verdict: findings
//#Expect: oops at level_set
//#Expect: wedged-module
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

struct table {
	int levels[4];
};

static struct table *table;

static int level_set(const char *val, const struct kernel_param *kp)
{
	int n, ret = kstrtoint(val, 0, &n);

	if (ret)
		return ret;
	table->levels[n & 3] = n;
	return 0;
}

static const struct kernel_param_ops level_ops = {
	.set = level_set,
};
module_param_cb(level, &level_ops, NULL, 0200);

static int __init param_oops_init(void)
{
	table = kzalloc(sizeof(*table), GFP_KERNEL);
	return table ? 0 : -ENOMEM;
}

static void __exit param_oops_exit(void)
{
	kfree(table);
}

module_init(param_oops_init);
module_exit(param_oops_exit);
MODULE_LICENSE("GPL");
