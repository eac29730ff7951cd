/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of HW offload, on a device that can do it. That plugins agree on the
 * kernel's objects is shown here; what becomes of packets is shown by the
 * scenarios of the lab.
 */

#include "parity.h"

static test_sa_t *sa(bool inbound, hw_offload_t offload)
{
	test_sa_t *sa = sa_create(inbound);

	sa_hosts(sa, inbound ? NICPEER4 : NIC4, 0, inbound ? NIC4 : NICPEER4, 0);
	sa->data.hw_offload = offload;
	sa->data.esn = TRUE;
	return sa;
}

static test_policy_t *policy(policy_dir_t dir, hw_offload_t offload)
{
	test_policy_t *policy = policy_create(dir);
	bool out = dir == POLICY_OUT;

	policy->data.src = host(out ? NIC4 : NICPEER4, 0);
	policy->data.dst = host(out ? NICPEER4 : NIC4, 0);
	policy->data.hw_offload = offload;
	return policy;
}

/**
 * A CHILD_SA from its beginning to its end.
 */
static void child(const void *arg)
{
	hw_offload_t offload = *(const hw_offload_t*)arg;
	policy_dir_t dirs[] = { POLICY_IN, POLICY_FWD, POLICY_OUT };
	test_policy_t *policies[countof(dirs)];
	test_sa_t *in = sa(TRUE, offload), *out = sa(FALSE, offload);
	int i;

	sa_add(in);
	sa_add(out);
	state("SAs");
	for (i = 0; i < countof(dirs); i++)
	{
		policies[i] = policy(dirs[i], offload);
		policy_add(policies[i]);
	}
	state("policies");
	sa_query(in);
	for (i = 0; i < countof(dirs); i++)
	{
		policy_del(policies[i]);
	}
	sa_del(in);
	sa_del(out);
	state("deleted");
}

/**
 * A device without IPsec offload.
 */
static void none(const void *arg)
{
	hw_offload_t offload = *(const hw_offload_t*)arg;
	test_sa_t *sa = sa_create(TRUE);
	test_policy_t *policy = policy_create(POLICY_OUT);

	sa->data.hw_offload = offload;
	policy->data.hw_offload = offload;
	sa_add(sa);
	policy_add(policy);
	state("added");
}

#define CHILD(n, mode, more) { .name = "offload/" n, .run = child, .nic = TRUE, \
	.arg = &(const hw_offload_t){ mode } more }
#define NONE(n, mode, ...) { .name = "offload/" n, .run = none, \
	.arg = &(const hw_offload_t){ mode }, ##__VA_ARGS__ }

#define ROUTE "policies: route 10.2.0.0/16 tos 0 table 220 metric 0: via: "

/**
 * The peer is on the link: before 6.1.0 kernel-netlink names it as the gateway
 * everywhere.
 */
#if HAVE_NEW_UPDATE
#define IN_NIC , .why = "where the NIC does the tunnel, packets of this host " \
		"look for the neighbour of what they are sent to: the gateway is one that " \
		"answers", \
	.differs = { ROUTE "- | " NICPEER4 }
#else
#define IN_NIC
#endif

const row_t rows_offload[] = {
	CHILD("crypto", HW_OFFLOAD_CRYPTO,),
	CHILD("packet", HW_OFFLOAD_PACKET, IN_NIC),
	CHILD("auto", HW_OFFLOAD_AUTO, IN_NIC),
	NONE("crypto-without-device", HW_OFFLOAD_CRYPTO,
		 .why = "a policy is refused where its SA is",
		 .differs = {
			"add_policy out: SUCCESS | FAILED",
			"*: policy out *: only with kernel-netlink",
			"*: route *: only with kernel-netlink",
		 }),
	NONE("packet-without-device", HW_OFFLOAD_PACKET),
	NONE("auto-without-device", HW_OFFLOAD_AUTO),
	{},
};
