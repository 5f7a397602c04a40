// SPDX-License-Identifier: GPL-2.0
/* debugfs files that point into the module's data stay behind. */
//#Verdict: findings
//#Expect: left-registered "debugfs"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/debugfs.h>
#include <linux/module.h>

static u32 depth = 4;

static int __init debugfs_left_init(void)
{
	struct dentry *dir = debugfs_create_dir("lkm-depth", NULL);

	debugfs_create_u32("depth", 0644, dir, &depth);
	return 0;
}

static void __exit debugfs_left_exit(void)
{
}

module_init(debugfs_left_init);
module_exit(debugfs_left_exit);
MODULE_LICENSE("GPL");
