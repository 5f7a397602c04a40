// SPDX-License-Identifier: GPL-2.0
/* Fails in init when its parameter says so, else shows a file in /proc: for the scripts of calls. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/string.h>

static char status[20];
module_param_string(status, status, sizeof(status), 0444);

static int __init status_file_init(void)
{
	if (!strcmp(status, "invalid"))
		return -EINVAL;
	return proc_mkdir("lkm-status", NULL) ? 0 : -ENOMEM;
}

static void __exit status_file_exit(void)
{
	remove_proc_entry("lkm-status", NULL);
}

module_init(status_file_init);
module_exit(status_file_exit);
MODULE_LICENSE("GPL");
