// SPDX-License-Identifier: GPL-2.0
/* Walks the module list and reads state and count of another module; holds it by the proper call meanwhile. */
//#With: hello.ko
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Log: "count-read-ok: hello has 1"
//#Real: load=0 unload=0 silent
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/string.h>

static int __init count_read_ok_init(void)
{
	struct module *other;

	list_for_each_entry(other, &THIS_MODULE->list, list)
		if (!strcmp(other->name, "hello")) {
			if (other->state != MODULE_STATE_LIVE || !try_module_get(other))
				return -EBUSY;
			pr_info("count-read-ok: %s has %d\n", other->name, (int)module_refcount(other));
			module_put(other);
			return 0;
		}
	return -ENOENT;
}

static void __exit count_read_ok_exit(void)
{
}

module_init(count_read_ok_init);
module_exit(count_read_ok_exit);
MODULE_LICENSE("GPL");
