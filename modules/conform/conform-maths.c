// SPDX-License-Identifier: GPL-2.0
/* Checksums, fractions, patterns, tokens, strings that are seldom used, random numbers of a known kind, bitmaps. */
//#Conforms: crc32_le crc32_be __crc32c_le crc_ccitt gcd lcm lcm_not_zero int_pow
//#Conforms: rational_best_approximation glob_match match_token match_int match_hex match_octal
//#Conforms: match_u64 match_uint match_strdup match_strlcpy match_wildcard get_option argv_split
//#Conforms: argv_free memcpy_and_pad memweight sort_r strcat strncat strcpy strlcpy stpcpy bcmp
//#Conforms: prandom_u32_state prandom_bytes_state prandom_seed_full_state uuid_gen guid_gen
//#Conforms: generate_random_uuid generate_random_guid uuid_is_valid get_random_bytes
//#Conforms: __get_random_u32_below get_random_u32 get_random_u64 csum_partial ip_compute_csum
//#Conforms: bitmap_alloc bitmap_free __bitmap_complement __bitmap_replace
//#Conforms: __bitmap_weight_and _find_first_and_bit _find_next_and_bit bitmap_allocate_region
//#Conforms: bitmap_find_free_region bitmap_release_region memset
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/bitmap.h>
#include <linux/crc-ccitt.h>
#include <linux/crc32.h>
#include <linux/gcd.h>
#include <linux/glob.h>
#include <linux/kernel.h>
#include <linux/lcm.h>
#include <linux/math.h>
#include <linux/parser.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rational.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/uuid.h>
#include <net/checksum.h>
#include "check.h"

/* The compiler calls it for sprintf("%s"); no header declares it. */
char *stpcpy(char *__restrict__ dest, const char *__restrict__ src);

static int check_sums(void)
{
	static const u8 digits[] __aligned(4) = "123456789";
	__wsum sum;

	/* The check values of the catalogues of CRCs. */
	CHECK((crc32_le(~0u, digits, 9) ^ ~0u) == 0xcbf43926);
	CHECK(crc32_be(~0u, digits, 9) == 0x0376e6e7);
	CHECK((__crc32c_le(~0u, digits, 9) ^ ~0u) == 0xe3069283);
	CHECK(crc_ccitt(0xffff, digits, 9) == 0x6f91);
	sum = csum_partial(digits, 8, 0);
	CHECK(csum_fold(sum) == ip_compute_csum(digits, 8));
	CHECK(ip_compute_csum("\x45\x00\x00\x73\x00\x00\x40\x00\x40\x11\x00\x00\xc0\xa8\x00\x01\xc0\xa8\x00\xc7", 20) ==
	      htons(0xb861));
	return 0;
}

static int check_numbers(void)
{
	unsigned long n, d;

	CHECK(gcd(84, 36) == 12 && gcd(0, 5) == 5 && gcd(17, 13) == 1);
	CHECK(lcm(4, 6) == 12 && lcm(0, 6) == 0 && lcm_not_zero(0, 6) == 6 && lcm_not_zero(4, 6) == 12);
	CHECK(int_pow(3, 5) == 243 && int_pow(10, 0) == 1 && int_pow(2, 40) == 1ULL << 40);
	rational_best_approximation(31415, 10000, 255, 255, &n, &d);
	CHECK(n == 245 && d == 78);
	rational_best_approximation(1230, 10, 100, 20, &n, &d);
	CHECK(n == 100 && d == 1);
	return 0;
}

static int check_patterns(void)
{
	enum { opt_name, opt_size, opt_mask, opt_flag, opt_mode, opt_bad };
	static const match_table_t tokens = {
		{ opt_name, "name=%s" }, { opt_size, "size=%u" }, { opt_mask, "mask=%x" },
		{ opt_mode, "mode=%o" }, { opt_flag, "flag" }, { opt_bad, NULL },
	};
	substring_t args[MAX_OPT_ARGS];
	unsigned int u;
	char buf[8], *s;
	u64 big;
	int n;

	CHECK(glob_match("a*c?", "abbbcd") && !glob_match("a*c?", "abbbc") && glob_match("[!x]*", "y"));
	CHECK(glob_match("[a-c]1", "b1") && !glob_match("[a-c]1", "d1") && glob_match("\\*", "*"));
	CHECK(match_wildcard("a*?d", "abcd") && !match_wildcard("a*?d", "ad"));
	s = (char *)"name=value";
	CHECK(match_token(s, tokens, args) == opt_name);
	s = match_strdup(&args[0]);
	CHECK(s && !strcmp(s, "value"));
	kfree(s);
	CHECK(match_strlcpy(buf, &args[0], 4) == 5 && !strcmp(buf, "val"));
	CHECK(match_token((char *)"size=12", tokens, args) == opt_size && !match_int(&args[0], &n) && n == 12);
	CHECK(!match_uint(&args[0], &u) && u == 12 && !match_u64(&args[0], &big) && big == 12);
	CHECK(match_token((char *)"mask=ff", tokens, args) == opt_mask && !match_hex(&args[0], &n) && n == 255);
	CHECK(match_token((char *)"mode=755", tokens, args) == opt_mode && !match_octal(&args[0], &n) && n == 0755);
	CHECK(match_token((char *)"flag", tokens, args) == opt_flag);
	CHECK(match_token((char *)"flags", tokens, args) == opt_bad);
	CHECK(match_token((char *)"size=x", tokens, args) == opt_bad);
	return 0;
}

static int check_options(void)
{
	char text[] = "5,-7,9-12,x", *at = text, **argv;
	int n, argc;

	CHECK(get_option(&at, &n) == 2 && n == 5 && get_option(&at, &n) == 2 && n == -7);
	CHECK(get_option(&at, &n) == 3 && n == 9 && get_option(&at, &n) == 2 && n == -12);
	CHECK(get_option(&at, &n) == 0 && *at == 'x');
	argv = argv_split(GFP_KERNEL, "  one two\tthree ", &argc);
	CHECK(argv && argc == 3 && !strcmp(argv[0], "one") && !strcmp(argv[2], "three") && !argv[3]);
	argv_free(argv);
	return 0;
}

static int descending(const void *a, const void *b, const void *data)
{
	return (*(int *)b - *(int *)a) * *(int *)data;
}

static int check_strings(void)
{
	volatile size_t room = 8;
	char *s = kzalloc(32, GFP_KERNEL), *t = kzalloc(32, GFP_KERNEL);
	int numbers[5] = { 3, 1, 5, 2, 4 }, sign = 1;
	char *volatile from = (char *)"abc";
	u8 pad[6];
	/* By pointer, so that no compiler puts something of its own there. */
	char *(*volatile copy)(char *, const char *) = strcpy, *(*volatile cat)(char *, const char *) = strcat;
	char *(*volatile ncat)(char *, const char *, size_t) = strncat;
	size_t (*volatile lcpy)(char *, const char *, size_t) = strlcpy;
	int (*volatile cmp)(const void *, const void *, size_t) = bcmp;

	CHECK(s && t);
	CHECK(copy(s, from) == s && cat(s, from) == s && !strcmp(s, "abcabc"));
	CHECK(ncat(s, from, 2) == s && !strcmp(s, "abcabcab"));
	CHECK(lcpy(t, s, room) == 8 && !strcmp(t, "abcabca"));
	CHECK(stpcpy(t, from) == t + 3 && cmp(t, from, 4) == 0 && cmp(t, "abd", 3) != 0);
	memset(t, 'x', room);
	CHECK(!memcmp(t, "xxxxxxxx", 8));
	memcpy_and_pad(pad, sizeof(pad), "ab", 2, '-');
	CHECK(!memcmp(pad, "ab----", 6));
	CHECK(memweight("\xff\x01\x00\x80", 4) == 10);
	sort_r(numbers, 5, sizeof(int), descending, NULL, &sign);
	CHECK(numbers[0] == 5 && numbers[2] == 3 && numbers[4] == 1);
	kfree(s);
	kfree(t);
	return 0;
}

static int check_random(void)
{
	struct rnd_state a, b;
	u8 x[16] = { 0 }, y[16];
	uuid_t u, v;
	guid_t g;
	int n;

	prandom_seed_state(&a, 3141592653589793238ULL);
	prandom_seed_state(&b, 3141592653589793238ULL);
	/* The same seed, the same numbers. */
	for (n = 0; n < 100; n++)
		CHECK(prandom_u32_state(&a) == prandom_u32_state(&b));
	prandom_bytes_state(&a, x, 16);
	prandom_bytes_state(&b, y, 16);
	CHECK(!memcmp(x, y, 16));
	{
		struct rnd_state __percpu *all = alloc_percpu(struct rnd_state);

		CHECK(all);
		prandom_seed_full_state(all);
		free_percpu(all);
	}
	for (n = 0; n < 100; n++)
		CHECK(get_random_u32_below(n + 1) <= n);
	CHECK(get_random_u64() != get_random_u64() && (get_random_u32() | get_random_u32() | get_random_u32()));
	get_random_bytes(x, 16);
	get_random_bytes(y, 16);
	CHECK(memcmp(x, y, 16));
	uuid_gen(&u);
	uuid_gen(&v);
	CHECK(!uuid_equal(&u, &v) && (u.b[6] & 0xf0) == 0x40 && (u.b[8] & 0xc0) == 0x80);
	guid_gen(&g);
	CHECK((g.b[7] & 0xf0) == 0x40 && (g.b[8] & 0xc0) == 0x80);
	generate_random_uuid(x);
	CHECK((x[6] & 0xf0) == 0x40 && (x[8] & 0xc0) == 0x80);
	generate_random_guid(x);
	CHECK((x[7] & 0xf0) == 0x40 && (x[8] & 0xc0) == 0x80);
	CHECK(uuid_is_valid("c33f4995-3701-450e-9fbf-206a2e98e576"));
	CHECK(!uuid_is_valid("c33f4995-3701-450e-9fbf206a2e98e576-") && !uuid_is_valid("64b4371c77c148f9"));
	return 0;
}

static int check_bitmaps(void)
{
	unsigned long *a = bitmap_alloc(100, GFP_KERNEL), b[2], c[2], d[2];
	volatile unsigned int bits = 100;

	CHECK(a);
	bitmap_zero(a, 100);
	bitmap_zero(b, 100);
	bitmap_set(a, 10, 60);
	bitmap_set(b, 60, 30);
	CHECK(find_first_and_bit(a, b, bits) == 60 && find_next_and_bit(a, b, bits, 65) == 65);
	CHECK(find_next_and_bit(a, b, bits, 70) >= 100 && bitmap_weight_and(a, b, bits) == 10);
	bitmap_complement(c, a, bits);
	CHECK(test_bit(9, c) && !test_bit(10, c) && bitmap_weight(c, 100) == 40);
	bitmap_replace(d, a, c, b, bits);
	/* Where b is set, what c has; else what a has. */
	CHECK(test_bit(10, d) && !test_bit(65, d) && test_bit(75, d) && !test_bit(95, d));
	bitmap_zero(b, 100);
	CHECK(!bitmap_allocate_region(b, 8, 2) && bitmap_allocate_region(b, 8, 2) == -EBUSY);
	CHECK(bitmap_find_free_region(b, bits, 3) == 0 && bitmap_find_free_region(b, bits, 2) == 12);
	bitmap_release_region(b, 8, 2);
	CHECK(bitmap_find_free_region(b, bits, 2) == 8 && bitmap_find_free_region(b, bits, 7) == -ENOMEM);
	bitmap_free(a);
	return 0;
}

CHECKS(check_sums, check_numbers, check_patterns, check_options, check_strings, check_random, check_bitmaps);
