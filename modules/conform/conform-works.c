// SPDX-License-Identifier: GPL-2.0
/* Work queues, tasklets, RCU. */
//#Conforms: alloc_workqueue destroy_workqueue queue_work_on queue_delayed_work_on
//#Conforms: mod_delayed_work_on flush_work __flush_workqueue cancel_work_sync
//#Conforms: cancel_delayed_work cancel_delayed_work_sync drain_workqueue __tasklet_schedule
//#Conforms: tasklet_kill tasklet_setup delayed_work_timer_fn call_rcu synchronize_rcu
//#Conforms: rcu_barrier kvfree_call_rcu init_srcu_struct cleanup_srcu_struct __srcu_read_lock
//#Conforms: __srcu_read_unlock synchronize_srcu call_srcu srcu_barrier flush_delayed_work
//#Conforms: __local_bh_enable_ip
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include "check.h"

static int sequence[8], count;
static struct workqueue_struct *wq;

struct job {
	struct work_struct work;
	int number;
};

static void do_job(struct work_struct *work)
{
	sequence[count++ & 7] = container_of(work, struct job, work)->number;
}

static int slow_done, delayed_done;

static void do_slow(struct work_struct *work)
{
	msleep(50);
	slow_done++;
}

static void do_delayed(struct work_struct *work)
{
	delayed_done++;
}

static DECLARE_WORK(slow, do_slow);
static DECLARE_DELAYED_WORK(delayed, do_delayed);

static int check_work(void)
{
	struct job jobs[4];
	int n;

	wq = alloc_ordered_workqueue("lkm-conform-%d", 0, 1);
	CHECK(wq);
	for (n = 0; n < 4; n++) {
		INIT_WORK_ONSTACK(&jobs[n].work, do_job);
		jobs[n].number = n;
	}
	queue_work(wq, &slow);
	for (n = 0; n < 4; n++)
		CHECK(queue_work(wq, &jobs[n].work));
	CHECK(!queue_work(wq, &jobs[3].work));
	flush_workqueue(wq);
	CHECK(slow_done == 1 && count == 4);
	for (n = 0; n < 4; n++)
		CHECK(sequence[n] == n);
	CHECK(!flush_work(&slow) && !cancel_work_sync(&slow));
	queue_work(wq, &slow);
	CHECK(flush_work(&slow) && slow_done == 2);
	queue_work(wq, &slow);
	queue_work(wq, &jobs[0].work);
	CHECK(cancel_work_sync(&jobs[0].work) && count == 4);
	CHECK(schedule_delayed_work(&delayed, 100 * HZ) && !schedule_delayed_work(&delayed, 1));
	CHECK(delayed_work_pending(&delayed));
	CHECK(mod_delayed_work(system_wq, &delayed, HZ / 50));
	msleep(200);
	CHECK(delayed_done == 1 && !cancel_delayed_work(&delayed));
	schedule_delayed_work(&delayed, 100 * HZ);
	CHECK(cancel_delayed_work_sync(&delayed) && !cancel_delayed_work_sync(&delayed));
	CHECK(!mod_delayed_work(wq, &delayed, 0));
	drain_workqueue(wq);
	CHECK(slow_done == 3);
	destroy_workqueue(wq);
	flush_delayed_work(&delayed);
	CHECK(delayed_done == 2);
	for (n = 0; n < 4; n++)
		destroy_work_on_stack(&jobs[n].work);
	return 0;
}

static int low_ran;

static void low(struct tasklet_struct *t)
{
	low_ran++;
}

static int check_tasklet(void)
{
	struct tasklet_struct t;

	tasklet_setup(&t, low);
	local_bh_disable();
	tasklet_schedule(&t);
	tasklet_schedule(&t);
	CHECK(low_ran == 0);
	local_bh_enable();
	tasklet_kill(&t);
	CHECK(low_ran == 1);
	return 0;
}

static struct rcu_head heads[3];
static int called[3], calls;

static void on_rcu(struct rcu_head *head)
{
	called[calls++] = head - heads;
}

struct with_rcu {
	long data;
	struct rcu_head rcu;
};

static int check_rcu(void)
{
	struct with_rcu *p = kmalloc(sizeof(*p), GFP_KERNEL);
	struct srcu_struct srcu;
	int n, idx;

	CHECK(p);
	for (n = 0; n < 3; n++)
		call_rcu(&heads[n], on_rcu);
	rcu_barrier();
	CHECK(calls == 3 && called[0] == 0 && called[1] == 1 && called[2] == 2);
	kfree_rcu(p, rcu);
	synchronize_rcu();
	CHECK(!init_srcu_struct(&srcu));
	idx = srcu_read_lock(&srcu);
	call_srcu(&srcu, &heads[0], on_rcu);
	msleep(20);
	n = calls;
	srcu_read_unlock(&srcu, idx);
	CHECK(n == 3);
	calls = 0;
	srcu_barrier(&srcu);
	CHECK(calls == 1);
	synchronize_srcu(&srcu);
	cleanup_srcu_struct(&srcu);
	return 0;
}

CHECKS(check_work, check_tasklet, check_rcu);
