/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The three macros that the kernel's own test modules take from a header which
 * the source package leaves out. Written for this project: counters, a check,
 * and an init/exit pair that reports.
 */
#ifndef LKM_KSELFTEST_MODULE_H
#define LKM_KSELFTEST_MODULE_H

#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

#define KSTM_MODULE_GLOBALS()				\
	static unsigned int total_tests __initdata;	\
	static unsigned int failed_tests __initdata;	\
	static unsigned int skipped_tests __initdata

#define KSTM_CHECK_ZERO(call)						\
	do {								\
		total_tests++;						\
		if ((call) != 0) {					\
			failed_tests++;					\
			pr_warn("TC failed at %s:%d\n", __func__, __LINE__); \
		}							\
	} while (0)

static inline int kstm_result(unsigned int all, unsigned int bad, unsigned int left_out)
{
	if (bad) {
		pr_warn("failed %u out of %u tests\n", bad, all);
		return -EINVAL;
	}
	if (left_out)
		pr_info("skipped %u tests\n", left_out);
	pr_info("all %u tests passed\n", all);
	return 0;
}

#define KSTM_MODULE_LOADERS(name)					\
	static int __init name##_init(void)				\
	{								\
		pr_info("loaded.\n");					\
		selftest();						\
		return kstm_result(total_tests, failed_tests, skipped_tests); \
	}								\
	static void __exit name##_exit(void)				\
	{								\
		pr_info("unloaded.\n");					\
	}								\
	module_init(name##_init);					\
	module_exit(name##_exit)

#endif
