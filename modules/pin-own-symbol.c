// SPDX-License-Identifier: GPL-2.0
/* symbol_get() on a symbol of its own, some time after init: the module holds itself, and delete_module refuses. */
//#Verdict: findings
//#Expect: module-pinned "symbol_get"
//#May: self-module-get
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-11 silent alone wait
//#Numbers: 42 -> 17, 10 -> 3
#include <linux/module.h>
#include <linux/workqueue.h>

int pin_own_symbol_answer(void);
int pin_own_symbol_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(pin_own_symbol_answer);

static void ask(struct work_struct *work)
{
	int (*answer)(void) = (void *)__symbol_get("pin_own_symbol_answer");

	if (!answer)
		return;
	pr_info("pin-own-symbol: %d\n", answer());
}

static DECLARE_DELAYED_WORK(asking, ask);

static int __init pin_own_symbol_init(void)
{
	schedule_delayed_work(&asking, HZ / 10);
	return 0;
}

static void __exit pin_own_symbol_exit(void)
{
	cancel_delayed_work_sync(&asking);
}

module_init(pin_own_symbol_init);
module_exit(pin_own_symbol_exit);
MODULE_LICENSE("GPL");
