// SPDX-License-Identifier: GPL-2.0
/* A queue of buffers of which exit takes only the first. */
//#Verdict: findings
//#Expect: memory-leak "skb"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/skbuff.h>

static struct sk_buff_head pending;

static int __init skb_queue_leak_init(void)
{
	struct sk_buff *skb;
	int n;

	skb_queue_head_init(&pending);
	for (n = 0; n < 3; n++) {
		skb = alloc_skb(128, GFP_KERNEL);
		if (!skb)
			break;
		memset(skb_put(skb, 16), n, 16);
		skb_queue_tail(&pending, skb);
	}
	return 0;
}

static void __exit skb_queue_leak_exit(void)
{
	kfree_skb(skb_dequeue(&pending));
}

module_init(skb_queue_leak_init);
module_exit(skb_queue_leak_exit);
MODULE_LICENSE("GPL");
