// SPDX-License-Identifier: GPL-2.0
/*
 * One mutex and every wrong way to use it, one at a time.
 *
 * misuse=none|other|twice|atomic|freed|held|raw|unlocked
 */
//#Args: misuse=none
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: 100 -> 270, 24 -> 200
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *misuse = "none";
module_param(misuse, charp, 0444);

#define LABEL 24
/* Milliseconds. */
#define PAUSE 100

struct box {
	char label[LABEL];
	struct mutex lock;
	int value;
};

static DEFINE_MUTEX(lock);
static DEFINE_SPINLOCK(spin);

static bool is(const char *what)
{
	return !strcmp(misuse, what);
}

static int other(void *data)
{
	if (is("other"))
		mutex_unlock(&lock);
	else
		mutex_lock(&lock);
	return 0;
}

static int in_thread(void)
{
	struct task_struct *k = kthread_create(other, NULL, "mutexes");

	if (IS_ERR(k))
		return PTR_ERR(k);
	get_task_struct(k);
	wake_up_process(k);
	schedule_timeout_uninterruptible(msecs_to_jiffies(PAUSE));
	kthread_stop(k);
	put_task_struct(k);
	return 0;
}

static int __init mutexes_init(void)
{
	struct box *box = kzalloc(sizeof(*box), GFP_KERNEL);
	int ret = 0;

	if (!box)
		return -ENOMEM;
	if (!is("raw"))
		mutex_init(&box->lock);
	mutex_lock(&box->lock);
	box->value++;
	if (!is("freed"))
		mutex_unlock(&box->lock);
	kfree(box);
	if (is("unlocked"))
		mutex_unlock(&lock);
	if (is("atomic")) {
		spin_lock(&spin);
		mutex_lock(&lock);
		mutex_unlock(&lock);
		spin_unlock(&spin);
	}
	if (is("other")) {
		mutex_lock(&lock);
		ret = in_thread();
	}
	if (is("held"))
		ret = in_thread();
	mutex_trylock(&lock);
	if (is("twice"))
		mutex_lock(&lock);
	if (!is("held"))
		mutex_unlock(&lock);
	return ret;
}

static void __exit mutexes_exit(void)
{
}

module_init(mutexes_init);
module_exit(mutexes_exit);
MODULE_LICENSE("GPL");
