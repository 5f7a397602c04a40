// SPDX-License-Identifier: GPL-2.0
/* A thread fills a kfifo, a work empties it: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kfifo.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

static DECLARE_KFIFO_PTR(samples, u32);
static DEFINE_SPINLOCK(samples_lock);
static struct task_struct *sampler;
static u64 sum;

static void average(struct work_struct *work)
{
	u32 batch[8];
	unsigned int got, n;

	got = kfifo_out_spinlocked(&samples, batch, ARRAY_SIZE(batch), &samples_lock);
	for (n = 0; n < got; n++)
		sum += batch[n];
}

static DECLARE_WORK(averager, average);

static int sample(void *data)
{
	u32 value = 0;

	while (!kthread_should_stop()) {
		value++;
		kfifo_in_spinlocked(&samples, &value, 1, &samples_lock);
		if (kfifo_len(&samples) >= 8)
			schedule_work(&averager);
		msleep_interruptible(50);
	}
	return 0;
}

static int __init kfifo_ok_init(void)
{
	int ret = kfifo_alloc(&samples, 32, GFP_KERNEL);

	if (ret)
		return ret;
	sampler = kthread_run(sample, NULL, "lkm-sampler");
	if (IS_ERR(sampler)) {
		kfifo_free(&samples);
		return PTR_ERR(sampler);
	}
	return 0;
}

static void __exit kfifo_ok_exit(void)
{
	kthread_stop(sampler);
	cancel_work_sync(&averager);
	kfifo_free(&samples);
}

module_init(kfifo_ok_init);
module_exit(kfifo_ok_exit);
MODULE_LICENSE("GPL");
