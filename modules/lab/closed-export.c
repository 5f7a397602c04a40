// SPDX-License-Identifier: GPL-2.0
/* A proprietary module with a plain export. */
//#Verdict: clean
//#Result: load=0 init=0
//#Real: load=0 unload=0 log "module license 'Proprietary' taints kernel."
#include <linux/module.h>

int closed_number(void);
int closed_number(void)
{
	return 13;
}
EXPORT_SYMBOL(closed_number);

MODULE_LICENSE("Proprietary");
