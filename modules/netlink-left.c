// SPDX-License-Identifier: GPL-2.0
/* The kernel socket of a netlink unit is not released. */
//#Verdict: findings
//#Expect: left-registered "netlink"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#define UNIT 29

static struct sock *socket;

static void hear(struct sk_buff *skb)
{
	pr_info("%u bytes\n", skb->len);
}

static int __init netlink_left_init(void)
{
	struct netlink_kernel_cfg cfg = { .input = hear };

	socket = netlink_kernel_create(&init_net, UNIT, &cfg);
	return socket ? 0 : -ENOMEM;
}

static void __exit netlink_left_exit(void)
{
	if (!socket)
		netlink_kernel_release(socket);
}

module_init(netlink_left_init);
module_exit(netlink_left_exit);
MODULE_LICENSE("GPL");
