// SPDX-License-Identifier: GPL-2.0
/* Init answers what request_module answered: modprobe's exit status is no errno, and the module stays loaded. */
//#Verdict: findings
//#Expect: autoload-result-ignored init "exit status 1"
//#Result: load=0 init=256 exit=done
//#Real: load=0 unload=0 log "suspiciously returned 256"
#include <linux/kmod.h>
#include <linux/module.h>

static int __init autoload_status_init(void)
{
	int ret = request_module("lkm-no-such-helper");

	if (ret)
		return ret;
	return 0;
}

static void __exit autoload_status_exit(void)
{
}

module_init(autoload_status_init);
module_exit(autoload_status_exit);
MODULE_LICENSE("GPL");
