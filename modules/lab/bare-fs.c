// SPDX-License-Identifier: GPL-2.0
/* A file system of the old mount method whose type names no owner: nothing holds this module while it is mounted. */
//#Verdict: findings
//#Expect: missing-owner init "file system barefs"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: 0x42415245 -> 0x7654321
#include <linux/fs.h>
#include <linux/module.h>

static int bare_fill(struct super_block *sb, void *data, int silent)
{
	static const struct tree_descr files[] = { { "" } };

	return simple_fill_super(sb, 0x42415245, files);
}

static struct dentry *bare_mount(struct file_system_type *type, int flags, const char *name, void *data)
{
	return mount_nodev(type, flags, data, bare_fill);
}

static struct file_system_type bare_fs = {
	.name = "barefs",
	.mount = bare_mount,
	.kill_sb = kill_litter_super,
};

static int __init bare_fs_init(void)
{
	return register_filesystem(&bare_fs);
}

static void __exit bare_fs_exit(void)
{
	unregister_filesystem(&bare_fs);
}

module_init(bare_fs_init);
module_exit(bare_fs_exit);
MODULE_LICENSE("GPL");
