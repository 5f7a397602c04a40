// SPDX-License-Identifier: GPL-2.0
/* Numbers from text and text from numbers. */
//#Conforms: kstrtoint kstrtouint kstrtoll kstrtoull kstrtou8 kstrtos8 kstrtou16 kstrtos16
//#Conforms: kstrtobool simple_strtol simple_strtoul simple_strtoull memparse get_options
//#Conforms: snprintf scnprintf sprintf sscanf int_sqrt string_get_size hex_dump_to_buffer
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/math.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#include "check.h"

static int check_kstrto(void)
{
	int i = 99;
	unsigned int u;
	long long ll;
	unsigned long long ull;
	u8 u8v;
	s8 s8v;
	u16 u16v;
	s16 s16v;
	long l;
	unsigned long ul;
	bool b;

	CHECK(!kstrtoint("-12", 0, &i) && i == -12);
	CHECK(!kstrtoint("0x1f\n", 0, &i) && i == 31);
	CHECK(!kstrtoint("017", 0, &i) && i == 15);
	CHECK(!kstrtoint("+5", 10, &i) && i == 5);
	CHECK(kstrtoint("", 0, &i) == -EINVAL && kstrtoint("1 ", 0, &i) == -EINVAL && i == 5);
	CHECK(kstrtoint("2147483648", 0, &i) == -ERANGE);
	CHECK(!kstrtoint("-2147483648", 0, &i) && i == INT_MIN);
	CHECK(kstrtouint("-1", 0, &u) == -EINVAL && kstrtouint("4294967296", 0, &u) == -ERANGE);
	CHECK(!kstrtouint("ff", 16, &u) && u == 255);
	CHECK(!kstrtoll("-9223372036854775808", 10, &ll) && ll == LLONG_MIN);
	CHECK(kstrtoll("9223372036854775808", 10, &ll) == -ERANGE);
	CHECK(!kstrtoull("18446744073709551615", 10, &ull) && ull == ULLONG_MAX);
	CHECK(kstrtoull("18446744073709551616", 10, &ull) == -ERANGE);
	CHECK(kstrtou8("256", 0, &u8v) == -ERANGE && !kstrtou8("255", 0, &u8v) && u8v == 255);
	CHECK(kstrtos8("-129", 0, &s8v) == -ERANGE && !kstrtos8("-128", 0, &s8v) && s8v == -128);
	CHECK(kstrtou16("65536", 0, &u16v) == -ERANGE && kstrtos16("40000", 0, &s16v) == -ERANGE);
	CHECK(!kstrtol("0b", 16, &l) && l == 11);
	CHECK(!kstrtoul("0", 0, &ul) && ul == 0);
	CHECK(!kstrtobool("Yes", &b) && b && !kstrtobool("0", &b) && !b);
	CHECK(!kstrtobool("on", &b) && b && !kstrtobool("oF", &b) && !b);
	CHECK(kstrtobool("o", &b) == -EINVAL && kstrtobool("2", &b) == -EINVAL);
	return 0;
}

static int check_simple(void)
{
	char *end;
	int list[4];

	CHECK(simple_strtol("-42abc", &end, 10) == -42 && !strcmp(end, "abc"));
	CHECK(simple_strtoul("0x2a", NULL, 0) == 42 && simple_strtoull("052", NULL, 0) == 42);
	CHECK(memparse("3M,x", &end) == 3 << 20 && !strcmp(end, ",x"));
	CHECK(memparse("0x10k", NULL) == 16384);
	CHECK(!strcmp(get_options("7,8,9", ARRAY_SIZE(list), list), ""));
	CHECK(list[0] == 3 && list[1] == 7 && list[3] == 9);
	CHECK(int_sqrt(99) == 9 && int_sqrt(100) == 10);
	return 0;
}

static int check_print(void)
{
	char b[64];
	int one, two;
	char word[8];

	CHECK(snprintf(b, sizeof(b), "%5d|%-5d|%05d|%+d", 42, 42, 42, 42) == 21);
	CHECK(!strcmp(b, "   42|42   |00042|+42"));
	CHECK(snprintf(b, 4, "%s", "abcdef") == 6 && !strcmp(b, "abc"));
	CHECK(scnprintf(b, 4, "%s", "abcdef") == 3);
	CHECK(snprintf(NULL, 0, "%lx", 0xabcdefUL) == 6);
	sprintf(b, "%.2s/%5.3s/%-4s|%c%%", "xyz", "abcdef", "q", 'z');
	CHECK(!strcmp(b, "xy/  abc/q   |z%"));
	sprintf(b, "%#x %#o %X %llu %hhd %hu", 255, 8, 0xbeef, ~0ULL, 300, 65537);
	CHECK(!strcmp(b, "0xff 010 BEEF 18446744073709551615 44 1"));
	sprintf(b, "%*d %-*d| %zd %s", 4, 7, 3, 8, (ssize_t)-5, (char *)NULL);
	CHECK(!strcmp(b, "   7 8  | -5 (null)"));
	sprintf(b, "%pM %pI4", "\x01\x23\x45\x67\x89\xab", "\x7f\x00\x00\x01");
	CHECK(!strcmp(b, "01:23:45:67:89:ab 127.0.0.1"));
	sprintf(b, "%*ph %pe %pe", 3, "\x0a\x0b\x0c", ERR_PTR(-ENOMEM), ERR_PTR(-EINVAL));
	CHECK(!strcmp(b, "0a 0b 0c -ENOMEM -EINVAL"));
	sprintf(b, "%*pbl", 16, &(unsigned long){ 0x80f6 });
	CHECK(!strcmp(b, "1-2,4-7,15"));
	sprintf(b, "%ps", check_simple);
	CHECK(!strncmp(b, "check_simple", 12));
	CHECK(sscanf("12 0x1F word", "%d %i %7s", &one, &two, word) == 3);
	CHECK(one == 12 && two == 31 && !strcmp(word, "word"));
	CHECK(sscanf("x", "%d", &one) == 0);
	string_get_size(3 << 20, 1, STRING_UNITS_2, b, sizeof(b));
	CHECK(!strcmp(b, "3.00 MiB"));
	CHECK(hex_dump_to_buffer("AB\x01", 3, 16, 1, b, sizeof(b), true) == 52);
	CHECK(!strncmp(b, "41 42 01 ", 9) && !strcmp(b + 49, "AB."));
	return 0;
}

CHECKS(check_kstrto, check_simple, check_print);
