/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of HW offload. What becomes of packets is shown by the scenarios of the
 * lab, as is what a device holds.
 */

#include "parity.h"

#define NOT_YET(n, scenarios) { .name = "offload/" n, \
	.why = "not in this test yet: the scenarios " scenarios " of the lab run it " \
		   "with both plugins" }

const row_t rows_offload[] = {
	NOT_YET("crypto", "crypto"),
	NOT_YET("packet", "tunnel-v4, tunnel-v6, transport, rekey-child"),
	NOT_YET("auto", "auto"),
	NOT_YET("without-device", "refused-no-offload"),
	{},
};
