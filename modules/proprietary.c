// SPDX-License-Identifier: GPL-2.0
/* Says that it is proprietary, so it does not see what is exported for GPL modules: refused. */
//#With: secret-symbols.ko
//#Build: blind
//#Result: load=-2 exit=not-run
//#Real: load=-2 log "Unknown symbol gpl_number (err -2)"
#include <linux/module.h>

extern int gpl_number(void);

static int __init proprietary_init(void)
{
	return gpl_number() ? 0 : -EINVAL;
}

static void __exit proprietary_exit(void)
{
}

module_init(proprietary_init);
module_exit(proprietary_exit);
MODULE_LICENSE("Proprietary");
