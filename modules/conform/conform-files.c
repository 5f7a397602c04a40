// SPDX-License-Identifier: GPL-2.0
/* seq_file, simple buffers, sysfs helpers, debugfs entries, as far as they go without a process. */
//#Conforms: seq_printf seq_puts seq_putc seq_write memory_read_from_buffer proc_mkdir
//#Conforms: proc_create_single_data proc_create_data remove_proc_entry remove_proc_subtree
//#Conforms: proc_remove debugfs_create_dir debugfs_create_file debugfs_remove debugfs_lookup
//#Conforms: sysfs_create_file_ns sysfs_remove_file_ns sysfs_create_group sysfs_remove_group
//#Conforms: sysfs_create_link sysfs_remove_link
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kobject.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include "check.h"

static int check_seq(void)
{
	char buf[16];
	struct seq_file m = { .buf = buf, .size = sizeof(buf) };
	loff_t pos = 2;
	char to[8];

	seq_printf(&m, "%d-%s", 12, "ab");
	seq_puts(&m, "/x");
	seq_putc(&m, '!');
	CHECK(m.count == 8 && !memcmp(buf, "12-ab/x!", 8) && !seq_has_overflowed(&m));
	CHECK(!seq_write(&m, "zz", 2) && m.count == 10);
	seq_printf(&m, "%s", "more than there is room for");
	CHECK(seq_has_overflowed(&m) && m.count == sizeof(buf));
	CHECK(memory_read_from_buffer(to, 8, &pos, "abcdef", 6) == 4 && pos == 6 && !memcmp(to, "cdef", 4));
	CHECK(memory_read_from_buffer(to, 8, &pos, "abcdef", 6) == 0);
	pos = -1;
	CHECK(memory_read_from_buffer(to, 8, &pos, "abcdef", 6) == -EINVAL);
	return 0;
}

static int show(struct seq_file *m, void *v)
{
	return 0;
}

static const struct proc_ops no_ops;

static int check_proc(void)
{
	struct proc_dir_entry *dir = proc_mkdir("lkm-conform", NULL), *entry;

	CHECK(dir);
	entry = proc_create_single_data("one", 0444, dir, show, NULL);
	CHECK(entry);
	CHECK(proc_create_data("two", 0600, dir, &no_ops, NULL));
	CHECK(proc_mkdir("deep", dir));
	proc_remove(entry);
	remove_proc_entry("two", dir);
	CHECK(proc_create_data("two", 0600, dir, &no_ops, NULL));
	remove_proc_subtree("lkm-conform", NULL);
	CHECK(proc_mkdir("lkm-conform", NULL));
	remove_proc_entry("lkm-conform", NULL);
	return 0;
}

static const struct file_operations no_fops = { .owner = THIS_MODULE };

static int check_debugfs(void)
{
	struct dentry *dir = debugfs_create_dir("lkm-conform", NULL), *file, *found;

	CHECK(!IS_ERR(dir));
	CHECK(debugfs_create_dir("lkm-conform", NULL) == ERR_PTR(-EEXIST));
	file = debugfs_create_file("file", 0400, dir, NULL, &no_fops);
	CHECK(!IS_ERR(file));
	found = debugfs_lookup("file", dir);
	CHECK(found == file && !debugfs_lookup("other", dir));
	dput(found);
	debugfs_remove(dir);
	CHECK(!debugfs_lookup("lkm-conform", NULL));
	debugfs_remove(NULL);
	debugfs_remove(ERR_PTR(-ENODEV));
	return 0;
}

static ssize_t v_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "v\n");
}

static struct kobj_attribute v_attr = __ATTR_RO(v);
static struct attribute *attrs[] = { &v_attr.attr, NULL };
static const struct attribute_group group = { .name = "group", .attrs = attrs };

static int check_sysfs(void)
{
	struct kobject *a = kobject_create_and_add("lkm-conform-a", kernel_kobj);
	struct kobject *b = kobject_create_and_add("lkm-conform-b", kernel_kobj);

	CHECK(a && b);
	CHECK(!sysfs_create_file(a, &v_attr.attr));
	CHECK(!sysfs_create_group(a, &group));
	CHECK(!sysfs_create_link(b, a, "to-a"));
	sysfs_remove_link(b, "to-a");
	sysfs_remove_group(a, &group);
	CHECK(!sysfs_create_group(a, &group));
	sysfs_remove_file(a, &v_attr.attr);
	kobject_put(b);
	kobject_put(a);
	return 0;
}

CHECKS(check_seq, check_proc, check_debugfs, check_sysfs);
