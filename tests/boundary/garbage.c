/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Structs of random bytes. Pointers cannot be random, since C has no way to
 * tell; everything else is. Whatever comes back, it is a result of the
 * contract, and the core works afterwards.
 */
#include "boundary.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define ROUNDS 20000

/** xorshift, so that a failure can be repeated */
static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(void *to, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		((uint8_t*)to)[i] = number() >> 24;
	}
}

static bool chance(unsigned one_in)
{
	return number() % one_in == 0;
}

/** Mostly a family there is, so that the checks behind it are reached. */
static uint16_t family(void)
{
	return chance(8) ? number() : chance(2) ? AF_INET : AF_INET6;
}

static void random_addr(struct fs_addr *addr)
{
	fill(addr, sizeof(*addr));
	addr->family = family();
}

static void random_ts(struct fs_ts *ts)
{
	fill(ts, sizeof(*ts));
	ts->family = family();
	if (!chance(3))
	{
		memset(ts->from, 0, sizeof(ts->from));
		ts->from_port = 0;
	}
}

/** Room of which at most all is named, or a length far beyond. */
static size_t random_len(size_t room)
{
	return chance(10) ? SIZE_MAX - number() % 4096 : number() % (room + 1);
}

static struct fs_ts selectors[2][4];
static uint8_t bytes[64];
static char text[32];

static void random_sa_id(struct fs_sa_id *id)
{
	static const uint8_t protos[] = { IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP };

	fill(id, sizeof(*id));
	random_addr(&id->src);
	random_addr(&id->dst);
	if (!chance(4))
	{
		id->proto = protos[number() % 3];
	}
	if (!chance(4))
	{
		id->dst.family = id->src.family;
	}
	/* few of them, so that some exist already */
	id->spi = htonl(number() % 16 + 256);
}

static void random_sa(struct fs_sa *sa)
{
	fill(sa, sizeof(*sa));
	for (size_t i = 0; i < 4; i++)
	{
		random_ts(&selectors[0][i]);
		random_ts(&selectors[1][i]);
	}
	fill(bytes, sizeof(bytes));
	fill(text, sizeof(text) - 1);
	sa->src_ts = (struct fs_ts_list){ chance(10) ? NULL : selectors[0], random_len(4) };
	sa->dst_ts = (struct fs_ts_list){ chance(10) ? NULL : selectors[1], random_len(4) };
	sa->interface = chance(2) ? NULL : text;
	sa->name = chance(2) ? NULL : text;
	sa->enc_key = (struct fs_chunk){ chance(10) ? NULL : bytes, random_len(sizeof(bytes)) };
	sa->int_key = (struct fs_chunk){ chance(10) ? NULL : bytes, random_len(sizeof(bytes)) };
	sa->label = (struct fs_chunk){ chance(4) ? bytes : NULL, chance(4) ? random_len(64) : 0 };
	/* within bounds most of the time, or nothing but the first check is tested */
	if (!chance(4))
	{
		sa->mode = number() % 8;
		sa->hw_offload = number() % 4;
		sa->copy_dscp = number() % 4;
		sa->ipcomp = number() % 6;
		sa->replay_window %= 5000;
		sa->enc_alg = number() % 32;
		sa->int_alg = number() % 16;
	}
}

static void random_policy(struct fs_policy_id *id, struct fs_policy *policy)
{
	fill(id, sizeof(*id));
	fill(policy, sizeof(*policy));
	fill(text, sizeof(text) - 1);
	random_ts(&id->src_ts);
	random_ts(&id->dst_ts);
	id->interface = chance(4) ? text : NULL;
	id->label = (struct fs_chunk){ chance(4) ? bytes : NULL, chance(4) ? random_len(64) : 0 };
	policy->name = chance(2) ? text : NULL;
	random_addr(&policy->src);
	random_addr(&policy->dst);
	if (!chance(4))
	{
		id->dir = number() % 4;
		id->dst_ts.family = id->src_ts.family;
		policy->dst.family = policy->src.family;
		policy->type = number() % 5;
		policy->prio = number() % 5;
		policy->mode = number() % 8;
		policy->hw_offload = number() % 4;
		policy->ipcomp = number() % 6;
	}
}

/** A result of the contract. */
static void sane(int32_t result)
{
	check(result >= FS_SUCCESS && result <= FS_ALREADY_DONE);
}

void case_garbage(void)
{
	const struct fs_ops *ops = fastswan_ops();
	struct fs_backend *backend = sample_backend();
	size_t accepted = 0, panics;

	for (int i = 0; i < ROUNDS; i++)
	{
		struct fs_sa_id sa_id;
		struct fs_sa sa;
		struct fs_update_sa update;
		struct fs_policy_id policy_id;
		struct fs_policy policy;
		struct fs_usage usage;
		struct fs_addr src, dst;
		uint32_t spi;
		uint16_t cpi;
		int64_t use_time;
		int32_t result;

		random_sa_id(&sa_id);
		random_sa(&sa);
		random_policy(&policy_id, &policy);
		fill(&update, sizeof(update));
		random_addr(&update.new_src);
		random_addr(&update.new_dst);
		update.src_ts = sa.src_ts;
		update.dst_ts = sa.dst_ts;
		update.interface = sa.interface;
		if (!chance(4))
		{
			update.mode = sa.mode;
			update.hw_offload = sa.hw_offload;
		}
		random_addr(&src);
		random_addr(&dst);

		switch (number() % 10)
		{
			case 0:
				result = ops->get_spi(backend, &src, &dst, number(), &spi);
				break;
			case 1:
				result = ops->get_cpi(backend, &src, &dst, &cpi);
				break;
			case 2:
			case 3:
				result = ops->add_sa(backend, &sa_id, &sa);
				accepted += result == FS_SUCCESS;
				break;
			case 4:
				result = ops->update_sa(backend, &sa_id, &update);
				break;
			case 5:
				result = ops->query_sa(backend, &sa_id, number(), &usage);
				break;
			case 6:
				result = ops->del_sa(backend, &sa_id, number());
				break;
			case 7:
				result = ops->add_policy(backend, &policy_id, &policy);
				accepted += result == FS_SUCCESS;
				break;
			case 8:
				result = ops->query_policy(backend, &policy_id, &use_time);
				break;
			default:
				result = ops->del_policy(backend, &policy_id, &policy);
				break;
		}
		sane(result);
		check(!ops->readable(number(), number()));
		if (log_lines() > 2000)
		{
			panics = log_has(0, "panicked");
			check(!panics);
			log_clear();
		}
	}
	check(!log_has(0, "panicked"));
	/* if all of it is refused at the door, the test says little */
	check(accepted > 10);
	sane(ops->flush_policies(backend));
	sane(ops->flush_sas(backend));
	ops->destroy(backend);
}
