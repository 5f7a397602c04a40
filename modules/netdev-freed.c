// SPDX-License-Identifier: GPL-2.0
/* A network device is freed while the timer in its private part still runs. */
//#Verdict: findings
//#Expect: use-after-free "timer"
//#May: left-running
//#Real: unsafe
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>

struct link {
	struct timer_list poll;
	unsigned int polls;
};

static struct net_device *card;

static netdev_tx_t card_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops card_ops = { .ndo_start_xmit = card_xmit };

static void card_poll(struct timer_list *t)
{
	struct link *link = from_timer(link, t, poll);

	link->polls++;
	mod_timer(t, jiffies + HZ);
}

static int __init netdev_freed_init(void)
{
	struct link *link;
	int ret;

	card = alloc_etherdev(sizeof(*link));
	if (!card)
		return -ENOMEM;
	card->netdev_ops = &card_ops;
	eth_hw_addr_random(card);
	link = netdev_priv(card);
	timer_setup(&link->poll, card_poll, 0);
	ret = register_netdev(card);
	if (ret) {
		free_netdev(card);
		return ret;
	}
	mod_timer(&link->poll, jiffies + HZ);
	return 0;
}

static void __exit netdev_freed_exit(void)
{
	unregister_netdev(card);
	free_netdev(card);
}

module_init(netdev_freed_init);
module_exit(netdev_freed_exit);
MODULE_LICENSE("GPL");
