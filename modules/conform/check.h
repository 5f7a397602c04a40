/* SPDX-License-Identifier: GPL-2.0 */
/* For the modules that check the kernel they run on: the first thing that is not so ends the load. */
#ifndef LKM_CONFORM_CHECK_H
#define LKM_CONFORM_CHECK_H

#include <linux/errno.h>
#include <linux/module.h>
#include <linux/printk.h>

#define CHECK(what)								\
	do {									\
		if (!(what)) {							\
			pr_err("%s, line %d: not so: %s\n", KBUILD_MODNAME,	\
			       __LINE__, #what);				\
			return -EINVAL;						\
		}								\
	} while (0)

/* Several checks in turn, as a module's init. */
#define CHECKS(...)								\
	static int __init conform_init(void)					\
	{									\
		static int (*const checks[])(void) = { __VA_ARGS__ };		\
		int n, ret = 0;							\
										\
		for (n = 0; n < ARRAY_SIZE(checks) && !ret; n++)		\
			ret = checks[n]();					\
		return ret;							\
	}									\
	static void __exit conform_exit(void) { }				\
	module_init(conform_init);						\
	module_exit(conform_exit);						\
	MODULE_LICENSE("GPL")

#endif
