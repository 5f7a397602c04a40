// SPDX-License-Identifier: GPL-2.0
/*
 * A helper module is requested, and its exported function is called without a look whether it came: only a negative
 * answer counts as failure here, and modprobe's exit status is positive.
 */
//#Verdict: findings
//#Expect: autoload-result-ignored init at start_engine "lkm-no-such-engine"
//#May: oops
//#May: wild-access
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/kmod.h>
#include <linux/module.h>

struct engine {
	int (*start)(void);
};

static struct engine *registered;

static noinline struct engine *find_engine(void)
{
	return READ_ONCE(registered);
}

static noinline int start_engine(void)
{
	struct engine *engine = find_engine();

	if (!engine) {
		if (request_module("lkm-no-such-engine") < 0)
			return -ENOENT;
		engine = find_engine();
	}
	return engine->start();
}

static int __init autoload_ignored_init(void)
{
	return start_engine();
}

static void __exit autoload_ignored_exit(void)
{
}

module_init(autoload_ignored_init);
module_exit(autoload_ignored_exit);
MODULE_LICENSE("GPL");
