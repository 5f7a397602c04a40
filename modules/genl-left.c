// SPDX-License-Identifier: GPL-2.0
/* A generic netlink family that stays registered. */
//#Verdict: findings
//#Expect: left-registered "generic netlink family"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <net/genetlink.h>

static struct genl_family family;

static int reply(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *head;

	if (!msg)
		return -ENOMEM;
	head = genlmsg_put_reply(msg, info, &family, 0, 1);
	if (!head || nla_put_u32(msg, 1, 42)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return genlmsg_reply(msg, info);
}

static const struct genl_small_ops family_ops[] = {
	{ .cmd = 1, .doit = reply },
};

static struct genl_family family = {
	.name = "LKM_LEFT",
	.version = 1,
	.module = THIS_MODULE,
	.small_ops = family_ops,
	.n_small_ops = ARRAY_SIZE(family_ops),
};

static int __init genl_left_init(void)
{
	return genl_register_family(&family);
}

static void __exit genl_left_exit(void)
{
}

module_init(genl_left_init);
module_exit(genl_left_exit);
MODULE_LICENSE("GPL");
