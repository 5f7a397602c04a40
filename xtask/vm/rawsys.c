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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 64
#define MAX_KEPT 16
#define MAX_TEXT 65536
#define HELPERS "/tmp/helpers"

/* A step's result: an errno, or one of these. */
#define EXITED 100000 /* + exit status of a tool */
#define KILLED 200000 /* + signal */
#define STARTED 300000

struct output {
	int result;
	char text[MAX_TEXT];
};

struct kept {
	char name[32];
	int fd;
	pid_t pid;
};

static const char *directory;
static int kmsg;
static void *bad_address;
static char known[256][64]; /* modules that were there before */
static int known_count;
static struct kept files[MAX_KEPT], jobs[MAX_KEPT];
/* With which credentials the calls are made. */
static enum { ROOT, NOBODY, NO_SYSLOG } user;
static struct output last;
static char last_log[MAX_TEXT];

static void fatal(const char *what, const char *detail)
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

static void say(struct output *o, const char *text)
{
	size_t used = strlen(o->text);

	snprintf(o->text + used, sizeof(o->text) - used, "%s", text);
}

/* Where the words of the line begin and how long they are: one may hold a zero byte. */
static struct word {
	const char *text;
	size_t length;
} word[MAX_WORDS];

static size_t length_of(const char *text)
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

/* The value of a key=value word, or NULL. */
static const char *option(char **words, int count, const char *key)
{
	size_t len = strlen(key);
	int n;

	for (n = 1; n < count; n++)
		if (!strncmp(words[n], key, len) && words[n][len] == '=')
			return words[n] + len + 1;
	return NULL;
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	if (name[0] == '/')
		return name;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void *pointer(const char *how, void *plain)
{
	if (!how)
		return plain;
	if (!strcmp(how, "null"))
		return NULL;
	if (!strcmp(how, "bad"))
		return bad_address;
	fatal("pointer", how);
	return NULL;
}

static int result_of(long ret)
{
	return ret < 0 ? errno : 0;
}

/* Takes a capability from the effective ones, or gives it back. */
static void effective(int capability, bool have)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &head, sets))
		fatal("capget", strerror(errno));
	if (have)
		sets[capability / 32].effective |= 1u << (capability % 32);
	else
		sets[capability / 32].effective &= ~(1u << (capability % 32));
	if (syscall(SYS_capset, &head, sets))
		fatal("capset", strerror(errno));
}

static void become(int who)
{
	static int now = ROOT;

	if (who == now)
		return;
	if (now == NO_SYSLOG)
		effective(CAP_SYSLOG, true);
	if (who == NO_SYSLOG)
		effective(CAP_SYSLOG, false);
	else if (seteuid(who == NOBODY ? 65534 : 0))
		fatal("seteuid", strerror(errno));
	now = who;
}

/* The call itself is made with the script's credentials, all else as root. */
#define AS_TOLD(call)			\
	({				\
		long as_ret;		\
		int as_errno;		\
		become(user);		\
		as_ret = (call);	\
		as_errno = errno;	\
		become(ROOT);		\
		errno = as_errno;	\
		as_ret;			\
	})

/* What /proc/kallsyms has for a name, in words; "0" when it has none. */
static void address_of(const char *name, size_t length, char *out, size_t size)
{
	char line[1024], addr[32], symbol[512];
	FILE *f = fopen("/proc/kallsyms", "r");

	snprintf(out, size, "0");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%31s %*s %511s", addr, symbol) == 2 && strlen(symbol) == length &&
		    !strncmp(symbol, name, length)) {
			snprintf(out, size, "%s", addr);
			break;
		}
	if (f)
		fclose(f);
}

/* A module's parameters: ${NAME} in them is the address of a symbol. */
static const char *parameters(char **w, int n)
{
	static char text[8192];
	const char *in = n > 2 ? w[2] : "", *end;
	size_t used = 0;

	while (*in && used < sizeof(text) - 64) {
		end = in[0] == '$' && in[1] == '{' ? strchr(in, '}') : NULL;
		if (end) {
			used += sprintf(text + used, "0x");
			address_of(in + 2, end - in - 2, text + used, 32);
			used += strlen(text + used);
			in = end + 1;
		} else {
			text[used++] = *in++;
		}
	}
	text[used] = 0;
	return text;
}

static int do_init_module(char **w, int n)
{
	const char *len = option(w, n, "len");
	struct stat st;
	void *image;
	int fd, ret;
	long size;

	fd = open(path_of(w[1]), O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		fatal(w[1], strerror(errno));
	image = malloc(st.st_size + 1);
	if (!image || read(fd, image, st.st_size) != st.st_size)
		fatal(w[1], "cannot be read");
	close(fd);
	size = len ? strtol(len, NULL, 0) : st.st_size;
	ret = result_of(AS_TOLD(syscall(SYS_init_module, pointer(option(w, n, "ptr"), image), size,
					pointer(option(w, n, "args"), (void *)parameters(w, n)))));
	free(image);
	return ret;
}

static int do_finit_module(char **w, int n)
{
	const char *mode = option(w, n, "open"), *which = option(w, n, "fd");
	const char *flags = option(w, n, "flags");
	int fd = -1, ret, ends[2] = { -1, -1 }, how = O_RDONLY;

	if (mode)
		how = !strcmp(mode, "wronly") ? O_WRONLY : !strcmp(mode, "rdwr") ? O_RDWR : O_RDONLY;
	if (!which)
		fd = open(path_of(w[1]), how | O_CLOEXEC);
	else if (!strcmp(which, "dir"))
		fd = open("/", O_RDONLY | O_DIRECTORY);
	else if (!strcmp(which, "null"))
		fd = open("/dev/null", O_RDONLY);
	else if (!strcmp(which, "pipe") && !pipe(ends))
		fd = ends[0];
	if (fd < 0 && !(which && !strcmp(which, "-1")))
		fatal(w[1], strerror(errno));
	ret = result_of(AS_TOLD(syscall(SYS_finit_module, fd,
					pointer(option(w, n, "args"), (void *)parameters(w, n)),
					flags ? (int)strtol(flags, NULL, 0) : 0)));
	if (fd >= 0)
		close(fd);
	if (ends[1] >= 0)
		close(ends[1]);
	return ret;
}

static int do_delete_module(char **w, int n)
{
	const char *flags = option(w, n, "flags");
	int how = 0;

	if (flags && strstr(flags, "nonblock"))
		how |= O_NONBLOCK;
	if (flags && strstr(flags, "trunc"))
		how |= O_TRUNC;
	return result_of(AS_TOLD(syscall(SYS_delete_module, pointer(option(w, n, "ptr"), w[1]), how)));
}

/* Runs a tool and takes what it prints. */
static int do_tool(const char *program, char **w, int n, struct output *o)
{
	char *argv[MAX_WORDS + 1], path[64];
	int ends[2], status, k;
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	snprintf(path, sizeof(path), "/sbin/%s", program);
	argv[0] = (char *)program;
	for (k = 1; k < n; k++)
		argv[k] = k == 1 && !strcmp(program, "insmod") ? strdup(path_of(w[k])) : w[k];
	argv[n] = NULL;
	if (pipe(ends))
		fatal("pipe", strerror(errno));
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		close(ends[0]);
		if (user == NO_SYSLOG && prctl(PR_CAPBSET_DROP, CAP_SYSLOG))
			_exit(126);
		if (user == NOBODY && setuid(65534))
			_exit(126);
		execv(path, argv);
		_exit(127);
	}
	close(ends[1]);
	while (used < MAX_TEXT - 1 && (got = read(ends[0], o->text + used, MAX_TEXT - 1 - used)) > 0)
		used += got;
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return KILLED + WTERMSIG(status);
	return EXITED + WEXITSTATUS(status);
}

static int do_cat(const char *path, struct output *o)
{
	int fd = AS_TOLD(open(path, O_RDONLY));
	size_t used = 0;
	ssize_t got = 0;
	int ret;

	if (fd < 0)
		return errno;
	while (used < MAX_TEXT - 1 &&
	       (got = AS_TOLD(read(fd, o->text + used, MAX_TEXT - 1 - used))) > 0)
		used += got;
	ret = got < 0 ? errno : 0;
	close(fd);
	return ret;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int do_ls(const char *path, struct output *o)
{
	char *names[4096];
	int count = 0, n;
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return errno;
	while ((entry = readdir(dir)) && count < 4096)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			names[count++] = strdup(entry->d_name);
	closedir(dir);
	qsort(names, count, sizeof(*names), by_name);
	for (n = 0; n < count; n++) {
		say(o, names[n]);
		say(o, "\n");
		free(names[n]);
	}
	return 0;
}

static int do_write(const char *path, const char *text)
{
	int fd = AS_TOLD(open(path, O_WRONLY)), ret;

	if (fd < 0)
		return errno;
	ret = result_of(AS_TOLD(write(fd, text, length_of(text))));
	close(fd);
	return ret;
}

static struct kept *keep(struct kept *all, const char *name, bool new)
{
	int n;

	for (n = 0; n < MAX_KEPT; n++)
		if (!strcmp(all[n].name, new ? "" : name)) {
			snprintf(all[n].name, sizeof(all[n].name), "%s", name);
			return &all[n];
		}
	fatal(new ? "too many" : "no such", name);
	return NULL;
}

static void need(int have, int want, const char *command)
{
	if (have < want)
		fatal(command, "words are missing");
}

static int run(char **w, int n, struct output *o);

static int do_start(char **w, int n)
{
	struct kept *job = keep(jobs, w[1], true);
	struct pollfd ended = { .events = POLLIN };
	int ends[2];

	if (pipe(ends))
		fatal("pipe", strerror(errno));
	fflush(stdout);
	job->pid = fork();
	if (job->pid == 0) {
		struct output *o = calloc(1, sizeof(*o));

		close(ends[0]);
		o->result = run(w + 2, n - 2, o);
		if (write(ends[1], o, sizeof(*o)) != sizeof(*o))
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	job->fd = ends[0];
	/* Until it has ended, or long enough to be asleep. */
	ended.fd = job->fd;
	poll(&ended, 1, 700);
	return STARTED;
}

static int do_join(char **w, struct output *o)
{
	struct kept *job = keep(jobs, w[1], false);
	size_t used = 0;
	ssize_t got;
	int status;

	while (used < sizeof(*o) && (got = read(job->fd, (char *)o + used, sizeof(*o) - used)) > 0)
		used += got;
	close(job->fd);
	waitpid(job->pid, &status, 0);
	job->name[0] = 0;
	if (WIFSIGNALED(status)) {
		o->text[0] = 0;
		return KILLED + WTERMSIG(status);
	}
	return o->result;
}

/* The newest process whose name is this, as /proc/PID/comm has it; 0 for none. */
static pid_t by_comm(const char *name)
{
	char path[64], comm[64];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		f = pid > found ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f)) {
			comm[strcspn(comm, "\n")] = 0;
			if (!strcmp(comm, name))
				found = pid;
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* kill thread:NAME [SIGNAL]: what becomes of it is done when the step ends. */
static int do_kill(char **w, int n)
{
	pid_t pid;
	int ret;

	if (strncmp(w[1], "thread:", 7))
		fatal("kill", w[1]);
	pid = by_comm(w[1] + 7);
	if (!pid)
		return ESRCH;
	ret = result_of(kill(pid, n > 2 ? atoi(w[2]) : SIGTERM));
	usleep(50000);
	return ret;
}

/* Does one step. */
static int run(char **w, int n, struct output *o)
{
	const char *c = w[0];
	struct kept *k;

	if (!strcmp(c, "init_module")) {
		need(n, 2, c);
		return do_init_module(w, n);
	}
	if (!strcmp(c, "finit_module")) {
		need(n, 2, c);
		return do_finit_module(w, n);
	}
	if (!strcmp(c, "delete_module")) {
		need(n, 2, c);
		return do_delete_module(w, n);
	}
	if (!strcmp(c, "insmod") || !strcmp(c, "rmmod") || !strcmp(c, "lsmod") || !strcmp(c, "modprobe"))
		return do_tool(c, w, n, o);
	if (!strcmp(c, "cat")) {
		need(n, 2, c);
		return do_cat(w[1], o);
	}
	if (!strcmp(c, "ls")) {
		need(n, 2, c);
		return do_ls(w[1], o);
	}
	if (!strcmp(c, "write")) {
		need(n, 3, c);
		return do_write(w[1], w[2]);
	}
	if (!strcmp(c, "open")) {
		int fd;

		need(n, 3, c);
		fd = AS_TOLD(open(w[1], O_RDONLY | O_CLOEXEC));
		if (fd < 0)
			return errno;
		keep(files, w[2], true)->fd = fd;
		return 0;
	}
	if (!strcmp(c, "close")) {
		need(n, 2, c);
		k = keep(files, w[1], false);
		k->name[0] = 0;
		return result_of(close(k->fd));
	}
	if (!strcmp(c, "mount")) {
		need(n, 3, c);
		mkdir(w[2], 0755);
		return result_of(AS_TOLD(mount(n > 3 ? w[3] : "none", w[2], w[1], 0, NULL)));
	}
	if (!strcmp(c, "umount")) {
		need(n, 2, c);
		return result_of(AS_TOLD(umount(w[1])));
	}
	if (!strcmp(c, "repeat")) {
		int times, ret = 0;

		need(n, 3, c);
		for (times = atoi(w[1]); times > 0 && (!ret || ret == EXITED); times--) {
			memset(o, 0, sizeof(*o));
			ret = run(w + 2, n - 2, o);
		}
		return ret;
	}
	if (!strcmp(c, "start")) {
		need(n, 3, c);
		return do_start(w, n);
	}
	if (!strcmp(c, "join")) {
		need(n, 2, c);
		return do_join(w, o);
	}
	if (!strcmp(c, "kill")) {
		need(n, 2, c);
		return do_kill(w, n);
	}
	if (!strcmp(c, "helpers")) {
		int ret = do_cat(HELPERS, o);

		return ret == ENOENT ? 0 : ret;
	}
	if (!strcmp(c, "stop")) {
		need(n, 2, c);
		return result_of(kill(keep(jobs, w[1], false)->pid, SIGKILL));
	}
	fatal("unknown command", c);
	return 0;
}

static void write_words(FILE *to, char **words)
{
	for (; *words; words++)
		fprintf(to, " \"%s\"", *words);
	fprintf(to, "\n");
}

/* Whether the parent is a thread of the kernel: those have no program. */
static bool started_by_kernel(void)
{
	char path[64], exe[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
	return readlink(path, exe, sizeof(exe)) < 0;
}

/* What the kernel starts in modprobe's place. */
static int helper(char **argv, char **envp)
{
	FILE *to = started_by_kernel() ? fopen(HELPERS, "a") : NULL;

	if (to) {
		/* One write, as several may be at it. */
		char text[4096];

		setvbuf(to, text, _IOFBF, sizeof(text));
		fprintf(to, "%s:", argv[0]);
		write_words(to, argv);
		fprintf(to, "  environment:");
		write_words(to, envp);
		fclose(to);
	}
	execve("/bin/kmod", argv, envp);
	return 127;
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
		return helper(argv, envp);
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
