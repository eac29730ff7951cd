/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bench of kernel_interface_t: what its files share.
 *
 * main.c sets a process up with one plugin and has child.c play phases in it;
 * meter.c counts meanwhile. record.c keeps what was sent to the kernel, floor.c
 * sends the same from a bare loop, routes.c fills the routing table. The host
 * (xtask/src/bench) chooses cells and makes tables of the lines printed here.
 */

#ifndef BENCH_H_
#define BENCH_H_

#include <library.h>
#include <daemon.h>
#include <kernel/kernel_ipsec.h>

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

/** What STRONGSWAN is compared with: 60001 is 6.0.1 */
#define HAVE_CPU        (STRONGSWAN >= 60002)
#define HAVE_NEW_UPDATE (STRONGSWAN >= 60100)

/** Our outer address, and what leads to peers beyond the link */
#define LOCAL   "198.18.0.1"
#define GATEWAY "198.18.0.2"

/** What is measured of one phase */
typedef struct {

	/** passed by the clock, and for the process in user and kernel mode [us] */
	uint64_t wall, user, system;

	/** system calls of all threads, if they are counted */
	uint64_t calls;

	/** allocations of all threads, if they are counted, and their bytes */
	uint64_t allocs, bytes;

	/** anonymous memory at the end [KiB] */
	uint64_t rss;

} meter_t;

typedef enum {
	/** measure times and memory only */
	MODE_TIME,
	/** count system calls */
	MODE_CALLS,
	/** count allocations */
	MODE_ALLOCS,
	/** keep what is sent */
	MODE_RECORD,
} bench_mode_t;

/** What is measured */
typedef struct {

	const char *plugin;

	bench_mode_t mode;

	/** wanted number of CHILD_SAs */
	u_int count;

	/** threads that call at the same time */
	u_int threads;

	/** each CHILD_SA has a peer of its own */
	bool peers;

	hw_offload_t offload;

	/** seconds after which a phase ends wherever it is */
	u_int limit;

	/** where messages are kept */
	const char *file;

} bench_t;

/*
 * meter.c
 */

/** To be called before the first thread is made; false if the kernel cannot */
bool meter_init(bench_mode_t mode);

/** Begins to measure */
void meter_start(meter_t *meter);

/** Ends to measure */
void meter_stop(meter_t *meter);

/** Prints the system calls since meter_start by their numbers, if counted */
void meter_kinds();

/** Microseconds of a clock that only moves on */
uint64_t meter_now();

/*
 * record.c
 */

/** Begins to keep messages in a file */
bool record_open(const char *file);

/** What comes belongs to this phase, NULL for none */
void record_phase(const char *name, u_int count);

/** The SPI that the kernel chose for the last request of one */
void record_spi(uint32_t spi);

void record_close();

/*
 * child.c
 */

/** Plays all phases and prints a line for each; false if a call failed */
bool child_play(const bench_t *bench);

/*
 * floor.c, routes.c
 */

/** Sends what is in a file */
int floor_main(const char *file);

/** Adds so many routes to the main table */
int routes_main(u_int count);

#endif
