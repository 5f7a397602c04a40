// SPDX-License-Identifier: GPL-2.0
/* The smallest correct module that does something: prints, allocates, frees. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *note;

static int __init hello_init(void)
{
	note = kmalloc(64, GFP_KERNEL);
	if (!note)
		return -ENOMEM;
	strscpy(note, "hello from a module", 64);
	pr_info("%s\n", note);
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("goodbye\n");
	kfree(note);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
