// SPDX-License-Identifier: GPL-2.0
/* Every kind of memory, grown, duplicated, averaged, and all given back: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static int __percpu *counter;
static unsigned long page;

static int __init memory_ok_init(void)
{
	char *text = NULL, *grown;
	void *big;
	int cpu, sum = 0;

	counter = alloc_percpu(int);
	if (!counter)
		return -ENOMEM;
	page = __get_free_pages(GFP_KERNEL | __GFP_ZERO, 1);
	if (!page)
		goto nomem;
	for_each_possible_cpu(cpu)
		*per_cpu_ptr(counter, cpu) = 1;
	for_each_possible_cpu(cpu)
		sum += *per_cpu_ptr(counter, cpu);
	text = kasprintf(GFP_KERNEL, "%d cpus", sum);
	if (!text)
		goto nomem;
	grown = krealloc(text, 600, GFP_KERNEL);
	if (!grown)
		goto nomem;
	text = grown;
	big = kvmalloc(400000, GFP_KERNEL);
	if (!big)
		goto nomem;
	memset(big, 0, 400000);
	strlcat(text, " and a big area", 600);
	pr_info("%s\n", text);
	kvfree(big);
	kfree_sensitive(text);
	return 0;
nomem:
	kfree(text);
	if (page)
		free_pages(page, 1);
	free_percpu(counter);
	return -ENOMEM;
}

static void __exit memory_ok_exit(void)
{
	free_pages(page, 1);
	free_percpu(counter);
}

module_init(memory_ok_init);
module_exit(memory_ok_exit);
MODULE_LICENSE("GPL");
