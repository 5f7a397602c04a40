// SPDX-License-Identifier: GPL-2.0
/*
 * A socket family whose sockets say back what they were told last, and a device that does so through iterators.
 * The operations have an owner: an open socket holds the module.
 */
//#Numbers: 27 -> 31, 64 -> 96, 9 -> 11
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <net/sock.h>

#define FAMILY 27
#define ROOM 64
#define LOUD 9

static char said[ROOM];
static size_t bytes;

static int parrot_release(struct socket *sock)
{
	pr_info("parrot: released\n");
	return 0;
}

static int parrot_bind(struct socket *sock, struct sockaddr *addr, int len)
{
	if (addr->sa_family != FAMILY)
		return -EAFNOSUPPORT;
	pr_info("parrot: bound to %.*s\n", len - (int)sizeof(addr->sa_family), addr->sa_data);
	return 0;
}

static int parrot_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	if (cmd != LOUD)
		return -ENOIOCTLCMD;
	pr_info("parrot: loud\n");
	return 0;
}

static int parrot_sendmsg(struct socket *sock, struct msghdr *msg, size_t len)
{
	if (len > ROOM)
		return -EMSGSIZE;
	if (memcpy_from_msg(said, msg, len))
		return -EFAULT;
	bytes = len;
	return len;
}

static int parrot_recvmsg(struct socket *sock, struct msghdr *msg, size_t len, int flags)
{
	if (!bytes)
		return -EAGAIN;
	len = min(len, bytes);
	if (memcpy_to_msg(msg, said, len))
		return -EFAULT;
	return len;
}

static const struct proto_ops parrot_ops = {
	.family = FAMILY,
	.owner = THIS_MODULE,
	.release = parrot_release,
	.bind = parrot_bind,
	.connect = sock_no_connect,
	.socketpair = sock_no_socketpair,
	.accept = sock_no_accept,
	.getname = sock_no_getname,
	.ioctl = parrot_ioctl,
	.listen = sock_no_listen,
	.shutdown = sock_no_shutdown,
	.sendmsg = parrot_sendmsg,
	.recvmsg = parrot_recvmsg,
	.mmap = sock_no_mmap,
};

static int parrot_create(struct net *net, struct socket *sock, int protocol, int kern)
{
	if (sock->type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	sock->ops = &parrot_ops;
	return 0;
}

static const struct net_proto_family parrot_family = {
	.family = FAMILY,
	.create = parrot_create,
	.owner = THIS_MODULE,
};

static ssize_t parrot_read(struct kiocb *iocb, struct iov_iter *to)
{
	size_t some, at = min_t(size_t, iocb->ki_pos, bytes);

	some = copy_to_iter(said + at, bytes - at, to);
	iocb->ki_pos += some;
	return some;
}

static ssize_t parrot_write(struct kiocb *iocb, struct iov_iter *from)
{
	size_t len = iov_iter_count(from);

	if (len > ROOM)
		return -EMSGSIZE;
	if (!copy_from_iter_full(said, len, from))
		return -EFAULT;
	bytes = len;
	return len;
}

static const struct file_operations parrot_fops = {
	.owner = THIS_MODULE,
	.read_iter = parrot_read,
	.write_iter = parrot_write,
};

static struct miscdevice parrot_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-parrot",
	.fops = &parrot_fops,
};

static int __init parrot_init(void)
{
	int ret = misc_register(&parrot_dev);

	if (ret)
		return ret;
	ret = sock_register(&parrot_family);
	if (ret)
		misc_deregister(&parrot_dev);
	return ret;
}

static void __exit parrot_exit(void)
{
	sock_unregister(FAMILY);
	misc_deregister(&parrot_dev);
}

module_init(parrot_init);
module_exit(parrot_exit);
MODULE_ALIAS_NETPROTO(27);
MODULE_DESCRIPTION("A socket family and a device that say back what they are told");
MODULE_LICENSE("GPL");
