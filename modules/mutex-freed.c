// SPDX-License-Identifier: GPL-2.0
/* The object is freed with its own mutex still held. */
//#Verdict: findings
//#Expect: mutex-misuse exit "freed-held"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

struct room {
	struct mutex door;
	int people;
};

static struct room *room;

static int __init mutex_freed_init(void)
{
	room = kzalloc(sizeof(*room), GFP_KERNEL);
	if (!room)
		return -ENOMEM;
	mutex_init(&room->door);
	return 0;
}

static void __exit mutex_freed_exit(void)
{
	mutex_lock(&room->door);
	room->people = 0;
	kfree(room);
}

module_init(mutex_freed_init);
module_exit(mutex_freed_exit);
MODULE_LICENSE("GPL");
