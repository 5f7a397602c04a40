// SPDX-License-Identifier: GPL-2.0
/* Work for later: workers of one's own, tasklets, grace periods, asynchronous calls, calls on other CPUs. */
//#Conforms: kthread_create_worker kthread_destroy_worker kthread_queue_work kthread_flush_work
//#Conforms: kthread_flush_worker kthread_cancel_work_sync kthread_queue_delayed_work
//#Conforms: kthread_mod_delayed_work kthread_cancel_delayed_work_sync __kthread_init_worker
//#Conforms: tasklet_init tasklet_unlock_wait __tasklet_hi_schedule work_busy current_work
//#Conforms: queue_rcu_work flush_rcu_work execute_in_process_context
//#Conforms: async_schedule_node async_synchronize_full async_synchronize_cookie
//#Conforms: async_schedule_node_domain async_synchronize_full_domain current_is_async
//#Conforms: stop_machine smp_call_function_single on_each_cpu_cond_mask synchronize_rcu_expedited
//#Conforms: get_state_synchronize_rcu poll_state_synchronize_rcu cond_synchronize_rcu
//#Conforms: start_poll_synchronize_rcu synchronize_srcu_expedited get_state_synchronize_srcu
//#Conforms: poll_state_synchronize_srcu start_poll_synchronize_srcu irq_work_queue irq_work_sync
//#Conforms: kthread_bind kthread_complete_and_exit set_user_nice sched_set_fifo sched_set_normal
//#Conforms: cpus_read_lock cpus_read_unlock migrate_disable migrate_enable
//#Conforms: set_cpus_allowed_ptr workqueue_set_max_active kblockd_schedule_work
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/async.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/srcu.h>
#include <linux/stop_machine.h>
#include <linux/workqueue.h>
#include "check.h"

static int ran;

static void work(struct kthread_work *work)
{
	ran++;
}

static int check_worker(void)
{
	struct kthread_worker *worker = kthread_create_worker(0, "lkm-conform"), plain;
	static struct kthread_work w;
	static struct kthread_delayed_work d;

	CHECK(!IS_ERR(worker) && worker->task);
	kthread_init_work(&w, work);
	kthread_init_delayed_work(&d, work);
	CHECK(kthread_queue_work(worker, &w));
	kthread_flush_work(&w);
	CHECK(ran == 1 && kthread_queue_work(worker, &w));
	kthread_flush_worker(worker);
	CHECK(ran == 2 && !kthread_cancel_work_sync(&w));
	CHECK(kthread_queue_delayed_work(worker, &d, 100 * HZ));
	CHECK(!kthread_queue_delayed_work(worker, &d, 1));
	CHECK(kthread_mod_delayed_work(worker, &d, 1));
	msleep(40);
	CHECK(ran == 3 && kthread_queue_delayed_work(worker, &d, 100 * HZ));
	CHECK(kthread_cancel_delayed_work_sync(&d) && ran == 3);
	kthread_destroy_worker(worker);
	kthread_init_worker(&plain);
	CHECK(list_empty(&plain.work_list) && !plain.task);
	return 0;
}

static unsigned long given;

static void old_style(unsigned long data)
{
	given += data;
}

static int check_tasklets(void)
{
	static struct tasklet_struct t;

	tasklet_init(&t, old_style, 5);
	tasklet_schedule(&t);
	tasklet_schedule(&t);
	msleep(10);
	CHECK(given == 5);
	tasklet_hi_schedule(&t);
	msleep(10);
	CHECK(given == 10);
	tasklet_disable(&t);
	tasklet_schedule(&t);
	msleep(10);
	CHECK(given == 10);
	tasklet_enable(&t);
	msleep(10);
	CHECK(given == 15);
	tasklet_kill(&t);
	return 0;
}

static struct work_struct *inside;
static DECLARE_COMPLETION(go);

static void busy(struct work_struct *w)
{
	inside = current_work();
	wait_for_completion(&go);
	ran++;
}

static DECLARE_WORK(busy_work, busy);

static void simple(struct work_struct *w)
{
	ran++;
}

static int check_works(void)
{
	static struct rcu_work r;
	static struct execute_work e;
	static DECLARE_WORK(block, simple);
	struct workqueue_struct *wq = alloc_workqueue("lkm-conform", 0, 0);

	CHECK(wq);
	workqueue_set_max_active(wq, 2);
	CHECK(!work_busy(&busy_work) && queue_work(wq, &busy_work));
	msleep(10);
	CHECK(work_busy(&busy_work) & WORK_BUSY_RUNNING && inside == &busy_work && !current_work());
	complete(&go);
	flush_work(&busy_work);
	CHECK(!work_busy(&busy_work));
	ran = 0;
	INIT_RCU_WORK(&r, simple);
	CHECK(queue_rcu_work(wq, &r) && !queue_rcu_work(wq, &r));
	CHECK(flush_rcu_work(&r) && ran == 1);
	destroy_workqueue(wq);
	/* This is a process: it runs at once. */
	CHECK(execute_in_process_context(simple, &e) == 0 && ran == 2);
	ran = 0;
	CHECK(kblockd_schedule_work(&block));
	flush_work(&block);
	CHECK(ran == 1);
	return 0;
}

static ASYNC_DOMAIN_EXCLUSIVE(domain);

static void later(void *data, async_cookie_t cookie)
{
	if (current_is_async())
		ran += (long)data;
}

static int check_async(void)
{
	async_cookie_t cookie;

	ran = 0;
	async_schedule(later, (void *)1);
	cookie = async_schedule(later, (void *)2);
	async_synchronize_cookie(cookie + 1);
	CHECK(ran == 3 && !current_is_async());
	async_schedule_domain(later, (void *)10, &domain);
	async_synchronize_full_domain(&domain);
	CHECK(ran == 13);
	async_schedule(later, (void *)1);
	async_synchronize_full();
	CHECK(ran == 14);
	return 0;
}

static int stopped(void *data)
{
	return irqs_disabled() ? (long)data : -EINVAL;
}

static void called(void *data)
{
	if (irqs_disabled())
		++*(int *)data;
}

static bool wanted(int cpu, void *data)
{
	return cpu == 0;
}

static void irq_worked(struct irq_work *w)
{
	ran += 100;
}

static int check_cpus(void)
{
	static struct irq_work w;
	int n = 0;

	CHECK(stop_machine(stopped, (void *)9, NULL) == 9);
	CHECK(!smp_call_function_single(0, called, &n, 1) && n == 1);
	on_each_cpu_cond(wanted, called, &n, 1);
	CHECK(n == 2);
	init_irq_work(&w, irq_worked);
	ran = 0;
	CHECK(irq_work_queue(&w));
	irq_work_sync(&w);
	CHECK(ran == 100);
	cpus_read_lock();
	CHECK(cpu_online(0));
	cpus_read_unlock();
	migrate_disable();
	CHECK(smp_processor_id() < nr_cpu_ids);
	migrate_enable();
	return 0;
}

DEFINE_STATIC_SRCU(srcu);

static int check_grace(void)
{
	unsigned long cookie = get_state_synchronize_rcu();

	synchronize_rcu();
	CHECK(poll_state_synchronize_rcu(cookie));
	cond_synchronize_rcu(cookie);
	cookie = start_poll_synchronize_rcu();
	CHECK(!poll_state_synchronize_rcu(cookie));
	synchronize_rcu_expedited();
	synchronize_rcu();
	CHECK(poll_state_synchronize_rcu(cookie));
	cookie = get_state_synchronize_srcu(&srcu);
	synchronize_srcu_expedited(&srcu);
	CHECK(poll_state_synchronize_srcu(&srcu, cookie));
	cookie = start_poll_synchronize_srcu(&srcu);
	synchronize_srcu(&srcu);
	CHECK(poll_state_synchronize_srcu(&srcu, cookie));
	srcu_barrier(&srcu);
	return 0;
}

static DECLARE_COMPLETION(gone);

static int leaves(void *data)
{
	set_user_nice(current, 5);
	if (task_nice(current) != 5)
		return -EINVAL;
	kthread_complete_and_exit(&gone, 0);
}

static int check_threads(void)
{
	struct task_struct *task = kthread_create(leaves, NULL, "lkm-conform-leaves");

	CHECK(!IS_ERR(task));
	kthread_bind(task, 0);
	sched_set_fifo(task);
	CHECK(task->policy == SCHED_FIFO);
	sched_set_normal(task, 0);
	CHECK(task->policy == SCHED_NORMAL && task_nice(task) == 0);
	wake_up_process(task);
	wait_for_completion(&gone);
	CHECK(!set_cpus_allowed_ptr(current, cpu_possible_mask));
	return 0;
}

CHECKS(check_worker, check_tasklets, check_works, check_async, check_cpus, check_grace, check_threads);
