// SPDX-License-Identifier: GPL-2.0
/*
 * The inherited socket. A netlink unit; a thread is made with kernel_thread() either in init or
 * in the input callback, which runs in the sender's context: with flags 0 the thread then gets a
 * copy of the sender's open files, the socket among them, and the socket holds this module.
 *
 * where=init|recv   where the thread is made
 * flags=0|0x400     clone flags; 0x400 is CLONE_FILES
 * how=plain|daemonize|kthread
 * rounds=N          how many rounds of a second the thread lives (0: until the end of all days)
 */
//#Options: --profile 2.6.32
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=-2 log "Unknown symbol"
//#Numbers: 31 -> 27, 1000 -> 1700
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

#define UNIT 31
/* Milliseconds. */
#define ROUND 1000

/* Old kernels export these. */
extern void daemonize(const char *name, ...);

static char *where = "recv";
module_param(where, charp, 0444);
static unsigned long flags;
module_param(flags, ulong, 0444);
static char *how = "plain";
module_param(how, charp, 0444);
static unsigned int rounds;
module_param(rounds, uint, 0444);

static struct sock *socket;

static void tell(const char *place)
{
	pr_info("inherited: %s: refcount %d\n", place, (int)module_refcount(THIS_MODULE));
}

static int handoff(void *data)
{
	unsigned int n;

	if (!strcmp(how, "daemonize"))
		daemonize("handoff");
	tell("thread");
	for (n = 0; !rounds || n < rounds; n++)
		schedule_timeout_interruptible(msecs_to_jiffies(ROUND));
	tell("thread ends");
	return 0;
}

static void make_thread(void)
{
	if (!strcmp(how, "kthread")) {
		if (IS_ERR(kthread_run(handoff, NULL, "handoff")))
			pr_warn("inherited: no thread\n");
	} else if (kernel_thread(handoff, NULL, flags) < 0) {
		pr_warn("inherited: no thread\n");
	}
}

static void receive(struct sk_buff *skb)
{
	tell("recv");
	if (!strcmp(where, "recv"))
		make_thread();
}

static int __init inherited_init(void)
{
	struct netlink_kernel_cfg cfg = { .input = receive };

	socket = netlink_kernel_create(&init_net, UNIT, &cfg);
	if (!socket)
		return -ENOMEM;
	tell("init");
	if (!strcmp(where, "init"))
		make_thread();
	return 0;
}

static void __exit inherited_exit(void)
{
	netlink_kernel_release(socket);
}

module_init(inherited_init);
module_exit(inherited_exit);
MODULE_LICENSE("GPL");
