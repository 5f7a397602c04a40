// SPDX-License-Identifier: GPL-2.0
/* The handlers of sysctl files, called as the file calls them: kernel memory in and out. */
//#Conforms: proc_dointvec proc_douintvec proc_dointvec_minmax proc_douintvec_minmax proc_dostring
//#Conforms: proc_doulongvec_minmax proc_dou8vec_minmax register_sysctl
//#Conforms: unregister_sysctl_table
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include "check.h"

typedef int (*handler)(struct ctl_table *, int, void *, size_t *, loff_t *);

static char *page;

static int put(handler f, struct ctl_table *table, const char *text)
{
	size_t len = strlen(text);
	loff_t pos = 0;

	strcpy(page, text);
	return f(table, 1, page, &len, &pos);
}

static bool is(handler f, struct ctl_table *table, const char *text)
{
	size_t len = 100;
	loff_t pos = 0;

	memset(page, 0, 200);
	return !f(table, 0, page, &len, &pos) && len == strlen(text) && pos == len && !strcmp(page, text);
}

static int check_ints(void)
{
	int value[2] = { 5, -6 }, low = -10, high = 10;
	unsigned int u = 7, most = 100;
	struct ctl_table t = { .procname = "x", .data = value, .maxlen = sizeof(value) };
	struct ctl_table one = { .procname = "x", .data = value, .maxlen = sizeof(int), .extra1 = &low, .extra2 = &high };
	struct ctl_table un = { .procname = "x", .data = &u, .maxlen = sizeof(u), .extra2 = &most };

	CHECK(is(proc_dointvec, &t, "5\t-6\n"));
	CHECK(!put(proc_dointvec, &t, "1 -2\n") && value[0] == 1 && value[1] == -2);
	CHECK(!put(proc_dointvec, &t, "9") && value[0] == 9 && value[1] == -2);
	CHECK(put(proc_dointvec, &t, "junk") == -EINVAL && value[0] == 9);
	CHECK(!put(proc_dointvec_minmax, &one, "-10") && value[0] == -10);
	CHECK(put(proc_dointvec_minmax, &one, "11") == -EINVAL && value[0] == -10);
	CHECK(is(proc_dointvec_minmax, &one, "-10\n"));
	CHECK(!put(proc_douintvec, &un, "4000000000") && u == 4000000000u && is(proc_douintvec, &un, "4000000000\n"));
	CHECK(put(proc_douintvec, &un, "-1") == -EINVAL && u == 4000000000u);
	CHECK(!put(proc_douintvec_minmax, &un, "100") && u == 100 && put(proc_douintvec_minmax, &un, "101") < 0);
	CHECK(u == 100);
	return 0;
}

static int check_others(void)
{
	unsigned long big = 1, least = 5;
	u8 small = 3;
	char text[8] = "abc";
	struct ctl_table l = { .procname = "x", .data = &big, .maxlen = sizeof(big), .extra1 = &least };
	struct ctl_table b = { .procname = "x", .data = &small, .maxlen = sizeof(small) };
	struct ctl_table s = { .procname = "x", .data = text, .maxlen = sizeof(text) };

	CHECK(!put(proc_doulongvec_minmax, &l, "5000000000") && big == 5000000000UL);
	CHECK(is(proc_doulongvec_minmax, &l, "5000000000\n"));
	CHECK(!put(proc_dou8vec_minmax, &b, "200") && small == 200 && is(proc_dou8vec_minmax, &b, "200\n"));
	CHECK(put(proc_dou8vec_minmax, &b, "256") == -EINVAL && small == 200);
	CHECK(is(proc_dostring, &s, "abc\n"));
	CHECK(!put(proc_dostring, &s, "new\n") && !strcmp(text, "new"));
	CHECK(!put(proc_dostring, &s, "muchtoolong") && !strcmp(text, "muchtoo"));
	return 0;
}

static int check_table(void)
{
	static int n;
	static struct ctl_table table[] = {
		{ .procname = "lkm-conform", .data = &n, .maxlen = sizeof(n), .mode = 0644, .proc_handler = proc_dointvec },
		{ }
	};
	struct ctl_table_header *h = register_sysctl("kernel", table);

	CHECK(h);
	unregister_sysctl_table(h);
	h = register_sysctl("kernel", table);
	CHECK(h);
	unregister_sysctl_table(h);
	unregister_sysctl_table(NULL);
	return 0;
}

static int __init conform_init(void)
{
	int ret;

	page = kzalloc(512, GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = check_ints();
	if (!ret)
		ret = check_others();
	if (!ret)
		ret = check_table();
	kfree(page);
	return ret;
}

static void __exit conform_exit(void)
{
}

module_init(conform_init);
module_exit(conform_exit);
MODULE_LICENSE("GPL");
