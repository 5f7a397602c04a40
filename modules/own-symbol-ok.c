// SPDX-License-Identifier: GPL-2.0
/* The same symbol, put as soon as it has been called: nothing is held. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Log: "own-symbol-ok: 42"
//#Real: load=0 unload=0 silent wait
#include <linux/module.h>
#include <linux/workqueue.h>

int own_symbol_ok_answer(void);
int own_symbol_ok_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(own_symbol_ok_answer);

static void ask(struct work_struct *work)
{
	int (*answer)(void) = (void *)__symbol_get("own_symbol_ok_answer");

	if (!answer)
		return;
	pr_info("own-symbol-ok: %d\n", answer());
	__symbol_put("own_symbol_ok_answer");
}

static DECLARE_DELAYED_WORK(asking, ask);

static int __init own_symbol_ok_init(void)
{
	schedule_delayed_work(&asking, HZ / 10);
	return 0;
}

static void __exit own_symbol_ok_exit(void)
{
	cancel_delayed_work_sync(&asking);
}

module_init(own_symbol_ok_init);
module_exit(own_symbol_ok_exit);
MODULE_LICENSE("GPL");
