/* SPDX-License-Identifier: GPL-2.0 */
/* What the two halves of the guest's interpreter share: its reader and writer, and the steps. */
#ifndef RAWSYS_H
#define RAWSYS_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_WORDS 64
#define MAX_TEXT 65536
/* What was started, as a step shows it. */
#define HELPERS "/tmp/helpers"

/* A step's result: an errno, or one of these. */
#define EXITED 100000 /* + exit status of a tool */
#define KILLED 200000 /* + signal */
#define STARTED 300000

struct output {
	int result;
	char text[MAX_TEXT];
};

/* With which credentials the calls are made. */
enum user { ROOT, NOBODY, NO_SYSLOG };

extern const char *directory;
extern void *bad_address;
extern enum user user;

/* rawsys.c */
void fatal(const char *what, const char *detail);
void need(int have, int want, const char *command);
size_t length_of(const char *text);

/* rawsys-steps.c */
int run(char **w, int n, struct output *o);

/* rawsys-helper.c */
int helper(int argc, char **argv, char **envp);

#endif
