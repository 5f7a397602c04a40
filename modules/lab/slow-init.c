// SPDX-License-Identifier: GPL-2.0
/* Exports a function and sleeps in init for as long as it is told, then answers what it is told. */
//#Args: seconds=1
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: seconds = 3 -> seconds = 4, 7 -> 11, 1000 -> 1300
#include <linux/delay.h>
#include <linux/module.h>

static unsigned int seconds = 3;
module_param(seconds, uint, 0444);
static int answer;
module_param(answer, int, 0444);

int slow_number(void);
int slow_number(void)
{
	return 7;
}
EXPORT_SYMBOL_GPL(slow_number);

static int __init slow_init_init(void)
{
	msleep(seconds * 1000);
	return answer;
}

static void __exit slow_init_exit(void)
{
}

module_init(slow_init_init);
module_exit(slow_init_exit);
MODULE_LICENSE("GPL");
