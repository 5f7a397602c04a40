// SPDX-License-Identifier: GPL-2.0
/* A netlink unit, taken and released; a unit out of range is refused: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/sock.h>

static struct sock *socket;

static void hear(struct sk_buff *skb)
{
	pr_info("%u bytes\n", skb->len);
}

static int __init netlink_ok_init(void)
{
	struct netlink_kernel_cfg cfg = { .input = hear };

	if (netlink_kernel_create(&init_net, MAX_LINKS, &cfg))
		return -EINVAL;
	socket = netlink_kernel_create(&init_net, 30, &cfg);
	return socket ? 0 : -ENOMEM;
}

static void __exit netlink_ok_exit(void)
{
	netlink_kernel_release(socket);
}

module_init(netlink_ok_init);
module_exit(netlink_ok_exit);
MODULE_LICENSE("GPL");
