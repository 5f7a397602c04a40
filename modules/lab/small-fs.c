// SPDX-License-Identifier: GPL-2.0
/*
 * A file system without a disk: one file, `note`. A mount of it, and its file when it is open, hold this module.
 *
 * fail=N   filling a superblock fails with -N
 */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: 2 -> 5, 0x534d414c -> 0x1234567
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/module.h>

static int fail;
module_param(fail, int, 0644);

static ssize_t note_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	static const char text[] = "a small file\n";

	return simple_read_from_buffer(buf, len, pos, text, sizeof(text) - 1);
}

static const struct file_operations note_fops = {
	.owner = THIS_MODULE,
	.read = note_read,
};

static int small_fill(struct super_block *sb, struct fs_context *fc)
{
	static const struct tree_descr files[] = {
		[2] = { "note", &note_fops, 0444 },
		{ "" },
	};

	if (fail)
		return -fail;
	return simple_fill_super(sb, 0x534d414c, files);
}

static int small_get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, small_fill);
}

static const struct fs_context_operations small_context = {
	.get_tree = small_get_tree,
};

static int small_init_fs_context(struct fs_context *fc)
{
	fc->ops = &small_context;
	return 0;
}

static void small_kill(struct super_block *sb)
{
	pr_info("small-fs: superblock goes\n");
	kill_litter_super(sb);
}

static struct file_system_type small_fs = {
	.owner = THIS_MODULE,
	.name = "smallfs",
	.init_fs_context = small_init_fs_context,
	.kill_sb = small_kill,
};

static int __init small_fs_init(void)
{
	return register_filesystem(&small_fs);
}

static void __exit small_fs_exit(void)
{
	unregister_filesystem(&small_fs);
}

module_init(small_fs_init);
module_exit(small_fs_exit);
MODULE_LICENSE("GPL");
MODULE_ALIAS_FS("smallfs");
