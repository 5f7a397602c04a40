// SPDX-License-Identifier: GPL-2.0
/* Exit frees a buffer before it stops the timer and the work that write to it: it takes an unlucky moment. */
//#Verdict: findings
//#Expect: use-after-free "frame_write"
//#May: unload-hangs
//#Real: unsafe
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

struct camera {
	struct workqueue_struct *queue;
	struct work_struct write;
	struct timer_list clock;
	u32 *frame;
};

static struct camera camera;

static void frame_write(struct work_struct *work)
{
	struct camera *cam = container_of(work, struct camera, write);

	cam->frame[0]++;
}

static void frame_clock(struct timer_list *t)
{
	struct camera *cam = from_timer(cam, t, clock);

	queue_work(cam->queue, &cam->write);
	mod_timer(t, jiffies + HZ / 25);
}

static int __init exit_order_init(void)
{
	camera.frame = kcalloc(64, sizeof(u32), GFP_KERNEL);
	if (!camera.frame)
		return -ENOMEM;
	camera.queue = alloc_ordered_workqueue("lkm-frames", 0);
	if (!camera.queue) {
		kfree(camera.frame);
		return -ENOMEM;
	}
	INIT_WORK(&camera.write, frame_write);
	timer_setup(&camera.clock, frame_clock, 0);
	mod_timer(&camera.clock, jiffies + HZ / 25);
	return 0;
}

static void __exit exit_order_exit(void)
{
	kfree(camera.frame);
	del_timer_sync(&camera.clock);
	destroy_workqueue(camera.queue);
}

module_init(exit_order_init);
module_exit(exit_order_exit);
MODULE_LICENSE("GPL");
