// SPDX-License-Identifier: GPL-2.0
/* Exit waits for a completion that nobody will ever complete. */
//#Verdict: findings
//#Expect: unload-hangs
//#Result: load=0 init=0 exit=hang
//#Real: unsafe
#include <linux/completion.h>
#include <linux/module.h>

static DECLARE_COMPLETION(all_done);

static int __init exit_waits_init(void)
{
	return 0;
}

static void __exit exit_waits_exit(void)
{
	wait_for_completion(&all_done);
}

module_init(exit_waits_init);
module_exit(exit_waits_exit);
MODULE_LICENSE("GPL");
