// SPDX-License-Identifier: GPL-2.0
/* The early return behind a condition forgets what was duplicated just before. */
//#Args: name=toolongname
//#Verdict: findings
//#Expect: memory-leak init "set_name"
//#Result: load=-36 init=-36 exit=not-run
//#Real: load=-36 silent
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *name = "short";
module_param(name, charp, 0444);

static char *kept;

static noinline int set_name(const char *text)
{
	char *copy = kstrdup(text, GFP_KERNEL);

	if (!copy)
		return -ENOMEM;
	if (strlen(copy) > 8)
		return -ENAMETOOLONG;
	kept = copy;
	return 0;
}

static int __init leak_if_init(void)
{
	return set_name(name);
}

static void __exit leak_if_exit(void)
{
	kfree(kept);
}

module_init(leak_if_init);
module_exit(leak_if_exit);
MODULE_LICENSE("GPL");
