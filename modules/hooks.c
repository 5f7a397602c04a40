// SPDX-License-Identifier: GPL-2.0
/* Exports a list of callbacks for others to hang on. Correct by itself. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>

struct hook {
	struct list_head node;
	int (*call)(int);
};

static LIST_HEAD(hooks);
static DEFINE_MUTEX(hooks_lock);

void hooks_add(struct hook *hook);
void hooks_add(struct hook *hook)
{
	mutex_lock(&hooks_lock);
	list_add_tail(&hook->node, &hooks);
	mutex_unlock(&hooks_lock);
}
EXPORT_SYMBOL_GPL(hooks_add);

void hooks_del(struct hook *hook);
void hooks_del(struct hook *hook)
{
	mutex_lock(&hooks_lock);
	list_del(&hook->node);
	mutex_unlock(&hooks_lock);
}
EXPORT_SYMBOL_GPL(hooks_del);

static int __init hooks_init(void)
{
	return 0;
}

static void __exit hooks_exit(void)
{
	struct hook *hook;

	list_for_each_entry(hook, &hooks, node)
		hook->call(0);
}

module_init(hooks_init);
module_exit(hooks_exit);
MODULE_LICENSE("GPL");
