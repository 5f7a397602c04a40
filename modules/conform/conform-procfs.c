// SPDX-License-Identifier: GPL-2.0
/* Files in /proc, read and sought, the ways to fill a seq_file, and entries of debugfs. */
//#Conforms: proc_create proc_create_single_data proc_mkdir_mode proc_mkdir_data
//#Conforms: proc_create_seq_private proc_symlink proc_set_size proc_set_user seq_open
//#Conforms: seq_lseek seq_release __seq_open_private seq_list_start_head seq_list_next seq_pad
//#Conforms: seq_put_decimal_ull seq_put_decimal_ll seq_vprintf seq_escape_mem simple_open
//#Conforms: debugfs_lookup_and_remove noop_llseek vfs_llseek nonseekable_open
//#Conforms: fixed_size_llseek kernel_read
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include "check.h"

static char buf[256];

static int get(const char *path)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	loff_t pos = 0;
	int ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	memset(buf, 0, sizeof(buf));
	ret = kernel_read(file, buf, sizeof(buf) - 1, &pos);
	filp_close(file, NULL);
	return ret;
}

static bool is(const char *path, const char *text)
{
	int ret = get(path);

	if (ret == strlen(text) && !strcmp(buf, text))
		return true;
	pr_err("%s: %d, \"%s\" and not \"%s\"\n", path, ret, buf, text);
	return false;
}

struct item {
	struct list_head list;
	int number;
};

static LIST_HEAD(items);
static struct item three[3] = { { .number = 1 }, { .number = 22 }, { .number = 333 } };

static void *start(struct seq_file *m, loff_t *pos)
{
	return seq_list_start_head(&items, *pos);
}

static void *next(struct seq_file *m, void *v, loff_t *pos)
{
	return seq_list_next(v, &items, pos);
}

static void stop(struct seq_file *m, void *v)
{
}

static void formatted(struct seq_file *m, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	seq_vprintf(m, fmt, args);
	va_end(args);
}

static int show(struct seq_file *m, void *v)
{
	if (v == &items) {
		seq_puts(m, "head");
	} else {
		seq_put_decimal_ull(m, "n=", list_entry(v, struct item, list)->number);
		seq_put_decimal_ll(m, " m=", -list_entry(v, struct item, list)->number);
		formatted(m, " %s", "f");
	}
	seq_putc(m, '\n');
	return 0;
}

static const struct seq_operations list_ops = { .start = start, .next = next, .stop = stop, .show = show };

static int single_show(struct seq_file *m, void *v)
{
	seq_setwidth(m, 7);
	seq_printf(m, "%s", (char *)m->private);
	seq_pad(m, '|');
	seq_escape_mem(m, "a\tb", 3, ESCAPE_SPACE, NULL);
	return 0;
}

static int plain_open(struct inode *inode, struct file *file)
{
	int ret = seq_open(file, &list_ops);

	if (!ret)
		((struct seq_file *)file->private_data)->private = NULL;
	return ret;
}

static const struct proc_ops plain_ops = {
	.proc_open = plain_open, .proc_read = seq_read, .proc_lseek = seq_lseek, .proc_release = seq_release,
};

static int private_open(struct inode *inode, struct file *file)
{
	int *n = __seq_open_private(file, &list_ops, sizeof(int));

	return n && *n == 0 ? 0 : -ENOMEM;
}

static const struct proc_ops private_ops = {
	.proc_open = private_open, .proc_read = seq_read, .proc_release = seq_release_private,
};

#define LIST "head\nn=1 m=-1 f\nn=22 m=-22 f\nn=333 m=-333 f\n"

static int check_proc(void)
{
	struct proc_dir_entry *dir = proc_mkdir_mode("lkm-conform-proc", 0555, NULL), *e;
	struct file *file;
	int n;

	for (n = 0; n < 3; n++)
		list_add_tail(&three[n].list, &items);
	CHECK(dir && proc_create_single_data("single", 0444, dir, single_show, (void *)"text"));
	CHECK(is("/proc/lkm-conform-proc/single", "text   |a\\tb"));
	CHECK(proc_create("plain", 0444, dir, &plain_ops));
	CHECK(proc_create("private", 0444, dir, &private_ops));
	e = proc_create_seq("list", 0444, dir, &list_ops);
	CHECK(e && is("/proc/lkm-conform-proc/list", LIST));
	proc_set_user(e, KUIDT_INIT(7), KGIDT_INIT(8));
	proc_set_size(e, 99);
	/* A method for user memory is none for the kernel. */
	CHECK(get("/proc/lkm-conform-proc/plain") == -EINVAL);
	file = filp_open("/proc/lkm-conform-proc/plain", O_RDONLY, 0);
	CHECK(!IS_ERR(file));
	CHECK(vfs_llseek(file, 7, SEEK_SET) == 7 && vfs_llseek(file, 2, SEEK_CUR) == 9);
	CHECK(vfs_llseek(file, -1, SEEK_SET) == -EINVAL);
	filp_close(file, NULL);
	CHECK(proc_symlink("link", dir, "single"));
	CHECK(proc_mkdir_data("inner", 0555, dir, &items));
	proc_remove(dir);
	CHECK(get("/proc/lkm-conform-proc/single") == -ENOENT);
	return 0;
}

static u8 b8 = 8;
static u16 b16 = 16;
static u32 b32 = 32;
static u64 b64 = 64;
static size_t size = 77;
static unsigned long ul = 88;
static atomic_t at = ATOMIC_INIT(-9);
static bool flag;
static struct debugfs_blob_wrapper blob = { .data = (void *)"blob!", .size = 5 };

static int check_debugfs(void)
{
	struct dentry *dir = debugfs_create_dir("lkm-conform-dbg", NULL);

	CHECK(!IS_ERR_OR_NULL(dir));
	debugfs_create_u8("u8", 0600, dir, &b8);
	debugfs_create_u16("u16", 0600, dir, &b16);
	debugfs_create_u32("u32", 0600, dir, &b32);
	debugfs_create_u64("u64", 0600, dir, &b64);
	debugfs_create_x8("x8", 0600, dir, &b8);
	debugfs_create_x16("x16", 0600, dir, &b16);
	debugfs_create_x32("x32", 0600, dir, &b32);
	debugfs_create_x64("x64", 0600, dir, &b64);
	debugfs_create_size_t("size", 0600, dir, &size);
	debugfs_create_ulong("ulong", 0600, dir, &ul);
	debugfs_create_atomic_t("atomic", 0600, dir, &at);
	debugfs_create_bool("bool", 0600, dir, &flag);
	debugfs_create_blob("blob", 0400, dir, &blob);
	debugfs_create_symlink("link", dir, "u32");
	debugfs_lookup_and_remove("u8", dir);
	CHECK(!debugfs_lookup("u8", dir));
	debugfs_remove(dir);
	return 0;
}

static int check_seeks(void)
{
	struct inode inode = { .i_size = 100, .i_private = buf, .i_mapping = NULL };
	struct file file = { .f_inode = &inode, .f_mode = FMODE_LSEEK | FMODE_PREAD };

	file.f_pos = 11;
	CHECK(noop_llseek(&file, 5, SEEK_SET) == 11);
	mutex_init(&file.f_pos_lock);
	CHECK(fixed_size_llseek(&file, 7, SEEK_SET, 10) == 7 && fixed_size_llseek(&file, 3, SEEK_END, 10) == -EINVAL);
	CHECK(fixed_size_llseek(&file, -3, SEEK_END, 10) == 7);
	CHECK(!simple_open(&inode, &file) && file.private_data == buf);
	CHECK(!nonseekable_open(&inode, &file) && !(file.f_mode & (FMODE_LSEEK | FMODE_PREAD)));
	return 0;
}

CHECKS(check_proc, check_debugfs, check_seeks);
