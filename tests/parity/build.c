/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SAs and policies of a row, and the calls for them.
 *
 * Defaults are what charon gives for a plain tunnel; a row changes what it is
 * about. Each call is written to the recording with its status. Nothing is
 * freed: a row is a process.
 */

#include "parity.h"

#include <errno.h>
#include <stdio.h>

uint32_t custom_priority;

/**
 * What kernel-netlink looks for in the process.
 */
uint32_t kernel_netlink_get_priority_custom(kernel_ipsec_policy_id_t *id,
											kernel_ipsec_manage_policy_t *data)
{
	return custom_priority ?: data->manual_prio;
}

const char *status_name(status_t status)
{
	switch (status)
	{
		case SUCCESS:
			return "SUCCESS";
		case FAILED:
			return "FAILED";
		case NOT_SUPPORTED:
			return "NOT_SUPPORTED";
		case NOT_FOUND:
			return "NOT_FOUND";
		case ALREADY_DONE:
			return "ALREADY_DONE";
		case INVALID_ARG:
			return "INVALID_ARG";
		default:
			return "another status";
	}
}

host_t *host(const char *address, uint16_t port)
{
	host_t *made = host_create_from_string((char*)address, port);

	if (!made)
	{
		note("no address: %s", address);
		_exit(3);
	}
	return made;
}

traffic_selector_t *ts(const char *subnet, uint8_t proto, uint16_t from,
					   uint16_t to)
{
	return traffic_selector_create_from_cidr((char*)subnet, proto, from, to);
}

traffic_selector_t *ts_any(const char *subnet)
{
	return ts(subnet, 0, 0, 65535);
}

static chunk_t key(size_t len, u_char seed)
{
	chunk_t made = chunk_alloc(len);
	size_t i;

	for (i = 0; i < len; i++)
	{	/* DES wants no weak keys, and an odd number of bits */
		made.ptr[i] = seed + i * 2;
	}
	return made;
}

void sa_crypto(test_sa_t *sa, uint16_t enc, size_t enc_len, uint16_t integ,
			   size_t int_len)
{
	sa->data.enc_alg = enc;
	sa->data.enc_key = key(enc_len, 0x11);
	sa->data.int_alg = integ;
	sa->data.int_key = key(int_len, 0x22);
}

void sa_hosts(test_sa_t *sa, const char *src, uint16_t sport, const char *dst,
			  uint16_t dport)
{
	sa->id.src = host(src, sport);
	sa->id.dst = host(dst, dport);
}

void sa_ts(test_sa_t *sa, traffic_selector_t *src, traffic_selector_t *dst)
{
	sa->data.src_ts = linked_list_create_with_items(src, NULL);
	sa->data.dst_ts = linked_list_create_with_items(dst, NULL);
}

static test_sa_t *create(bool inbound, const char *local, const char *remote,
						 const char *inner_local, const char *inner_remote)
{
	test_sa_t *sa;

	INIT(sa,
		.id = {
			.proto = IPPROTO_ESP,
			.spi = inbound ? SPI_IN(1) : SPI_OUT(1),
		},
		.data = {
			.reqid = 1,
			.mode = MODE_TUNNEL,
			.replay_window = 32,
			.copy_df = TRUE,
			.copy_ecn = TRUE,
			.copy_dscp = DSCP_COPY_OUT_ONLY,
			.inbound = inbound,
			.initiator = TRUE,
#if HAVE_CPU
			.cpu = CPU_ID_MAX,
#endif
		},
	);
	sa->data.lifetime = &sa->lifetime;
	sa->lifetime.time.rekey = 3000;
	sa->lifetime.time.life = 3600;
	sa_crypto(sa, ENCR_AES_GCM_ICV16, 20, AUTH_UNDEFINED, 0);
	sa_hosts(sa, inbound ? remote : local, 0, inbound ? local : remote, 0);
	sa_ts(sa, ts_any(inbound ? inner_remote : inner_local),
		  ts_any(inbound ? inner_local : inner_remote));
	snprintf(sa->label, sizeof(sa->label), "%s", inbound ? "in" : "out");
	return sa;
}

test_sa_t *sa_create(bool inbound)
{
	return create(inbound, LEFT4, PEER4, LOCAL4, REMOTE4);
}

test_sa_t *sa_create6(bool inbound)
{
	return create(inbound, LEFT6, PEER6, LOCAL6, REMOTE6);
}

status_t sa_add(test_sa_t *sa)
{
	status_t status = charon->kernel->add_sa(charon->kernel, &sa->id,
											 &sa->data);

	note("add_sa %s = %s", sa->label, status_name(status));
	return status;
}

status_t sa_del(test_sa_t *sa)
{
	kernel_ipsec_del_sa_t data = { .cpi = sa->data.cpi };
	status_t status = charon->kernel->del_sa(charon->kernel, &sa->id, &data);

	note("del_sa %s = %s", sa->label, status_name(status));
	return status;
}

/**
 * What is left of a time: it passes between two runs.
 */
static const char *age(time_t when)
{
	time_t now = time_monotonic(NULL);

	if (!when)
	{
		return "never";
	}
	return when <= now && when + 5 >= now ? "now" : "another time";
}

status_t sa_query(test_sa_t *sa)
{
	kernel_ipsec_query_sa_t data = { .cpi = sa->data.cpi };
	uint64_t bytes = 0, packets = 0;
	time_t used = 0;
	status_t status;

	status = charon->kernel->query_sa(charon->kernel, &sa->id, &data, &bytes,
									  &packets, &used);
	note("query_sa %s = %s, %llu bytes, %llu packets, used %s", sa->label,
		 status_name(status), (unsigned long long)bytes,
		 (unsigned long long)packets, age(used));
	return status;
}

status_t sa_update(test_sa_t *sa, const char *src, uint16_t sport,
				   const char *dst, uint16_t dport, bool encap,
				   uint32_t reqid)
{
	kernel_ipsec_update_sa_t data = {
		.cpi = sa->data.cpi,
		.new_src = host(src, sport),
		.new_dst = host(dst, dport),
		.encap = sa->data.encap,
		.new_encap = encap,
#if HAVE_NEW_UPDATE
		.mode = sa->data.mode,
		.old_reqid = sa->data.reqid,
		.new_reqid = reqid ?: sa->data.reqid,
		.hw_offload = sa->data.hw_offload,
		.src_ts = sa->data.src_ts,
		.dst_ts = sa->data.dst_ts,
		.interface = sa->data.interface,
		.inbound = sa->data.inbound,
#else
		.new_reqid = reqid,
#endif
	};
	status_t status;

	status = charon->kernel->update_sa(charon->kernel, &sa->id, &data);
	note("update_sa %s = %s", sa->label, status_name(status));
	if (status == SUCCESS)
	{
		sa->id.src = data.new_src;
		sa->id.dst = data.new_dst;
		sa->data.encap = encap;
		sa->data.reqid = reqid ?: sa->data.reqid;
	}
	return status;
}

void policy_ts(test_policy_t *policy, traffic_selector_t *src,
			   traffic_selector_t *dst)
{
	policy->id.src_ts = src;
	policy->id.dst_ts = dst;
}

static test_policy_t *create_policy(policy_dir_t dir, const char *local,
									const char *remote, const char *inner_local,
									const char *inner_remote)
{
	bool out = dir == POLICY_OUT;
	test_policy_t *policy;

	INIT(policy,
		.id = {
			.dir = dir,
			.src_ts = ts_any(out ? inner_local : inner_remote),
			.dst_ts = ts_any(out ? inner_remote : inner_local),
		},
		.data = {
			.type = POLICY_IPSEC,
			.prio = POLICY_PRIORITY_DEFAULT,
			.src = host(out ? local : remote, 0),
			.dst = host(out ? remote : local, 0),
		},
		.sa = {
			.mode = MODE_TUNNEL,
			.reqid = 1,
			.policy_count = 1,
			.esp = {
				.use = TRUE,
				.spi = out ? SPI_OUT(1) : SPI_IN(1),
			},
		},
	);
	policy->data.sa = &policy->sa;
	snprintf(policy->label, sizeof(policy->label), "%s",
			 out ? "out" : dir == POLICY_IN ? "in" : "fwd");
	return policy;
}

test_policy_t *policy_create(policy_dir_t dir)
{
	return create_policy(dir, LEFT4, PEER4, LOCAL4, REMOTE4);
}

test_policy_t *policy_create6(policy_dir_t dir)
{
	return create_policy(dir, LEFT6, PEER6, LOCAL6, REMOTE6);
}

void policy_shunt(test_policy_t *policy, policy_type_t type)
{
	int family = policy->data.src->get_family(policy->data.src);

	policy->data.type = type;
	policy->data.prio = POLICY_PRIORITY_PASS;
	policy->data.src = host_create_any(family);
	policy->data.dst = host_create_any(family);
	memset(&policy->sa, 0, sizeof(policy->sa));
	policy->sa.mode = MODE_TRANSPORT;
	policy->sa.policy_count = 1;
}

status_t policy_add(test_policy_t *policy)
{
	status_t status = charon->kernel->add_policy(charon->kernel, &policy->id,
												 &policy->data);

	note("add_policy %s = %s", policy->label, status_name(status));
	return status;
}

status_t policy_del(test_policy_t *policy)
{
	status_t status = charon->kernel->del_policy(charon->kernel, &policy->id,
												 &policy->data);

	note("del_policy %s = %s", policy->label, status_name(status));
	return status;
}

status_t policy_query(test_policy_t *policy)
{
	kernel_ipsec_query_policy_t data = {};
	time_t used = 0;
	status_t status;

	status = charon->kernel->query_policy(charon->kernel, &policy->id, &data,
										  &used);
	note("query_policy %s = %s, used %s", policy->label, status_name(status),
		 age(used));
	return status;
}
