/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A charon of paper around the shim: real headers of strongSwan, with just the
 * functions and objects behind them that the shim uses.
 *
 * Owns the globals lib, charon and dbg. Everything else in the objects is NULL,
 * so that a use the test does not know of ends the program.
 */
#ifndef SHIM_CHARON_H_
#define SHIM_CHARON_H_

#include <daemon.h>
#include <kernel/kernel_ipsec.h>
#include <kernel/kernel_listener.h>

/** Sets up lib, charon and dbg. */
void paper_charon(void);

/** Ends the program if it does not hold. */
#define check(condition) \
	do \
	{ \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			paper_print(); \
			exit(1); \
		} \
	} while (0)

/** The log. */
typedef struct {
	debug_t group;
	level_t level;
	char text[512];
} paper_line_t;
extern paper_line_t paper_log[64];
extern int paper_lines;
void paper_print(void);
/** The last line that contains text, or NULL. */
paper_line_t *paper_find(const char *text);

/** Sets what the settings hold, "charon.a.b" = "c"; NULL forgets all. */
void paper_set(const char *key, char *value);

/** A list of traffic selectors; owns them. */
linked_list_t *paper_list(int count, ...);

/** The thread's IKE_SA is "name" with this unique ID; NULL: there is none. */
void paper_ike_sa(char *name, uint32_t unique_id);

/** The connection of the IKE_SA has so many CHILD_SAs in packet mode (0 to 2), and one in software;
 *  0: it has no configuration. */
void paper_children(int packet);

/** The plugin that already provides kernel-ipsec, or NULL. */
extern char *paper_provider;
/** What a registered constructor returned. */
extern kernel_ipsec_t *paper_ipsec;

/** What charon->kernel was last told, as text. */
extern char paper_event[512];
/** What charon->kernel answers. */
extern bool paper_no_net;

/** What the watcher watches. */
extern int paper_fd;
extern watcher_cb_t paper_cb;
extern void *paper_data;

#endif
