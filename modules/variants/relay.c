// SPDX-License-Identifier: GPL-2.0
/*
 * A descriptor that goes through two hands: the input callback of a netlink unit makes a thread, which makes another
 * and ends. Made with kernel_thread() and flags 0, the second one still has the user's socket.
 *
 * how=plain|kthread
 */
//#Options: --profile 2.6.32
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=-2 log "Unknown symbol"
//#Numbers: 30 -> 24, 1000 -> 1700
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/sched/task.h>
#include <linux/skbuff.h>
#include <linux/string.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#define UNIT 30
/* Milliseconds. */
#define ROUND 1000

static char *how = "plain";
module_param(how, charp, 0444);

static struct sock *unit;

static void make(int (*fn)(void *), const char *name)
{
	if (!strcmp(how, "kthread")) {
		if (IS_ERR(kthread_run(fn, NULL, "%s", name)))
			pr_warn("relay: no thread\n");
	} else if (kernel_thread(fn, NULL, 0) < 0) {
		pr_warn("relay: no thread\n");
	}
}

static int second(void *data)
{
	pr_info("relay: second: refcount %d\n", (int)module_refcount(THIS_MODULE));
	for (;;)
		schedule_timeout_interruptible(msecs_to_jiffies(ROUND));
	return 0;
}

static int first(void *data)
{
	make(second, "second");
	pr_info("relay: first ends\n");
	return 0;
}

static void receive(struct sk_buff *skb)
{
	make(first, "first");
}

static int __init relay_init(void)
{
	struct netlink_kernel_cfg cfg = { .input = receive };

	unit = netlink_kernel_create(&init_net, UNIT, &cfg);
	return unit ? 0 : -ENOMEM;
}

static void __exit relay_exit(void)
{
	netlink_kernel_release(unit);
}

module_init(relay_init);
module_exit(relay_exit);
MODULE_LICENSE("GPL");
