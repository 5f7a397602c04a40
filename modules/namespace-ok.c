// SPDX-License-Identifier: GPL-2.0
/* Imports the namespace of what it uses: correct. */
//#With: secret-symbols.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>

extern int secret_number(void);
extern int gpl_number(void);

static int __init namespace_ok_init(void)
{
	return secret_number() - gpl_number() == 1638 ? 0 : -EINVAL;
}

static void __exit namespace_ok_exit(void)
{
}

module_init(namespace_ok_init);
module_exit(namespace_ok_exit);
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(LKM_SECRETS);
