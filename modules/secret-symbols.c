// SPDX-License-Identifier: GPL-2.0
/* Exports under a namespace and for GPL modules only. Correct. */
//#Verdict: clean
//#Result: load=0 init=0
//#Real: load=0 unload=0 silent
#include <linux/module.h>

int secret_number(void);
int secret_number(void)
{
	return 1729;
}
EXPORT_SYMBOL_NS_GPL(secret_number, LKM_SECRETS);

int gpl_number(void);
int gpl_number(void)
{
	return 91;
}
EXPORT_SYMBOL_GPL(gpl_number);

MODULE_LICENSE("GPL");
