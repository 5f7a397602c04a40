// SPDX-License-Identifier: GPL-2.0
/* Network devices: names, numbers, addresses, states, notifications, namespaces' operations; families. */
//#Conforms: alloc_netdev_mqs alloc_etherdev_mqs free_netdev register_netdev unregister_netdev
//#Conforms: register_netdevice unregister_netdevice_queue ether_setup
//#Conforms: dev_addr_mod __dev_get_by_name dev_get_by_name netif_carrier_on netif_carrier_off
//#Conforms: eth_validate_addr register_pernet_subsys unregister_pernet_subsys
//#Conforms: genl_register_family genl_unregister_family rtnl_link_register rtnl_link_unregister
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/rtnetlink.h>
#include "check.h"

static int inits, uninits, registered, gone;

static int count_init(struct net_device *dev)
{
	inits++;
	return 0;
}

static void count_uninit(struct net_device *dev)
{
	uninits++;
}

static netdev_tx_t xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops ops = {
	.ndo_init = count_init,
	.ndo_uninit = count_uninit,
	.ndo_start_xmit = xmit,
};

static void setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &ops;
	eth_hw_addr_random(dev);
}

static int event(struct notifier_block *nb, unsigned long what, void *data)
{
	struct net_device *dev = netdev_notifier_info_to_dev(data);

	if (strncmp(dev->name, "lkmc", 4))
		return NOTIFY_DONE;
	registered += what == NETDEV_REGISTER;
	gone += what == NETDEV_UNREGISTER;
	return NOTIFY_DONE;
}

static struct notifier_block listener = { .notifier_call = event };

static int check_ethernet(void)
{
	static const u8 address[ETH_ALEN] = { 2, 0, 0, 0, 0, 7 };
	struct net_device *dev = alloc_etherdev(40);

	CHECK(dev && dev->mtu == 1500 && dev->addr_len == ETH_ALEN && dev->type == 1);
	CHECK(dev->hard_header_len == ETH_HLEN && dev->tx_queue_len && is_broadcast_ether_addr(dev->broadcast));
	CHECK((unsigned long)netdev_priv(dev) - (unsigned long)dev == ALIGN(sizeof(*dev), NETDEV_ALIGN));
	CHECK(dev->reg_state == NETREG_UNINITIALIZED && dev_net(dev) == &init_net);
	CHECK(eth_validate_addr(dev) == -EADDRNOTAVAIL);
	eth_hw_addr_set(dev, address);
	CHECK(!memcmp(dev->dev_addr, address, ETH_ALEN) && !eth_validate_addr(dev));
	free_netdev(dev);
	return 0;
}

static int check_names(void)
{
	struct net_device *a, *b, *c;

	CHECK(!register_netdevice_notifier(&listener));
	a = alloc_netdev(0, "lkmc%d", NET_NAME_ENUM, setup);
	b = alloc_netdev(0, "lkmc%d", NET_NAME_ENUM, setup);
	c = alloc_netdev(0, "lkmc0", NET_NAME_USER, setup);
	CHECK(a && b && c);
	CHECK(!register_netdev(a) && !register_netdev(b));
	CHECK(!strcmp(a->name, "lkmc0") && !strcmp(b->name, "lkmc1"));
	CHECK(a->ifindex > 1 && b->ifindex == a->ifindex + 1);
	CHECK(a->reg_state == NETREG_REGISTERED && netif_device_present(a) && !netif_running(a));
	CHECK(register_netdev(c) == -EEXIST);
	CHECK(registered == 2 && !gone && inits == 2 && !uninits);
	netif_carrier_off(a);
	CHECK(!netif_carrier_ok(a) && netif_carrier_ok(b));
	netif_carrier_on(a);
	CHECK(netif_carrier_ok(a));
	rtnl_lock();
	CHECK(__dev_get_by_name(&init_net, "lkmc1") == b);
	rtnl_unlock();
	CHECK(dev_get_by_name(&init_net, "lkmc0") == a);
	dev_put(a);
	CHECK(!dev_get_by_name(&init_net, "lkmc7"));
	unregister_netdev(a);
	CHECK(gone == 1 && uninits == 1 && a->reg_state == NETREG_UNREGISTERED);
	rtnl_lock();
	unregister_netdevice(b);
	CHECK(b->reg_state == NETREG_UNREGISTERING);
	rtnl_unlock();
	CHECK(b->reg_state == NETREG_UNREGISTERED && gone == 2);
	free_netdev(a);
	free_netdev(b);
	free_netdev(c);
	CHECK(!unregister_netdevice_notifier(&listener));
	return 0;
}

static void kind_setup(struct net_device *dev)
{
	setup(dev);
	dev->needs_free_netdev = true;
}

static struct rtnl_link_ops kind = { .kind = "lkmkind", .setup = kind_setup };

/* With the kind go its devices. */
static int check_kind(void)
{
	struct net_device *dev;
	int ret;

	uninits = 0;
	CHECK(!rtnl_link_register(&kind));
	CHECK(rtnl_link_register(&kind) == -EEXIST);
	dev = alloc_netdev(0, "lkmk%d", NET_NAME_ENUM, kind_setup);
	CHECK(dev);
	rtnl_lock();
	dev->rtnl_link_ops = &kind;
	ret = register_netdevice(dev);
	rtnl_unlock();
	CHECK(!ret);
	rtnl_link_unregister(&kind);
	CHECK(uninits == 1 && !dev_get_by_name(&init_net, "lkmk0"));
	return 0;
}

static unsigned int id;
static int begun, ended;

static int net_begin(struct net *net)
{
	u32 *data = net_generic(net, id);

	begun += data && !*data && net == &init_net;
	*data = 9;
	return 0;
}

static void net_end(struct net *net)
{
	ended += *(u32 *)net_generic(net, id) == 9;
}

static struct pernet_operations namespaces = {
	.init = net_begin,
	.exit = net_end,
	.id = &id,
	.size = sizeof(u32),
};

static int check_namespaces(void)
{
	CHECK(!register_pernet_subsys(&namespaces));
	CHECK(id && begun == 1 && !ended);
	unregister_pernet_subsys(&namespaces);
	CHECK(ended == 1);
	return 0;
}

static struct genl_family family = { .name = "LKM_CONFORM", .version = 3, .module = THIS_MODULE };
static struct genl_family twin = { .name = "LKM_CONFORM", .version = 1, .module = THIS_MODULE };

static int check_family(void)
{
	CHECK(!genl_register_family(&family) && family.id >= 16);
	CHECK(genl_register_family(&twin) == -EEXIST);
	CHECK(!genl_unregister_family(&family));
	CHECK(genl_unregister_family(&family) == -ENOENT);
	return 0;
}

CHECKS(check_ethernet, check_names, check_kind, check_namespaces, check_family);
