// SPDX-License-Identifier: GPL-2.0
/* A file system type stays on the kernel's list. */
//#Verdict: findings
//#Expect: left-registered "filesystem"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/fs.h>
#include <linux/module.h>

static int no_context(struct fs_context *fc)
{
	return -EOPNOTSUPP;
}

static struct file_system_type emptyfs = {
	.owner = THIS_MODULE,
	.name = "lkm-emptyfs",
	.init_fs_context = no_context,
	.kill_sb = kill_anon_super,
};

static int __init filesystem_left_init(void)
{
	return register_filesystem(&emptyfs);
}

static void __exit filesystem_left_exit(void)
{
}

module_init(filesystem_left_init);
module_exit(filesystem_left_exit);
MODULE_LICENSE("GPL");
