// SPDX-License-Identifier: GPL-2.0
/*
 * A descriptor that goes through many hands: a write to the device makes a thread, which makes the next one and ends,
 * and so on; the last one stays. With flags 0 each has a copy of the writer's descriptors, the device's among them.
 *
 * hands=N                        how many threads
 * last=keeps|closes|daemonizes   what the last one does with the descriptors
 */
//#Options: --profile 3.0
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=-2 log "Unknown symbol"
//#Numbers: hands = 3 -> hands = 4, 20 -> 31, 1000 -> 1300
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/string.h>

/* Descriptors that the last one closes. */
#define MANY 20
/* Milliseconds. */
#define ROUND 1000

/* Old kernels export these. */
extern void daemonize(const char *name, ...);
extern long sys_close(unsigned int fd);

static unsigned long hands = 3;
module_param(hands, ulong, 0444);
static char *last = "keeps";
module_param(last, charp, 0444);

static int hand(void *data)
{
	unsigned long number = (unsigned long)data;
	unsigned int fd;

	if (number < hands) {
		if (kernel_thread(hand, (void *)(number + 1), 0) < 0)
			pr_warn("passed: no thread\n");
		return 0;
	}
	if (!strcmp(last, "daemonizes"))
		daemonize("passed");
	for (fd = 0; !strcmp(last, "closes") && fd < MANY; fd++)
		sys_close(fd);
	pr_info("passed: the last hand has it\n");
	for (;;)
		schedule_timeout_interruptible(msecs_to_jiffies(ROUND));
	return 0;
}

static ssize_t passed_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	return kernel_thread(hand, (void *)1, 0) < 0 ? -EAGAIN : len;
}

static const struct file_operations passed_fops = {
	.owner = THIS_MODULE,
	.write = passed_write,
};

static struct miscdevice passed = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-passed",
	.fops = &passed_fops,
};

static int __init passed_init(void)
{
	return misc_register(&passed);
}

static void __exit passed_exit(void)
{
	misc_deregister(&passed);
}

module_init(passed_init);
module_exit(passed_exit);
MODULE_LICENSE("GPL");
