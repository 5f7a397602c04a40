// SPDX-License-Identifier: GPL-2.0
/* Module, netdev and reboot notifiers and a chain of its own, all taken off: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/reboot.h>

static BLOCKING_NOTIFIER_HEAD(own_chain);
static int heard;

static int listen(struct notifier_block *nb, unsigned long event, void *data)
{
	heard++;
	return NOTIFY_OK;
}

static struct notifier_block on_module = { .notifier_call = listen };
static struct notifier_block on_netdev = { .notifier_call = listen };
static struct notifier_block on_reboot = { .notifier_call = listen };
static struct notifier_block on_own = { .notifier_call = listen };

static int __init notifiers_ok_init(void)
{
	int ret = register_module_notifier(&on_module);

	if (ret)
		return ret;
	ret = register_netdevice_notifier(&on_netdev);
	if (ret)
		goto no_netdev;
	ret = register_reboot_notifier(&on_reboot);
	if (ret)
		goto no_reboot;
	blocking_notifier_chain_register(&own_chain, &on_own);
	blocking_notifier_call_chain(&own_chain, 1, NULL);
	return 0;
no_reboot:
	unregister_netdevice_notifier(&on_netdev);
no_netdev:
	unregister_module_notifier(&on_module);
	return ret;
}

static void __exit notifiers_ok_exit(void)
{
	blocking_notifier_chain_unregister(&own_chain, &on_own);
	unregister_reboot_notifier(&on_reboot);
	unregister_netdevice_notifier(&on_netdev);
	unregister_module_notifier(&on_module);
}

module_init(notifiers_ok_init);
module_exit(notifiers_ok_exit);
MODULE_LICENSE("GPL");
