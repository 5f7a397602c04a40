// SPDX-License-Identifier: GPL-2.0
/* A network device notifier stays on its chain. */
//#Verdict: findings
//#Expect: left-registered "notifier"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/notifier.h>

static int on_netdev(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);

	pr_debug("%s: event %lu\n", dev->name, event);
	return NOTIFY_DONE;
}

static struct notifier_block netdev_watch = { .notifier_call = on_netdev };

static int __init netdev_notifier_left_init(void)
{
	return register_netdevice_notifier(&netdev_watch);
}

static void __exit netdev_notifier_left_exit(void)
{
}

module_init(netdev_notifier_left_init);
module_exit(netdev_notifier_left_exit);
MODULE_LICENSE("GPL");
