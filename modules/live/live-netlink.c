// SPDX-License-Identifier: GPL-2.0
/* A netlink protocol of its own; a message starts a kernel thread or a helper program. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/netlink.h>
#include <net/sock.h>

#define LIVE_PROTOCOL 27

static struct sock *kernel_side;

static void live_input(struct sk_buff *skb)
{
}

static int __init live_netlink_init(void)
{
	struct netlink_kernel_cfg cfg = { .input = live_input };

	kernel_side = netlink_kernel_create(&init_net, LIVE_PROTOCOL, &cfg);
	return kernel_side ? 0 : -ENOMEM;
}

static void __exit live_netlink_exit(void)
{
	netlink_kernel_release(kernel_side);
}

module_init(live_netlink_init);
module_exit(live_netlink_exit);
MODULE_LICENSE("GPL");
