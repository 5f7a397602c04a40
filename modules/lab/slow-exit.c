// SPDX-License-Identifier: GPL-2.0
/* Sleeps in exit for as long as it is told. Correct, if slow. */
//#Args: seconds=1
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/module.h>

static unsigned int seconds = 3;
module_param(seconds, uint, 0644);

static int __init slow_exit_init(void)
{
	return 0;
}

static void __exit slow_exit_exit(void)
{
	msleep(seconds * 1000);
}

module_init(slow_exit_init);
module_exit(slow_exit_exit);
MODULE_LICENSE("GPL");
