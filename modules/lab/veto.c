// SPDX-License-Identifier: GPL-2.0
/* A module notifier that tells what it hears and refuses the module that its parameter names. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/string.h>

static char *refuse = "";
module_param(refuse, charp, 0644);

static int on_module(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;

	pr_info("heard %s state %lu\n", mod->name, state);
	if (state == MODULE_STATE_COMING && !strcmp(mod->name, refuse))
		return notifier_from_errno(-EPERM);
	return NOTIFY_OK;
}

static struct notifier_block listener = { .notifier_call = on_module };

static int __init veto_init(void)
{
	return register_module_notifier(&listener);
}

static void __exit veto_exit(void)
{
	unregister_module_notifier(&listener);
}

module_init(veto_init);
module_exit(veto_exit);
MODULE_LICENSE("GPL");
