// SPDX-License-Identifier: GPL-2.0
/* Wait queues by hand, simple ones, bit waits, completions that may be interrupted, the rest of the locks. */
//#Conforms: __init_waitqueue_head __init_swait_queue_head add_wait_queue add_wait_queue_exclusive
//#Conforms: remove_wait_queue prepare_to_wait prepare_to_wait_exclusive default_wake_function
//#Conforms: autoremove_wake_function wait_woken woken_wake_function wake_up_bit bit_waitqueue
//#Conforms: out_of_line_wait_on_bit out_of_line_wait_on_bit_lock bit_wait wake_up_var
//#Conforms: prepare_to_swait_event prepare_to_swait_exclusive finish_swait swake_up_one swake_up_all
//#Conforms: wait_for_completion_interruptible wait_for_completion_killable
//#Conforms: wait_for_completion_interruptible_timeout wait_for_completion_killable_timeout
//#Conforms: rt_mutex_lock rt_mutex_trylock rt_mutex_unlock rt_mutex_lock_interruptible
//#Conforms: down_killable down_read_interruptible down_read_killable down_write_killable
//#Conforms: __percpu_init_rwsem percpu_down_write percpu_up_write percpu_free_rwsem
//#Conforms: refcount_dec_and_lock refcount_dec_if_one refcount_dec_not_one
//#Conforms: refcount_dec_and_lock_irqsave _raw_spin_unlock _raw_spin_lock_irq _raw_spin_unlock_irq
//#Conforms: _raw_spin_trylock_bh _raw_read_unlock _raw_read_lock_irq _raw_read_unlock_irq
//#Conforms: _raw_read_lock_bh _raw_read_unlock_bh _raw_read_lock_irqsave
//#Conforms: _raw_read_unlock_irqrestore _raw_write_unlock _raw_write_lock_irq
//#Conforms: _raw_write_unlock_irq _raw_write_lock_bh _raw_write_unlock_bh
//#Conforms: _raw_write_lock_irqsave _raw_write_unlock_irqrestore _atomic_dec_and_lock_irqsave
//#Conforms: __wake_up_sync __wake_up_locked __rcu_read_lock __rcu_read_unlock
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/percpu-rwsem.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rtmutex.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/swait.h>
#include <linux/wait.h>
#include <linux/wait_bit.h>
#include "check.h"

static wait_queue_head_t queue;
static struct swait_queue_head simple;
static unsigned long word;
static int ready, woken, var;

/* Runs a thread to its end, after the caller had its turn. */
static struct task_struct *start(int (*f)(void *), void *data)
{
	struct task_struct *task = kthread_create(f, data, "conform-waits");

	if (!IS_ERR(task)) {
		get_task_struct(task);
		wake_up_process(task);
		msleep(20);
	}
	return task;
}

static int end(struct task_struct *task)
{
	int ret = kthread_stop(task);

	put_task_struct(task);
	return ret;
}

static int by_hand(void *data)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	DECLARE_WAITQUEUE(own, current);
	DEFINE_WAIT(automatic);

	if (data == (void *)1) {
		add_wait_queue(&queue, &wait);
		while (!READ_ONCE(ready))
			wait_woken(&wait, TASK_UNINTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT);
		remove_wait_queue(&queue, &wait);
	} else if (data == (void *)2) {
		add_wait_queue_exclusive(&queue, &own);
		for (;;) {
			set_current_state(TASK_UNINTERRUPTIBLE);
			if (READ_ONCE(ready))
				break;
			schedule();
		}
		__set_current_state(TASK_RUNNING);
		remove_wait_queue(&queue, &own);
	} else {
		for (;;) {
			if (data == (void *)3)
				prepare_to_wait(&queue, &automatic, TASK_UNINTERRUPTIBLE);
			else
				prepare_to_wait_exclusive(&queue, &automatic, TASK_UNINTERRUPTIBLE);
			if (READ_ONCE(ready))
				break;
			schedule();
		}
		finish_wait(&queue, &automatic);
	}
	woken++;
	while (!kthread_should_stop())
		msleep(1);
	return (long)data;
}

static int check_queue(void)
{
	struct task_struct *task[4];
	long n;

	init_waitqueue_head(&queue);
	for (n = 0; n < 4; n++) {
		task[n] = start(by_hand, (void *)(n + 1));
		CHECK(!IS_ERR(task[n]));
	}
	CHECK(woken == 0 && waitqueue_active(&queue));
	wake_up_all(&queue);
	msleep(10);
	CHECK(woken == 0);
	ready = 1;
	/* All that wait together, and one of those that wait alone. */
	wake_up(&queue);
	msleep(20);
	CHECK(woken == 3);
	__wake_up_sync(&queue, TASK_NORMAL);
	msleep(20);
	CHECK(woken == 4 && !waitqueue_active(&queue));
	for (n = 0; n < 4; n++)
		CHECK(end(task[n]) == n + 1);
	spin_lock_irq(&queue.lock);
	wake_up_locked(&queue);
	spin_unlock_irq(&queue.lock);
	return 0;
}

static int bit_waiter(void *data)
{
	int ret = out_of_line_wait_on_bit(&word, 3, bit_wait, TASK_UNINTERRUPTIBLE);

	if (!ret)
		ret = out_of_line_wait_on_bit_lock(&word, 5, bit_wait, TASK_UNINTERRUPTIBLE);
	wait_var_event(&var, READ_ONCE(var) == 2);
	woken = 10;
	while (!kthread_should_stop())
		msleep(1);
	return ret;
}

static int check_bits(void)
{
	struct task_struct *task;

	word = BIT(3) | BIT(5);
	task = start(bit_waiter, NULL);
	CHECK(!IS_ERR(task) && bit_waitqueue(&word, 3) == bit_waitqueue(&word, 3));
	clear_bit_unlock(3, &word);
	smp_mb__after_atomic();
	wake_up_bit(&word, 3);
	msleep(20);
	clear_bit_unlock(5, &word);
	smp_mb__after_atomic();
	wake_up_bit(&word, 5);
	msleep(20);
	CHECK(test_bit(5, &word) && woken == 4);
	WRITE_ONCE(var, 2);
	wake_up_var(&var);
	msleep(20);
	CHECK(woken == 10 && end(task) == 0);
	return 0;
}

static int simple_waiter(void *data)
{
	int ret = 0;

	if (data)
		ret = swait_event_interruptible_exclusive(simple, READ_ONCE(ready) == 2);
	else
		swait_event_exclusive(simple, READ_ONCE(ready) == 2);
	woken++;
	while (!kthread_should_stop())
		msleep(1);
	return ret;
}

static int check_simple(void)
{
	DECLARE_SWAITQUEUE(self);
	struct task_struct *a, *b;

	init_swait_queue_head(&simple);
	woken = 0;
	a = start(simple_waiter, NULL);
	b = start(simple_waiter, (void *)1);
	CHECK(!IS_ERR(a) && !IS_ERR(b) && swait_active(&simple));
	ready = 2;
	swake_up_one(&simple);
	msleep(20);
	CHECK(woken == 1);
	swake_up_all(&simple);
	msleep(20);
	CHECK(woken == 2 && end(a) == 0 && end(b) == 0);
	prepare_to_swait_exclusive(&simple, &self, TASK_UNINTERRUPTIBLE);
	finish_swait(&simple, &self);
	CHECK(!swait_active(&simple));
	return 0;
}

static int check_completions(void)
{
	DECLARE_COMPLETION_ONSTACK(done);

	complete_all(&done);
	CHECK(!wait_for_completion_interruptible(&done) && !wait_for_completion_killable(&done));
	reinit_completion(&done);
	CHECK(wait_for_completion_interruptible_timeout(&done, 2) == 0);
	CHECK(wait_for_completion_killable_timeout(&done, 2) == 0);
	complete(&done);
	CHECK(wait_for_completion_killable_timeout(&done, 2) > 0);
	return 0;
}

static int check_sleeping_locks(void)
{
	static DEFINE_RT_MUTEX(rt);
	static DEFINE_SEMAPHORE(sem);
	static DECLARE_RWSEM(rw);
	static struct percpu_rw_semaphore many;

	rt_mutex_lock(&rt);
	CHECK(!rt_mutex_trylock(&rt));
	rt_mutex_unlock(&rt);
	CHECK(rt_mutex_trylock(&rt));
	rt_mutex_unlock(&rt);
	CHECK(!rt_mutex_lock_interruptible(&rt));
	rt_mutex_unlock(&rt);
	CHECK(!down_killable(&sem) && down_trylock(&sem));
	up(&sem);
	CHECK(!down_read_interruptible(&rw) && !down_read_killable(&rw) && !down_write_trylock(&rw));
	up_read(&rw);
	up_read(&rw);
	CHECK(!down_write_killable(&rw) && !down_read_trylock(&rw));
	up_write(&rw);
	CHECK(!percpu_init_rwsem(&many));
	percpu_down_write(&many);
	percpu_up_write(&many);
	percpu_free_rwsem(&many);
	return 0;
}

static int check_counts(void)
{
	static DEFINE_SPINLOCK(lock);
	refcount_t r = REFCOUNT_INIT(2);
	atomic_t a = ATOMIC_INIT(2);
	unsigned long flags;

	CHECK(!refcount_dec_and_lock(&r, &lock) && refcount_read(&r) == 1 && !spin_is_locked(&lock));
	CHECK(!refcount_dec_not_one(&r) && refcount_read(&r) == 1);
	CHECK(refcount_dec_if_one(&r) && refcount_read(&r) == 0);
	refcount_set(&r, 3);
	CHECK(!refcount_dec_if_one(&r) && refcount_dec_not_one(&r) && refcount_read(&r) == 2);
	refcount_set(&r, 1);
	CHECK(refcount_dec_and_lock(&r, &lock) && spin_is_locked(&lock));
	spin_unlock(&lock);
	refcount_set(&r, 1);
	CHECK(refcount_dec_and_lock_irqsave(&r, &lock, &flags) && irqs_disabled());
	spin_unlock_irqrestore(&lock, flags);
	CHECK(!atomic_dec_and_lock_irqsave(&a, &lock, flags) && !irqs_disabled());
	CHECK(atomic_dec_and_lock_irqsave(&a, &lock, flags) && irqs_disabled());
	spin_unlock_irqrestore(&lock, flags);
	CHECK(!irqs_disabled());
	return 0;
}

static int check_spinning(void)
{
	static DEFINE_SPINLOCK(lock);
	static DEFINE_RWLOCK(rw);
	unsigned long flags;
	int before = preempt_count();

	spin_lock(&lock);
	CHECK(spin_is_locked(&lock) && preempt_count() == before + 1);
	spin_unlock(&lock);
	spin_lock_irq(&lock);
	CHECK(irqs_disabled() && !spin_trylock(&lock));
	spin_unlock_irq(&lock);
	CHECK(!irqs_disabled() && spin_trylock_bh(&lock) && in_softirq());
	spin_unlock_bh(&lock);
	CHECK(!in_softirq());
	read_lock(&rw);
	CHECK(read_trylock(&rw) && !write_trylock(&rw));
	read_unlock(&rw);
	read_unlock(&rw);
	read_lock_irq(&rw);
	CHECK(irqs_disabled());
	read_unlock_irq(&rw);
	read_lock_bh(&rw);
	CHECK(in_softirq() && !irqs_disabled());
	read_unlock_bh(&rw);
	read_lock_irqsave(&rw, flags);
	CHECK(irqs_disabled());
	read_unlock_irqrestore(&rw, flags);
	write_lock(&rw);
	CHECK(!read_trylock(&rw) && !irqs_disabled());
	write_unlock(&rw);
	write_lock_irq(&rw);
	CHECK(irqs_disabled() && !read_trylock(&rw));
	write_unlock_irq(&rw);
	write_lock_bh(&rw);
	CHECK(in_softirq());
	write_unlock_bh(&rw);
	write_lock_irqsave(&rw, flags);
	CHECK(irqs_disabled());
	write_unlock_irqrestore(&rw, flags);
	CHECK(!irqs_disabled() && !in_softirq() && preempt_count() == before);
	rcu_read_lock();
	rcu_read_lock();
	CHECK(preempt_count() == before);
	rcu_read_unlock();
	rcu_read_unlock();
	return 0;
}

CHECKS(check_queue, check_bits, check_simple, check_completions, check_sleeping_locks, check_counts,
       check_spinning);
