/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An entry of a file of messages: record.c writes it, floor.c reads it.
 */

#ifndef RECORD_H_
#define RECORD_H_

#include <stdint.h>

typedef struct {

	enum {
		/** a datagram of len bytes follows */
		ENTRY_SENT,
		/** a phase begins */
		ENTRY_PHASE,
	} kind;

	/** of netlink */
	int protocol;

	/** bytes that follow */
	uint32_t len;

	/** datagrams of the answer; of a phase: CHILD_SAs */
	uint32_t count;

	/** of the phase */
	char name[16];

} entry_t;

#endif
