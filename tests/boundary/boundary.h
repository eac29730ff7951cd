/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the cases of the boundary program share: a good SA and a good policy to
 * break in one place at a time, and checks.
 */
#ifndef BOUNDARY_H_
#define BOUNDARY_H_

#include "host.h"

#include <stdio.h>
#include <stdlib.h>

/** src/abi/boundary.rs: the table of the library under test */
extern const struct fs_ops *fastswan_ops(void);

/** a connection with this name is what a bug looks like: src/abi/boundary.rs */
#define PANIC_NAME "fastswan-boundary-panic"

/** Ends the program if it does not hold, with the log so far. */
#define check(condition) \
	do \
	{ \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			log_print(0); \
			exit(1); \
		} \
	} while (0)

/** A good SA and what it points to; made anew for each call, since cases break it. */
struct sample_sa {
	struct fs_sa_id id;
	struct fs_sa sa;
	struct fs_ts src_ts[2];
	struct fs_ts dst_ts[2];
	uint8_t key[36];
};

/** A good policy. */
struct sample_policy {
	struct fs_policy_id id;
	struct fs_policy policy;
};

/** Addresses 192.0.2.last or 2001:db8::last. */
struct fs_addr sample_addr(int family, uint8_t last);
/** Fills in an SA with AES-GCM in tunnel mode, in software. */
void sample_sa(struct sample_sa *sample, uint32_t spi, bool inbound);
/** Fills in a policy for the SA that sample_sa makes. */
void sample_policy(struct sample_policy *sample, uint8_t dir, uint32_t spi);
/** An instance of the core; ends the program if there is none. */
struct fs_backend *sample_backend(void);

/** The cases. */
void case_valid(void);
void case_create(void);
void case_null(void);
void case_enums(void);
void case_lengths(void);
void case_families(void);
void case_garbage(void);
void case_threads(void);
void case_panic(void);
void case_keys(void);
void case_watch(void);

#endif
