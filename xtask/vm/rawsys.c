// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's interpreter of lab scripts (docs/lab-script.md): makes the raw
 * system calls and prints the record of each step. Static, no dependencies.
 *
 *   rawsys SCRIPT MODULE-DIRECTORY
 *
 * Under the name modprobe it is what the kernel starts for scripts that ask
 * for "helpers": it writes down how it was started and becomes kmod.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rawsys.h"

const char *directory;
void *bad_address;
enum user user;
static int kmsg;
static char known[256][64]; /* modules that were there before */
static int known_count;
static struct output last;
static char last_log[MAX_TEXT];

void fatal(const char *what, const char *detail)
{
	fflush(stdout);
	fprintf(stderr, "rawsys: %s: %s\n", what, detail);
	exit(2);
}

static const char *error_name(int e)
{
	static char number[16];
	const char *name;

	if (e == EAGAIN)
		return "EWOULDBLOCK";
	name = strerrorname_np(e);
	if (name)
		return name;
	snprintf(number, sizeof(number), "%d", e);
	return number;
}

static void print_result(FILE *to, int result)
{
	if (result == 0)
		fprintf(to, "0");
	else if (result >= STARTED)
		fprintf(to, "started");
	else if (result >= KILLED)
		fprintf(to, "signal %d", result - KILLED);
	else if (result >= EXITED)
		fprintf(to, "exit %d", result - EXITED);
	else
		fprintf(to, "%s", error_name(result));
}

/* Where the words of the line begin and how long they are: one may hold a zero byte. */
static struct word {
	const char *text;
	size_t length;
} word[MAX_WORDS];

size_t length_of(const char *text)
{
	int n;

	for (n = 0; n < MAX_WORDS; n++)
		if (word[n].text == text)
			return word[n].length;
	return strlen(text);
}

/* Splits a line in place; answers the number of words. */
static int split(char *line, char **words)
{
	int count = 0;
	char *in = line, *out;

	for (;;) {
		bool quoted = false;

		while (isspace((unsigned char)*in))
			in++;
		if (!*in || *in == '#')
			return count;
		if (count == MAX_WORDS)
			fatal("too many words", line);
		words[count++] = out = in;
		while (*in && (quoted || !isspace((unsigned char)*in))) {
			if (*in == '"') {
				quoted = !quoted;
				in++;
			} else if (quoted && *in == '\\' && in[1]) {
				*out++ = in[1] == 'n' ? '\n' : in[1] == '0' ? 0 : in[1];
				in += 2;
			} else {
				*out++ = *in++;
			}
		}
		if (quoted)
			fatal("a quote is open", words[count - 1]);
		word[count - 1].text = words[count - 1];
		word[count - 1].length = out - words[count - 1];
		if (*in)
			in++;
		*out = 0;
	}
}

void need(int have, int want, const char *command)
{
	if (have < want)
		fatal(command, "words are missing");
}

/* Undoes the \xNN that /dev/kmsg writes for control characters. */
static void unescape(char *text)
{
	char *out = text, digits[3] = "";

	while (*text) {
		if (text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
		    isxdigit((unsigned char)text[3])) {
			memcpy(digits, text + 2, 2);
			*out++ = strtol(digits, NULL, 16);
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = 0;
}

/* Takes what the kernel has logged since the last time. */
static void take_log(void)
{
	char record[8192], *text, *end;
	ssize_t got;

	last_log[0] = 0;
	while ((got = read(kmsg, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		size_t used = strlen(last_log);

		if (got <= 0)
			continue;
		record[got] = 0;
		text = strchr(record, ';');
		if (!text)
			continue;
		/* Further lines of a record are its dictionary. */
		end = strchr(text, '\n');
		if (end)
			*end = 0;
		unescape(text);
		snprintf(last_log + used, sizeof(last_log) - used, "%s\n", text + 1);
	}
}

/* The fields of /proc/modules that a record has. */
static bool module_line(char *line, char *out, size_t size)
{
	char *name = strtok(line, " "), *refs, *users, *state, *taint;
	int n;

	strtok(NULL, " ");
	refs = strtok(NULL, " ");
	users = strtok(NULL, " ");
	state = strtok(NULL, " ");
	strtok(NULL, " \n");
	taint = strtok(NULL, " ()\n");
	if (!name || !state)
		return false;
	for (n = 0; n < known_count; n++)
		if (!strcmp(known[n], name))
			return false;
	snprintf(out, size, "%s %s %s %s %s", name, refs, users, state, taint ? taint : "-");
	return true;
}

static void print_lines(const char *mark, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		printf("%s %.*s\n", mark, (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_modules(void)
{
	char line[1024], out[1200];
	FILE *f = fopen("/proc/modules", "r");

	while (f && fgets(line, sizeof(line), f))
		if (module_line(line, out, sizeof(out)))
			printf("mod %s\n", out);
	if (f)
		fclose(f);
}

static bool module_is(const char *name, const char *state, const char *refs)
{
	char line[1024], n[128], r[32], s[32];
	FILE *f = fopen("/proc/modules", "r");
	bool found = false, right = false;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%127s %*s %31s %*s %31s", n, r, s) == 3 && !strcmp(n, name)) {
			found = true;
			right = !strcmp(s, state) && (!refs || !strcmp(r, refs));
		}
	if (f)
		fclose(f);
	return strcmp(state, "absent") ? right : !found;
}

static bool expected(char **w, int n)
{
	need(n, 3, "expect");
	if (!strcmp(w[1], "errno")) {
		char got[64] = "";
		FILE *f = fmemopen(got, sizeof(got), "w");

		print_result(f, last.result);
		fclose(f);
		return !strcmp(got, w[2]) || (last.result == EAGAIN && !strcmp(w[2], "EAGAIN")) ||
		       (last.result == EXITED && !strcmp(w[2], "0"));
	}
	if (!strcmp(w[1], "output"))
		return strstr(last.text, w[2]);
	if (!strcmp(w[1], "log"))
		return strstr(last_log, w[2]);
	if (!strcmp(w[1], "module")) {
		need(n, 4, "expect module");
		return module_is(w[2], w[3], n > 4 ? w[4] : NULL);
	}
	fatal("expect", w[1]);
	return false;
}

static void pass_time(const char *text)
{
	char *unit;
	double amount = strtod(text[0] == '+' ? text + 1 : text, &unit);

	if (!strcmp(unit, "ms"))
		amount /= 1000;
	else if (strcmp(unit, "s"))
		fatal("clock", text);
	usleep(amount * 1000000);
}

static void look_around(void)
{
	char line[1024];
	FILE *f = fopen("/proc/modules", "r");

	while (f && known_count < 256 && fgets(line, sizeof(line), f))
		sscanf(line, "%63s", known[known_count++]);
	if (f)
		fclose(f);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		fatal("/dev/kmsg", strerror(errno));
	lseek(kmsg, 0, SEEK_END);
	bad_address = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A block that is repeated: where it begins, and how often it is still to be done. */
static struct {
	long at;
	int number, left;
} block;

static void begin_block(FILE *script, const char *times, int number)
{
	if (block.left)
		fatal("repeat", "a block in a block");
	block.at = ftell(script);
	block.number = number;
	block.left = atoi(times);
	if (block.left < 1)
		fatal("repeat", times);
}

/* Goes back to the block's first line, or on; the number of the line gone to. */
static int end_block(FILE *script, int number)
{
	if (!block.left)
		fatal("end", "of no block");
	if (--block.left == 0)
		return number;
	fseek(script, block.at, SEEK_SET);
	return block.number;
}

static int user_named(char **w, int n)
{
	if (!strcmp(w[1], "nobody"))
		return NOBODY;
	if (n == 4 && !strcmp(w[2], "without") && !strcmp(w[3], "CAP_SYSLOG"))
		return NO_SYSLOG;
	return ROOT;
}

/* What is for whoever boots the kernel or compares the records. */
static bool is_for_others(const char *word)
{
	static const char *const words[] = { "boot", "tree", "profile", "long", "uncertain" };
	size_t n;

	for (n = 0; n < sizeof(words) / sizeof(*words); n++)
		if (!strcmp(word, words[n]))
			return true;
	return false;
}

int main(int argc, char **argv, char **envp)
{
	char line[8192], shown[8192], *words[MAX_WORDS];
	int step = 0, unmet = 0, number = 0, n;
	FILE *script;

	n = strlen(argv[0]);
	if (n >= 8 && !strcmp(argv[0] + n - 8, "modprobe"))
		return helper(argc, argv, envp);
	if (argc != 3)
		fatal("usage", "rawsys SCRIPT MODULE-DIRECTORY");
	script = fopen(argv[1], "r");
	if (!script)
		fatal(argv[1], strerror(errno));
	directory = argv[2];
	look_around();
	while (fgets(line, sizeof(line), script)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		snprintf(shown, sizeof(shown), "%s", line);
		n = split(line, words);
		if (!n)
			continue;
		if (!strcmp(words[0], "as")) {
			need(n, 2, "as");
			user = user_named(words, n);
		} else if (is_for_others(words[0])) {
			continue;
		} else if (!strcmp(words[0], "repeat") && n == 2) {
			begin_block(script, words[1], number);
		} else if (!strcmp(words[0], "end")) {
			number = end_block(script, number);
		} else if (!strcmp(words[0], "clock")) {
			need(n, 2, "clock");
			pass_time(words[1]);
		} else if (!strcmp(words[0], "expect")) {
			if (!expected(words, n)) {
				unmet++;
				printf("unmet %d %s\n", number, shown);
			}
		} else {
			printf("@%d %s\n", ++step, shown);
			memset(&last, 0, sizeof(last));
			last.result = run(words, n, &last);
			usleep(20000);
			take_log();
			printf("ret ");
			print_result(stdout, last.result);
			printf("\n");
			print_modules();
			print_lines("log", last_log);
			print_lines("out", last.text);
			fflush(stdout);
		}
	}
	printf("end %d steps, %d unmet\n", step, unmet);
	return unmet ? 1 : 0;
}
