// SPDX-License-Identifier: GPL-2.0
/* Uses a symbol of a namespace that it does not import: refused. */
//#With: secret-symbols.ko
//#Build: blind
//#Result: load=-22 exit=not-run
//#Real: load=-22 log "uses symbol (secret_number) from namespace LKM_SECRETS, but does not import it."
#include <linux/module.h>

extern int secret_number(void);

static int __init namespace_missing_init(void)
{
	return secret_number() ? 0 : -EINVAL;
}

static void __exit namespace_missing_exit(void)
{
}

module_init(namespace_missing_init);
module_exit(namespace_missing_exit);
MODULE_LICENSE("GPL");
