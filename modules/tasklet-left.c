// SPDX-License-Identifier: GPL-2.0
/* A disabled tasklet is scheduled, so it is still pending when the module goes. */
//#Verdict: findings
//#Expect: left-running "tasklet"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/interrupt.h>
#include <linux/module.h>

static void bottom(struct tasklet_struct *t)
{
	pr_info("bottom half\n");
}

static DECLARE_TASKLET_DISABLED(half, bottom);

static int __init tasklet_left_init(void)
{
	tasklet_schedule(&half);
	return 0;
}

static void __exit tasklet_left_exit(void)
{
}

module_init(tasklet_left_init);
module_exit(tasklet_left_exit);
MODULE_LICENSE("GPL");
