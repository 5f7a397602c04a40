// SPDX-License-Identifier: GPL-2.0
/*
 * A socket family whose module opens a socket of it for itself, some time after init, with sock_create_kern(): the
 * socket holds the module, for its operations and for its protocol.
 */
//#Verdict: findings
//#Expect: module-pinned "socket"
//#May: self-module-get
//#Result: load=0 init=0 exit=not-run
//#Real: load=0 unload=-11 silent alone wait
//#Numbers: PF_ASH -> PF_ECONET, 100 -> 170
#include <linux/module.h>
#include <linux/net.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#define FAMILY PF_ASH
/* Milliseconds. */
#define LATER 100

static struct proto own_proto = {
	.name = "LKMOWN",
	.owner = THIS_MODULE,
	.obj_size = sizeof(struct sock),
};

static struct socket *own;

static int own_release(struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (sk) {
		sock_orphan(sk);
		sock->sk = NULL;
		sock_put(sk);
	}
	return 0;
}

static const struct proto_ops own_ops = {
	.family = FAMILY,
	.owner = THIS_MODULE,
	.release = own_release,
};

static int own_create(struct net *net, struct socket *sock, int protocol, int kern)
{
	struct sock *sk = sk_alloc(net, FAMILY, GFP_KERNEL, &own_proto, kern);

	if (!sk)
		return -ENOMEM;
	sock_init_data(sock, sk);
	sock->ops = &own_ops;
	return 0;
}

static const struct net_proto_family own_family = {
	.family = FAMILY,
	.create = own_create,
	.owner = THIS_MODULE,
};

static void open_own(struct work_struct *work)
{
	int ret = sock_create_kern(&init_net, FAMILY, SOCK_RAW, 0, &own);

	if (ret)
		pr_warn("own-socket: %d\n", ret);
}

static DECLARE_DELAYED_WORK(opening, open_own);

static int __init own_socket_init(void)
{
	int ret = proto_register(&own_proto, 0);

	if (ret)
		return ret;
	ret = sock_register(&own_family);
	if (ret) {
		proto_unregister(&own_proto);
		return ret;
	}
	schedule_delayed_work(&opening, msecs_to_jiffies(LATER));
	return 0;
}

static void __exit own_socket_exit(void)
{
	cancel_delayed_work_sync(&opening);
	if (own)
		sock_release(own);
	sock_unregister(FAMILY);
	proto_unregister(&own_proto);
}

module_init(own_socket_init);
module_exit(own_socket_exit);
MODULE_LICENSE("GPL");
