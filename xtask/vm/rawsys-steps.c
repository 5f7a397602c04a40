// SPDX-License-Identifier: GPL-2.0
/* The steps of lab scripts, as system calls: one half of the guest's interpreter (rawsys.c). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rawsys.h"

#define MAX_KEPT 16

/* A file or a process that a script has a name for. */
struct kept {
	char name[32];
	int fd;
	pid_t pid;
};

static struct kept files[MAX_KEPT], jobs[MAX_KEPT];

static void say(struct output *o, const char *text)
{
	size_t used = strlen(o->text);

	snprintf(o->text + used, sizeof(o->text) - used, "%s", text);
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
int run(char **w, int n, struct output *o)
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
	/* A kernel gives freed memory to who asks next, and is not told when. */
	if (!strcmp(c, "reap"))
		return n > 1 && !strcmp(w[1], "reuse") ? 0 : EOPNOTSUPP;
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
