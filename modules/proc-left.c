// SPDX-License-Identifier: GPL-2.0
/* One of two /proc files is removed. */
//#Verdict: findings
//#Expect: left-registered "proc"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static int show_answer(struct seq_file *m, void *v)
{
	seq_printf(m, "%d\n", 42);
	return 0;
}

static int __init proc_left_init(void)
{
	if (!proc_create_single("lkm-answer", 0444, NULL, show_answer))
		return -ENOMEM;
	if (!proc_create_single("lkm-answer-again", 0444, NULL, show_answer)) {
		remove_proc_entry("lkm-answer", NULL);
		return -ENOMEM;
	}
	return 0;
}

static void __exit proc_left_exit(void)
{
	remove_proc_entry("lkm-answer", NULL);
}

module_init(proc_left_init);
module_exit(proc_left_exit);
MODULE_LICENSE("GPL");
