// SPDX-License-Identifier: GPL-2.0
/* Takes itself off the module list: lsmod does not show it, and rmmod does not find it. */
//#Verdict: findings
//#Expect: forced-unload init at hides_itself_init "taken off the module list"
//#Result: load=0 init=0 exit=not-run
//#Real: unsafe
#include <linux/list.h>
#include <linux/module.h>

static int __init hides_itself_init(void)
{
	list_del_init(&THIS_MODULE->list);
	pr_info("hides-itself: gone from the list\n");
	return 0;
}

static void __exit hides_itself_exit(void)
{
}

module_init(hides_itself_init);
module_exit(hides_itself_exit);
MODULE_LICENSE("GPL");
