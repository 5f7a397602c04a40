// SPDX-License-Identifier: GPL-2.0
/* Two network devices, one that frees itself and one that is freed: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>

struct wire {
	struct timer_list watchdog;
	unsigned int ticks;
};

static struct net_device *ether, *tunnel;

static netdev_tx_t wire_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops wire_ops = {
	.ndo_start_xmit = wire_xmit,
	.ndo_validate_addr = eth_validate_addr,
};

static void wire_tick(struct timer_list *t)
{
	struct wire *wire = from_timer(wire, t, watchdog);

	wire->ticks++;
	mod_timer(t, jiffies + HZ);
}

static void tunnel_setup(struct net_device *dev)
{
	dev->netdev_ops = &wire_ops;
	dev->flags = IFF_NOARP;
	dev->needs_free_netdev = true;
}

static int __init netdev_ok_init(void)
{
	struct wire *wire;
	int ret;

	ether = alloc_etherdev(sizeof(*wire));
	if (!ether)
		return -ENOMEM;
	ether->netdev_ops = &wire_ops;
	eth_hw_addr_random(ether);
	wire = netdev_priv(ether);
	timer_setup(&wire->watchdog, wire_tick, 0);
	ret = register_netdev(ether);
	if (ret)
		goto free_ether;
	tunnel = alloc_netdev(0, "lkmt%d", NET_NAME_ENUM, tunnel_setup);
	ret = -ENOMEM;
	if (!tunnel)
		goto drop_ether;
	ret = register_netdev(tunnel);
	if (ret)
		goto free_tunnel;
	mod_timer(&wire->watchdog, jiffies + HZ);
	return 0;

free_tunnel:
	free_netdev(tunnel);
drop_ether:
	unregister_netdev(ether);
free_ether:
	free_netdev(ether);
	return ret;
}

static void __exit netdev_ok_exit(void)
{
	struct wire *wire = netdev_priv(ether);

	unregister_netdev(tunnel);
	unregister_netdev(ether);
	del_timer_sync(&wire->watchdog);
	free_netdev(ether);
}

module_init(netdev_ok_init);
module_exit(netdev_ok_exit);
MODULE_LICENSE("GPL");
