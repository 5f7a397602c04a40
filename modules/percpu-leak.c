// SPDX-License-Identifier: GPL-2.0
/* A per-CPU counter is never freed. */
//#Verdict: findings
//#Expect: memory-leak at percpu_leak_init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/percpu.h>

struct stats {
	u64 packets;
	u64 bytes;
};

static struct stats __percpu *stats;

static int __init percpu_leak_init(void)
{
	stats = alloc_percpu(struct stats);
	if (!stats)
		return -ENOMEM;
	this_cpu_add(stats->bytes, 1500);
	this_cpu_inc(stats->packets);
	return 0;
}

static void __exit percpu_leak_exit(void)
{
}

module_init(percpu_leak_init);
module_exit(percpu_leak_exit);
MODULE_LICENSE("GPL");
