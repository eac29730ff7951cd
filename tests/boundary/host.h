/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A charon for the boundary program: answers what the core asks, keeps what it
 * logs, and counts what it reports.
 *
 * Owns struct fs_host as a C program fills it. Used by the cases. Must be safe
 * on any thread, as charon is.
 */
#ifndef BOUNDARY_HOST_H_
#define BOUNDARY_HOST_H_

#include <fastswan.h>

/** Most sockets that the core may have watched at a time. */
#define MAX_WATCHES 16

/** A host with every function present. */
struct fs_host boundary_host(void);

/** Number of lines logged so far. */
size_t log_lines(void);
/** Whether a line that contains text was logged since line number from. */
bool log_has(size_t from, const char *text);
/** Number of level-1 lines since line number from. */
size_t log_level1(size_t from);
/** Prints the lines since line number from to stderr. */
void log_print(size_t from);
/** Frees the lines. */
void log_clear(void);

/** Number of sockets that are watched at this moment. */
size_t watched(void);
/** Token and descriptor of the n-th watch ever; false if there was none. */
bool watch_nth(size_t n, uint64_t *token, int *fd);

/** Makes host.watch refuse. */
extern bool refuse_watch;

#endif
