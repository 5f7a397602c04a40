// SPDX-License-Identifier: GPL-2.0
/* The second of two network devices stays when the module goes. */
//#Verdict: findings
//#Expect: left-registered at netdev_left "lkml1"
//#May: memory-leak
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>

#define CARDS 2

static struct net_device *card[CARDS];

static netdev_tx_t card_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops card_ops = { .ndo_start_xmit = card_xmit };

static void card_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &card_ops;
	eth_hw_addr_random(dev);
}

static int __init netdev_left_init(void)
{
	int n, ret;

	for (n = 0; n < CARDS; n++) {
		card[n] = alloc_netdev(0, "lkml%d", NET_NAME_ENUM, card_setup);
		ret = card[n] ? register_netdev(card[n]) : -ENOMEM;
		if (ret)
			goto undo;
	}
	return 0;

undo:
	if (card[n])
		free_netdev(card[n]);
	while (n--) {
		unregister_netdev(card[n]);
		free_netdev(card[n]);
	}
	return ret;
}

static void __exit netdev_left_exit(void)
{
	int n;

	for (n = 0; n < CARDS - 1; n++) {
		unregister_netdev(card[n]);
		free_netdev(card[n]);
	}
}

module_init(netdev_left_init);
module_exit(netdev_left_exit);
MODULE_LICENSE("GPL");
