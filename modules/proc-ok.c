// SPDX-License-Identifier: GPL-2.0
/* A /proc directory with a seq_file in it, removed as a subtree: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static void *squares_start(struct seq_file *m, loff_t *pos)
{
	return *pos < 10 ? pos : NULL;
}

static void *squares_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return *pos < 10 ? pos : NULL;
}

static void squares_stop(struct seq_file *m, void *v)
{
}

static int squares_show(struct seq_file *m, void *v)
{
	loff_t n = *(loff_t *)v;

	seq_printf(m, "%lld %lld\n", n, n * n);
	return 0;
}

static const struct seq_operations squares_ops = {
	.start = squares_start,
	.next = squares_next,
	.stop = squares_stop,
	.show = squares_show,
};

static int __init proc_ok_init(void)
{
	struct proc_dir_entry *dir = proc_mkdir("lkm-squares", NULL);

	if (!dir)
		return -ENOMEM;
	if (!proc_create_seq("table", 0444, dir, &squares_ops)) {
		proc_remove(dir);
		return -ENOMEM;
	}
	return 0;
}

static void __exit proc_ok_exit(void)
{
	remove_proc_subtree("lkm-squares", NULL);
}

module_init(proc_ok_init);
module_exit(proc_ok_exit);
MODULE_LICENSE("GPL");
