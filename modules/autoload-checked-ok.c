// SPDX-License-Identifier: GPL-2.0
/* The same request, and a second look: what did not come is not used, whatever the answer was. */
//#Verdict: clean
//#Result: load=-2 init=-2 exit=not-run
//#Real: load=-2 silent
#include <linux/errno.h>
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

static int __init autoload_checked_ok_init(void)
{
	struct engine *engine = try_then_request_module(find_engine(), "lkm-no-such-engine");

	if (!engine)
		return -ENOENT;
	return engine->start();
}

static void __exit autoload_checked_ok_exit(void)
{
}

module_init(autoload_checked_ok_init);
module_exit(autoload_checked_ok_exit);
MODULE_LICENSE("GPL");
