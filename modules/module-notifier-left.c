// SPDX-License-Identifier: GPL-2.0
/* A module notifier stays on the chain: the next load of anything calls freed text. */
//#Verdict: findings
//#Expect: left-registered "notifier"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/notifier.h>

static int seen;

static int on_module(struct notifier_block *nb, unsigned long state, void *data)
{
	seen++;
	return NOTIFY_DONE;
}

static struct notifier_block watcher = { .notifier_call = on_module };

static int __init module_notifier_left_init(void)
{
	return register_module_notifier(&watcher);
}

static void __exit module_notifier_left_exit(void)
{
}

module_init(module_notifier_left_init);
module_exit(module_notifier_left_exit);
MODULE_LICENSE("GPL");
