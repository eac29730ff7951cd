/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of input that is wrong or that the kernel does not know.
 */

#include "parity.h"

static void unknown_interface(const void *arg)
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	policy->id.interface = "nosuch";
	policy_add(policy);
	state("added");
	policy_del(policy);
	state("deleted");
}

static void unknown_interface_sa(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.mode = MODE_TRANSPORT;
	sa_ts(sa, ts_any(PEER4 "/32"), ts_any(LEFT4 "/32"));
	sa->data.interface = "nosuch";
	sa_add(sa);
	state("added");
}

typedef struct {
	uint16_t enc;
	size_t enc_len;
	uint16_t integ;
	size_t int_len;
	const char *name;
} wrong_t;

static void algorithm(const void *arg)
{
	const wrong_t *wrong = arg;
	test_sa_t *sa = sa_create(FALSE);

	sa_crypto(sa, wrong->enc, wrong->enc_len, wrong->integ, wrong->int_len);
	sa_add(sa);
	if (wrong->name)
	{
		logged(wrong->name);
	}
	state("added");
	sa_del(sa);
}

#define WRONG(n, ...) .name = "input/" n, .run = algorithm, \
	.arg = &(const wrong_t){ __VA_ARGS__ }

#define UNNAMED \
	.why = "we name the algorithm in the line that says what failed", \
	.differs = { "step 2: log names *: no | log names *: yes" }

/**
 * An algorithm that another plugin registers.
 */
static void registered(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);

	charon->kernel->register_algorithm(charon->kernel, 1050,
								ENCRYPTION_ALGORITHM, 0, "cbc(camellia)");
	charon->kernel->register_algorithm(charon->kernel, 1051,
								INTEGRITY_ALGORITHM, 0, "hmac(sha256)");
	sa_crypto(sa, 1050, 16, 1051, 32);
	sa_add(sa);
	state("added");
}

static void registered_ccm(const void *arg)
{
	test_sa_t *sa = sa_create(FALSE);

	charon->kernel->register_algorithm(charon->kernel, ENCR_CAMELLIA_CCM_ICV16,
							ENCRYPTION_ALGORITHM, 0, "rfc4309(ccm(camellia))");
	sa_crypto(sa, ENCR_CAMELLIA_CCM_ICV16, 19, AUTH_UNDEFINED, 0);
	sa_add(sa);
	state("added");
}

static void compression(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.ipcomp = 9;
	sa->data.cpi = htons(0x1111);
	sa_add(sa);
	state("added");
}

static void compression_refused(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.ipcomp = IPCOMP_LZJH;
	sa->data.cpi = htons(0x1111);
	sa_add(sa);
	state("added");
	sa_del(sa);
}

static void mode(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.mode = *(const ipsec_mode_t*)arg;
	sa_add(sa);
	state("added");
}

static void window(const void *arg)
{
	test_sa_t *sa = sa_create(TRUE);

	sa->data.replay_window = 5000;
	sa_add(sa);
	state("added");
}

static void failed_policy(const void *arg)
{
	test_policy_t *policy = policy_create(POLICY_OUT);

	/* the kernel refuses a prefix of the wrong family */
	policy->data.type = POLICY_IPSEC;
	policy->sa.mode = 0x55;
	policy_add(policy);
	state("refused");
	policy_del(policy);
	state("deleted");
}

const row_t rows_input[] = {
	{ .name = "input/policy-of-unknown-interface", .run = unknown_interface,
	  .why = "kernel-netlink installs the policy for every interface (B3), we "
			 "refuse it",
	  .differs = {
		"add_policy out: SUCCESS | FAILED",
		"del_policy out: SUCCESS | NOT_FOUND",
		"added: policy out *: only with kernel-netlink",
		"added: route *: only with kernel-netlink",
	  } },
	{ .name = "input/sa-of-unknown-interface", .run = unknown_interface_sa,
	  .why = "kernel-netlink installs the SA for every interface (B3), we "
			 "refuse it",
	  .differs = {
		"add_sa in: SUCCESS | FAILED",
		"*: sa esp *: only with kernel-netlink",
	  } },
	{ WRONG("encryption-unknown", 99, 16, AUTH_HMAC_SHA1_96, 20, "algorithm 99"), UNNAMED },
	{ WRONG("encryption-unsupported", ENCR_IDEA, 16, AUTH_HMAC_SHA1_96, 20,
			"IDEA") },
	{ WRONG("encryption-ccm-camellia", ENCR_CAMELLIA_CCM_ICV16, 19,
			AUTH_UNDEFINED, 0, "CAMELLIA_CCM_16") },
	{ WRONG("integrity-unknown", ENCR_AES_CBC, 16, 99, 20, "algorithm 99"), UNNAMED },
	{ WRONG("integrity-unsupported", ENCR_AES_CBC, 16, AUTH_DES_MAC, 8,
			"DES_MAC") },
	{ WRONG("key-length-cbc", ENCR_AES_CBC, 15, AUTH_HMAC_SHA1_96, 20,
			"AES_CBC"), UNNAMED },
	{ WRONG("key-length-gcm", ENCR_AES_GCM_ICV16, 16, AUTH_UNDEFINED, 0,
			"AES_GCM_16"), UNNAMED },
	{ WRONG("key-length-none", ENCR_AES_GCM_ICV16, 0, AUTH_UNDEFINED, 0,
			"AES_GCM_16"), UNNAMED },
	{ .name = "input/algorithm-registered", .run = registered },
	{ .name = "input/algorithm-registered-ccm", .run = registered_ccm,
	  .messages = TRUE },
	{ .name = "input/compression-unknown", .run = compression,
	  .why = "kernel-netlink goes on without the IPComp SA (B6)",
	  .differs = {
		"add_sa in: SUCCESS | FAILED",
		"*: sa esp *: only with kernel-netlink",
	  } },
	{ .name = "input/compression-refused", .run = compression_refused,
	  .why = "kernel-netlink goes on without the IPComp SA (B6)",
	  .differs = {
		"add_sa in: SUCCESS | FAILED",
		"added: sa esp *: only with kernel-netlink",
		"del_sa in: SUCCESS | NOT_FOUND",
	  } },
	{ .name = "input/mode-pass", .run = mode,
	  .arg = &(const ipsec_mode_t){ MODE_PASS },
	  .why = "kernel-netlink hands the number on, and the kernel takes it for "
			 "BEET",
	  .differs = {
		"add_sa in: SUCCESS | FAILED",
		"*: sa esp *: only with kernel-netlink",
	  } },
	{ .name = "input/mode-unknown", .run = mode,
	  .arg = &(const ipsec_mode_t){ 0x55 } },
	{ .name = "input/window-too-large", .run = window },
	{ .name = "input/policy-refused", .run = failed_policy },
	{ .name = "bug/B1-first-policy-not-locked",
	  .why = "two threads must meet within one request; that calls for one policy "
			 "take turns is shown by unit tests (spd, backend::tests::parallel)" },
	{ .name = "bug/B2-route-of-a-waiter",
	  .why = "two threads must meet within one request; that the route stays while "
			 "anybody needs it is shown by a unit test (backend::tests::routes)" },
	{ .name = "bug/B8-keys-in-freed-memory",
	  .why = "not seen from outside; a test of ours looks at each block of memory "
			 "that is freed (tests/netlink_host.rs)" },
	{ .name = "bug/B9-migrate-log",
	  .why = "undefined behaviour of a log line at level 2, which a run need not "
			 "show; the event itself is in event/migrate" },
	{ .name = "bug/B10-lost-events",
	  .why = "a socket would have to overrun; unit tests let the model of the "
			 "kernel do it (backend/tests/events)" },
	{ .name = "bug/B14-features-by-release",
	  .why = "no kernel of the lab has features ported back; unit tests have one "
			 "(xfrm::tests::abilities)" },
	{ .name = "bug/B15-uninitialised-length",
	  .why = "not seen from outside; cannot be written in Rust" },
	{},
};
