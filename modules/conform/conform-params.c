// SPDX-License-Identifier: GPL-2.0
/* The setters and getters of module parameters, called as the kernel does. */
//#Conforms: param_set_byte param_get_byte param_set_short param_get_short param_set_ushort
//#Conforms: param_get_ushort param_set_int param_get_int param_set_uint param_get_uint
//#Conforms: param_set_long param_get_long param_set_ulong param_get_ulong param_set_ullong
//#Conforms: param_get_ullong param_set_hexint param_get_hexint param_set_bool param_get_bool
//#Conforms: param_set_invbool param_get_invbool param_set_bint param_set_charp param_get_charp
//#Conforms: param_free_charp param_set_copystring param_get_string param_set_uint_minmax
//#Conforms: param_set_bool_enable_only
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static char *page;

#define NUMBER(type, what, good, text, bad)						\
static int check_##what(void)								\
{											\
	type value = 0;									\
	struct kernel_param kp = { .name = "x", .arg = &value };			\
											\
	CHECK(!param_set_##what(text, &kp) && value == (type)(good));			\
	CHECK(param_set_##what("nonsense", &kp) == -EINVAL);				\
	CHECK(param_set_##what(bad, &kp) == -ERANGE && value == (type)(good));		\
	CHECK(param_get_##what(page, &kp) == strlen(text) + 1);				\
	CHECK(!strncmp(page, text, strlen(text)) && page[strlen(text)] == '\n');	\
	return 0;									\
}

NUMBER(unsigned char, byte, 200, "200", "256")
NUMBER(short, short, -300, "-300", "40000")
NUMBER(unsigned short, ushort, 60000, "60000", "65536")
NUMBER(int, int, -5, "-5", "2147483648")
NUMBER(unsigned int, uint, 4000000000u, "4000000000", "4294967296")
NUMBER(long, long, -5000000000L, "-5000000000", "9223372036854775808")
NUMBER(unsigned long, ulong, 5000000000UL, "5000000000", "18446744073709551616")
NUMBER(unsigned long long, ullong, 18446744073709551615ULL, "18446744073709551615", "18446744073709551616")
NUMBER(unsigned int, hexint, 0xbeef, "0x00beef", "0x100000000")

static int check_bool(void)
{
	bool value = false;
	int number = 0;
	struct kernel_param kp = { .name = "x", .arg = &value };
	struct kernel_param kn = { .name = "x", .arg = &number };

	CHECK(!param_set_bool("y", &kp) && value && !param_set_bool("0", &kp) && !value);
	CHECK(!param_set_bool("on", &kp) && value && param_set_bool("maybe", &kp) == -EINVAL);
	CHECK(!param_set_bool("n", &kp) && !param_set_bool(NULL, &kp) && value);
	CHECK(param_get_bool(page, &kp) == 2 && !strncmp(page, "Y\n", 2));
	CHECK(!param_set_invbool("Y", &kp) && !value);
	CHECK(param_get_invbool(page, &kp) == 2 && !strncmp(page, "Y\n", 2));
	CHECK(!param_set_bint("Y", &kn) && number == 1 && !param_set_bint("n", &kn) && number == 0);
	CHECK(!param_set_bool_enable_only("1", &kp) && value);
	CHECK(param_set_bool_enable_only("0", &kp) == -EROFS && value);
	return 0;
}

static int check_strings(void)
{
	char *text = NULL, buf[6];
	struct kparam_string string = { .maxlen = sizeof(buf), .string = buf };
	struct kernel_param kp = { .name = "x", .arg = &text };
	struct kernel_param ks = { .name = "x", .str = &string };

	CHECK(!param_set_charp("first", &kp) && !strcmp(text, "first"));
	CHECK(!param_set_charp("second", &kp) && !strcmp(text, "second"));
	CHECK(param_get_charp(page, &kp) == 7 && !strncmp(page, "second\n", 7));
	param_free_charp(&text);
	CHECK(!param_set_copystring("12345", &ks) && !strcmp(buf, "12345"));
	CHECK(param_set_copystring("123456", &ks) == -ENOSPC && !strcmp(buf, "12345"));
	CHECK(param_get_string(page, &ks) == 6 && !strncmp(page, "12345\n", 6));
	return 0;
}

static int check_minmax(void)
{
	unsigned int value = 7;
	struct kernel_param kp = { .name = "x", .arg = &value };

	CHECK(!param_set_uint_minmax("9", &kp, 5, 10) && value == 9);
	CHECK(param_set_uint_minmax("4", &kp, 5, 10) == -EINVAL && value == 9);
	CHECK(param_set_uint_minmax("11", &kp, 5, 10) == -EINVAL);
	CHECK(param_set_uint_minmax("x", &kp, 5, 10) == -EINVAL);
	return 0;
}

static int __init conform_init(void)
{
	static int (*const checks[])(void) = {
		check_byte, check_short, check_ushort, check_int, check_uint, check_long, check_ulong,
		check_ullong, check_hexint, check_bool, check_strings, check_minmax,
	};
	int n, ret = 0;

	page = (char *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	for (n = 0; n < ARRAY_SIZE(checks) && !ret; n++)
		ret = checks[n]();
	free_page((unsigned long)page);
	return ret;
}

static void __exit conform_exit(void)
{
}

module_init(conform_init);
module_exit(conform_exit);
MODULE_LICENSE("GPL");
