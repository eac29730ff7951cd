/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * CHILD_SAs, and what charon does with them.
 *
 * A CHILD_SA has two SAs and three policies, with a reqid and a remote network
 * of its own. Everything a call needs is made before the first phase, so that
 * memory and time of a phase are the plugin's. The calls and their order are
 * those of child_sa.c.
 */

#include "bench.h"

#include <threading/thread.h>

#include <stdio.h>

#define GENERATIONS 2

typedef struct {

	uint32_t reqid;

	/** peer, and where it is after it has moved */
	host_t *peer, *moved;

	/** selectors, and lists with each of them */
	traffic_selector_t *local_ts, *remote_ts;
	linked_list_t *local_list, *remote_list;

	/** of each generation */
	uint32_t in[GENERATIONS], out[GENERATIONS];

} child_t;

typedef status_t (*step_t)(child_t *child);

static const bench_t *bench;
static child_t *children;
static host_t *local;
static lifetime_cfg_t lifetime = {
	.time = { .rekey = 3000, .life = 3600 },
};
static u_char key[20];

/*
 * Calls
 */

static kernel_ipsec_sa_id_t sa_id(child_t *child, bool inbound, u_int gen)
{
	return (kernel_ipsec_sa_id_t){
		.src = inbound ? child->peer : local,
		.dst = inbound ? local : child->peer,
		.spi = inbound ? child->in[gen] : child->out[gen],
		.proto = IPPROTO_ESP,
	};
}

static status_t add_sa(child_t *child, bool inbound, u_int gen)
{
	kernel_ipsec_sa_id_t id = sa_id(child, inbound, gen);
	kernel_ipsec_add_sa_t data = {
		.reqid = child->reqid,
		.mode = MODE_TUNNEL,
		.src_ts = inbound ? child->remote_list : child->local_list,
		.dst_ts = inbound ? child->local_list : child->remote_list,
		.lifetime = &lifetime,
		.enc_alg = ENCR_AES_GCM_ICV16,
		.enc_key = chunk_create(key, sizeof(key)),
		.int_alg = AUTH_UNDEFINED,
		.replay_window = 32,
		.hw_offload = bench->offload,
		.esn = TRUE,
		.copy_df = TRUE,
		.copy_ecn = TRUE,
		.copy_dscp = DSCP_COPY_OUT_ONLY,
		.initiator = TRUE,
		.inbound = inbound,
		.update = inbound,
#if HAVE_CPU
		.cpu = CPU_ID_MAX,
#endif
	};

	return charon->kernel->add_sa(charon->kernel, &id, &data);
}

static status_t del_sa(child_t *child, bool inbound, u_int gen)
{
	kernel_ipsec_sa_id_t id = sa_id(child, inbound, gen);
	kernel_ipsec_del_sa_t data = {};

	return charon->kernel->del_sa(charon->kernel, &id, &data);
}

static status_t query_sa(child_t *child, bool inbound, u_int gen)
{
	kernel_ipsec_sa_id_t id = sa_id(child, inbound, gen);
	kernel_ipsec_query_sa_t data = {};
	uint64_t bytes, packets;
	time_t used;

	return charon->kernel->query_sa(charon->kernel, &id, &data, &bytes,
									&packets, &used);
}

static status_t update_sa(child_t *child, bool inbound, u_int gen)
{
	kernel_ipsec_sa_id_t id = sa_id(child, inbound, gen);
	kernel_ipsec_update_sa_t data = {
		.new_src = inbound ? child->moved : local,
		.new_dst = inbound ? local : child->moved,
#if HAVE_NEW_UPDATE
		.mode = MODE_TUNNEL,
		.old_reqid = child->reqid,
		.new_reqid = child->reqid,
		.hw_offload = bench->offload,
		.src_ts = inbound ? child->remote_list : child->local_list,
		.dst_ts = inbound ? child->local_list : child->remote_list,
		.inbound = inbound,
#endif
	};

	return charon->kernel->update_sa(charon->kernel, &id, &data);
}

static status_t policy(child_t *child, policy_dir_t dir, u_int gen, bool add)
{
	bool out = dir == POLICY_OUT;
	ipsec_sa_cfg_t sa = {
		.mode = MODE_TUNNEL,
		.reqid = child->reqid,
		.policy_count = 1,
		.esp = {
			.use = TRUE,
			.spi = out ? child->out[gen] : child->in[gen],
		},
	};
	kernel_ipsec_policy_id_t id = {
		.dir = dir,
		.src_ts = out ? child->local_ts : child->remote_ts,
		.dst_ts = out ? child->remote_ts : child->local_ts,
	};
	kernel_ipsec_manage_policy_t data = {
		.type = POLICY_IPSEC,
		.prio = POLICY_PRIORITY_DEFAULT,
		.hw_offload = bench->offload,
		.src = out ? local : child->peer,
		.dst = out ? child->peer : local,
		.sa = &sa,
	};

	if (add)
	{
		return charon->kernel->add_policy(charon->kernel, &id, &data);
	}
	return charon->kernel->del_policy(charon->kernel, &id, &data);
}

static status_t policies(child_t *child, u_int gen, bool add)
{
	status_t status = SUCCESS;

	status |= policy(child, POLICY_IN, gen, add);
	status |= policy(child, POLICY_FWD, gen, add);
	status |= policy(child, POLICY_OUT, gen, add);
	return status;
}

/*
 * Phases
 */

static status_t install(child_t *child, u_int gen)
{
	status_t status;

	status = charon->kernel->get_spi(charon->kernel, child->peer, local,
									 IPPROTO_ESP, &child->in[gen]);
	if (status == SUCCESS)
	{
		record_spi(child->in[gen]);
		status |= add_sa(child, TRUE, gen);
		status |= add_sa(child, FALSE, gen);
		status |= policies(child, gen, TRUE);
	}
	return status;
}

static status_t setup(child_t *child)
{
	return install(child, 0);
}

/** The old SAs stay until the peer has deleted them, see retire() */
static status_t rekey(child_t *child)
{
	return install(child, 1) | policies(child, 0, FALSE);
}

static status_t retire(child_t *child)
{
	return del_sa(child, TRUE, 0) | del_sa(child, FALSE, 0);
}

static status_t query(child_t *child)
{
	return query_sa(child, TRUE, 1) | query_sa(child, FALSE, 1);
}

static status_t update(child_t *child)
{
	host_t *before = child->peer;
	status_t status;

	status = policies(child, 1, FALSE);
	status |= update_sa(child, TRUE, 1) | update_sa(child, FALSE, 1);
	child->peer = child->moved;
	child->moved = before;
	return status | policies(child, 1, TRUE);
}

static status_t delete(child_t *child)
{
	status_t status = policies(child, 1, FALSE);

	return status | del_sa(child, TRUE, 1) | del_sa(child, FALSE, 1);
}

/*
 * Threads
 */

typedef struct {
	step_t step;
	u_int next, until, failed;
	/** when the last tenth began */
	uint64_t began, tenth, deadline;
} phase_t;

static void *work(void *data)
{
	phase_t *phase = data;
	u_int i;

	while (TRUE)
	{
		uint64_t now = meter_now();

		i = __atomic_fetch_add(&phase->next, 1, __ATOMIC_RELAXED);
		if (i >= phase->until || now > phase->deadline)
		{	/* nobody takes it, so that it was not done */
			__atomic_fetch_sub(&phase->next, 1, __ATOMIC_RELAXED);
			return NULL;
		}
		if (i == phase->until - phase->until / 10)
		{
			phase->tenth = now;
		}
		if (phase->step(&children[i]) != SUCCESS)
		{
			__atomic_fetch_add(&phase->failed, 1, __ATOMIC_RELAXED);
		}
	}
}

/**
 * Play a phase on that many CHILD_SAs, return with how many there was time.
 */
static u_int play(const char *name, step_t step, u_int count, bool *good)
{
	phase_t phase = { .step = step, .until = count };
	thread_t *threads[bench->threads];
	meter_t meter, before;
	uint64_t end;
	u_int i;

	meter_start(&before);
	meter_stop(&before);
	record_phase(name, count);
	meter_start(&meter);
	phase.began = meter_now();
	phase.deadline = phase.began + bench->limit * 1000000ull;
	if (bench->threads == 1)
	{
		work(&phase);
	}
	else
	{
		for (i = 0; i < bench->threads; i++)
		{
			threads[i] = thread_create(work, &phase);
		}
		for (i = 0; i < bench->threads; i++)
		{
			threads[i]->join(threads[i]);
		}
	}
	end = meter_now();
	meter_stop(&meter);
	record_phase(NULL, 0);
	printf("result phase=%s wanted=%u done=%u failed=%u wall=%llu user=%llu "
		   "system=%llu", name, count, phase.next, phase.failed,
		   (unsigned long long)meter.wall, (unsigned long long)meter.user,
		   (unsigned long long)meter.system);
	if (phase.tenth)
	{
		printf(" tenth=%llu", (unsigned long long)(end - phase.tenth));
	}
	if (bench->mode == MODE_CALLS)
	{
		printf(" calls=%llu", (unsigned long long)meter.calls);
		meter_kinds();
	}
	if (bench->mode == MODE_ALLOCS)
	{
		printf(" allocs=%llu bytes=%llu", (unsigned long long)meter.allocs,
			   (unsigned long long)meter.bytes);
	}
	if (step == setup)
	{
		printf(" rss=%lld", (long long)meter.rss - (long long)before.rss);
	}
	printf("\n");
	fflush(stdout);
	*good &= phase.failed == 0;
	return phase.next;
}

static linked_list_t *list_of(traffic_selector_t *ts)
{
	return linked_list_create_with_items(ts, NULL);
}

static host_t *address(uint32_t net, u_int number)
{
	uint32_t ip = htonl(net + number);

	return host_create_from_chunk(AF_INET, chunk_from_thing(ip), 0);
}

static void prepare()
{
	traffic_selector_t *local_ts;
	char text[32];
	u_int i;

	local = host_create_from_string(LOCAL, 0);
	local_ts = traffic_selector_create_from_cidr("10.1.0.0/16", 0, 0, 65535);
	memset(key, 0x5a, sizeof(key));
	/* and the one that goes first, see child_play() */
	children = calloc(bench->count + 1, sizeof(*children));
	for (i = 0; i <= bench->count; i++)
	{
		u_int who = bench->peers ? i : 0;
		uint32_t net = (10u << 24) + (128u << 16) + i;

		snprintf(text, sizeof(text), "%u.%u.%u.%u/32", net >> 24,
				 net >> 16 & 0xff, net >> 8 & 0xff, net & 0xff);
		children[i] = (child_t){
			.reqid = i + 1,
			/* 198.19.0.0/17 and the other half, beyond the gateway */
			.peer = address((198u << 24) + (19u << 16), who),
			.moved = address((198u << 24) + (19u << 16) + (1u << 15), who),
			.local_ts = local_ts,
			.remote_ts = traffic_selector_create_from_cidr(text, 0, 0, 65535),
			.out = { htonl(0xd0000000 + i), htonl(0xe0000000 + i) },
		};
		children[i].local_list = list_of(local_ts);
		children[i].remote_list = list_of(children[i].remote_ts);
	}
}

bool child_play(const bench_t *what)
{
	bool good = TRUE, counted;
	child_t *first;
	u_int count;

	bench = what;
	prepare();
	/* what is done once, for the first CHILD_SA on a device, belongs to none of
	 * those whose system calls and allocations are counted */
	counted = bench->mode == MODE_CALLS || bench->mode == MODE_ALLOCS;
	first = &children[bench->count];
	if (counted)
	{
		good = setup(first) == SUCCESS;
	}
	count = play("setup", setup, bench->count, &good);
	count = play("rekey", rekey, count, &good);
	play("retire", retire, count, &good);
	play("query", query, count, &good);
	if (bench->offload == HW_OFFLOAD_NO)
	{	/* in a NIC an SA is not moved but rekeyed */
		count = play("update", update, count, &good);
	}
	play("delete", delete, count, &good);
	if (counted)
	{
		good &= (policies(first, 0, FALSE) | del_sa(first, TRUE, 0) |
				 del_sa(first, FALSE, 0)) == SUCCESS;
	}
	return good;
}
