// SPDX-License-Identifier: GPL-2.0
/* The callback re-arms its timer after a while; exit deletes it without waiting or checking. */
//#Verdict: findings
//#Expect: left-running "timer"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>

struct poll {
	struct timer_list fast;
	struct timer_list slow;
	unsigned int rounds;
};

static struct poll *poll;

static void slow_fn(struct timer_list *t)
{
	struct poll *p = from_timer(p, t, slow);

	mod_timer(&p->fast, jiffies + HZ / 10);
}

static void fast_fn(struct timer_list *t)
{
	struct poll *p = from_timer(p, t, fast);

	p->rounds++;
	mod_timer(&p->slow, jiffies + 45 * HZ);
}

static struct poll storage;

static int __init timer_rearm_init(void)
{
	poll = &storage;
	timer_setup(&poll->fast, fast_fn, 0);
	timer_setup(&poll->slow, slow_fn, 0);
	mod_timer(&poll->fast, jiffies + HZ / 10);
	return 0;
}

static void __exit timer_rearm_exit(void)
{
	del_timer_sync(&poll->fast);
}

module_init(timer_rearm_init);
module_exit(timer_rearm_exit);
MODULE_LICENSE("GPL");
