// SPDX-License-Identifier: GPL-2.0
/* The second allocation is used without a look at it: seen only when it fails. */
//#Verdict: findings
//#Expect: oops init at fault_unchecked_init "made to fail"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>

struct ledger {
	unsigned long lines;
	unsigned long *line;
};

static struct ledger *book;

static int __init fault_unchecked_init(void)
{
	book = kzalloc(sizeof(*book), GFP_KERNEL);
	if (!book)
		return -ENOMEM;
	book->lines = 12;
	book->line = kmalloc_array(book->lines, sizeof(*book->line), GFP_KERNEL);
	book->line[0] = book->lines;
	return 0;
}

static void __exit fault_unchecked_exit(void)
{
	kfree(book->line);
	kfree(book);
}

module_init(fault_unchecked_init);
module_exit(fault_unchecked_exit);
MODULE_LICENSE("GPL");
