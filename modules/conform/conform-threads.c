// SPDX-License-Identifier: GPL-2.0
/* Kernel threads, completions, wait queues. */
//#Conforms: kthread_create_on_node wake_up_process kthread_stop kthread_should_stop
//#Conforms: kthread_park kthread_unpark kthread_parkme kthread_should_park kthread_data
//#Conforms: kthread_func complete complete_all wait_for_completion wait_for_completion_timeout
//#Conforms: try_wait_for_completion completion_done __wake_up prepare_to_wait_event finish_wait
//#Conforms: init_wait_entry schedule schedule_timeout msleep schedule_timeout_interruptible
//#Conforms: schedule_timeout_uninterruptible __put_task_struct
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/wait.h>
#include "check.h"

static int ran, seen_data, parked;
static DECLARE_COMPLETION(started);
static DECLARE_WAIT_QUEUE_HEAD(queue);
static int level;

static int return_data(void *data)
{
	ran++;
	return (long)data;
}

static int loop(void *data)
{
	ran++;
	seen_data = kthread_data(current) == data && kthread_func(current) == loop;
	complete(&started);
	while (!kthread_should_stop()) {
		if (kthread_should_park()) {
			parked++;
			kthread_parkme();
		}
		schedule_timeout_interruptible(HZ / 50);
	}
	return 77;
}

static int check_stop(void)
{
	struct task_struct *k = kthread_create(return_data, (void *)5, "conform/%s", "a-long-name-here");

	CHECK(!IS_ERR(k));
	CHECK(!strcmp(k->comm, "conform/a-long-"));
	CHECK(ran == 0);
	CHECK(kthread_stop(k) == -EINTR && ran == 0);
	k = kthread_create(return_data, (void *)5, "conform");
	CHECK(!IS_ERR(k));
	get_task_struct(k);
	CHECK(wake_up_process(k) == 1);
	msleep(100);
	CHECK(ran == 1);
	CHECK(kthread_stop(k) == 5);
	put_task_struct(k);
	k = kthread_run(loop, &ran, "conform");
	CHECK(!IS_ERR(k));
	wait_for_completion(&started);
	CHECK(ran == 2 && seen_data && k->flags & PF_KTHREAD);
	CHECK(!kthread_park(k) && parked == 1);
	kthread_unpark(k);
	CHECK(kthread_stop(k) == 77);
	return 0;
}

static int check_completion(void)
{
	DECLARE_COMPLETION_ONSTACK(c);
	unsigned long before = jiffies;

	CHECK(!completion_done(&c) && !try_wait_for_completion(&c));
	CHECK(wait_for_completion_timeout(&c, HZ / 10) == 0);
	CHECK(time_after_eq(jiffies, before + HZ / 10));
	complete(&c);
	complete(&c);
	CHECK(completion_done(&c));
	wait_for_completion(&c);
	CHECK(wait_for_completion_timeout(&c, HZ) > 0);
	CHECK(!completion_done(&c));
	complete_all(&c);
	wait_for_completion(&c);
	CHECK(completion_done(&c));
	reinit_completion(&c);
	CHECK(!completion_done(&c));
	return 0;
}

static int raise_level(void *data)
{
	msleep(30);
	level = 1;
	wake_up(&queue);
	msleep(30);
	level = 2;
	wake_up_all(&queue);
	return 0;
}

static int check_queue(void)
{
	struct task_struct *k;
	long left;

	CHECK(wait_event_timeout(queue, level == 1, HZ / 20) == 0);
	CHECK(wait_event_timeout(queue, level == 0, HZ) == HZ);
	CHECK(!waitqueue_active(&queue));
	k = kthread_run(raise_level, NULL, "conform-raise");
	CHECK(!IS_ERR(k));
	wait_event(queue, level >= 1);
	left = wait_event_interruptible_timeout(queue, level == 2, 10 * HZ);
	CHECK(left > 0 && left <= 10 * HZ && level == 2);
	CHECK(schedule_timeout_uninterruptible(3) == 0);
	msleep(50);
	return 0;
}

CHECKS(check_stop, check_completion, check_queue);
