// SPDX-License-Identifier: GPL-2.0
/* Mutexes, semaphores, read-write locks, spin locks, reference to who holds them. */
//#Conforms: mutex_lock mutex_unlock mutex_trylock mutex_is_locked mutex_lock_interruptible
//#Conforms: mutex_lock_killable __mutex_init down_read up_read down_write up_write
//#Conforms: down_read_trylock down_write_trylock downgrade_write __init_rwsem down up
//#Conforms: down_trylock down_timeout down_interruptible _raw_spin_lock _raw_spin_trylock
//#Conforms: _raw_spin_lock_irqsave _raw_spin_unlock_irqrestore _raw_spin_lock_bh
//#Conforms: _raw_spin_unlock_bh _raw_read_lock _raw_write_lock _raw_write_trylock
//#Conforms: _raw_read_trylock atomic_dec_and_mutex_lock _atomic_dec_and_lock
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched/task.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include "check.h"

static struct mutex lock;
static int inside, overlap, entered;

static int contend(void *data)
{
	int n;

	for (n = 0; n < 5; n++) {
		mutex_lock(&lock);
		if (inside++)
			overlap++;
		msleep(3);
		inside--;
		entered++;
		mutex_unlock(&lock);
	}
	return mutex_trylock(&lock) ? (mutex_unlock(&lock), 0) : 1;
}

static int check_mutex(void)
{
	struct task_struct *k[3];
	int n;

	mutex_init(&lock);
	CHECK(!mutex_is_locked(&lock));
	mutex_lock(&lock);
	CHECK(mutex_is_locked(&lock) && !mutex_trylock(&lock));
	for (n = 0; n < 3; n++) {
		k[n] = kthread_create(contend, NULL, "contend/%d", n);
		CHECK(!IS_ERR(k[n]));
		get_task_struct(k[n]);
		wake_up_process(k[n]);
	}
	msleep(20);
	CHECK(entered == 0);
	mutex_unlock(&lock);
	for (n = 0; n < 3; n++) {
		while (entered < 15)
			msleep(5);
		kthread_stop(k[n]);
		put_task_struct(k[n]);
	}
	CHECK(entered == 15 && !overlap);
	CHECK(!mutex_lock_interruptible(&lock));
	mutex_unlock(&lock);
	CHECK(!mutex_lock_killable(&lock));
	mutex_unlock(&lock);
	CHECK(mutex_trylock(&lock) == 1);
	mutex_unlock(&lock);
	mutex_destroy(&lock);
	return 0;
}

static int check_rwsem(void)
{
	struct rw_semaphore sem;

	init_rwsem(&sem);
	down_read(&sem);
	CHECK(down_read_trylock(&sem) == 1 && down_write_trylock(&sem) == 0);
	up_read(&sem);
	up_read(&sem);
	CHECK(!rwsem_is_locked(&sem));
	CHECK(down_write_trylock(&sem) == 1 && down_read_trylock(&sem) == 0);
	downgrade_write(&sem);
	CHECK(down_read_trylock(&sem) == 1);
	up_read(&sem);
	up_read(&sem);
	down_write(&sem);
	CHECK(rwsem_is_locked(&sem));
	up_write(&sem);
	return 0;
}

static int check_semaphore(void)
{
	struct semaphore sem;

	sema_init(&sem, 2);
	down(&sem);
	CHECK(!down_interruptible(&sem) && down_trylock(&sem) == 1);
	CHECK(down_timeout(&sem, HZ / 50) == -ETIME);
	up(&sem);
	CHECK(down_trylock(&sem) == 0);
	up(&sem);
	up(&sem);
	CHECK(sem.count == 2);
	return 0;
}

static int check_spin(void)
{
	DEFINE_SPINLOCK(spin);
	DEFINE_RWLOCK(rw);
	atomic_t n = ATOMIC_INIT(2);
	unsigned long flags;
	int held, pre = preempt_count();

	spin_lock(&spin);
	CHECK(spin_is_locked(&spin) && !spin_trylock(&spin));
	spin_unlock(&spin);
	CHECK(spin_trylock(&spin) == 1);
	spin_unlock(&spin);
	spin_lock_irqsave(&spin, flags);
	held = irqs_disabled();
	spin_unlock_irqrestore(&spin, flags);
	CHECK(held && !irqs_disabled());
	spin_lock_bh(&spin);
	held = in_softirq() != 0;
	spin_unlock_bh(&spin);
	CHECK(held && !in_softirq());
	read_lock(&rw);
	CHECK(read_trylock(&rw) == 1 && write_trylock(&rw) == 0);
	read_unlock(&rw);
	read_unlock(&rw);
	write_lock(&rw);
	CHECK(read_trylock(&rw) == 0);
	write_unlock(&rw);
	CHECK(!atomic_dec_and_lock(&n, &spin) && !spin_is_locked(&spin));
	CHECK(atomic_dec_and_lock(&n, &spin) == 1 && spin_is_locked(&spin));
	spin_unlock(&spin);
	atomic_set(&n, 1);
	mutex_init(&lock);
	CHECK(atomic_dec_and_mutex_lock(&n, &lock) == 1 && mutex_is_locked(&lock));
	mutex_unlock(&lock);
	CHECK(preempt_count() == pre);
	return 0;
}

CHECKS(check_mutex, check_rwsem, check_semaphore, check_spin);
