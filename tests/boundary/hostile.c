/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Arguments that make no sense, one at a time: each is refused with a line, and
 * the next good call works.
 */
#include "boundary.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/** The core says so for every refusal, once. */
#define refused(call) \
	do \
	{ \
		size_t from_ = log_lines(); \
		check((call) == FS_FAILED); \
		check(log_has(from_, " refused: ")); \
		check(log_level1(from_) == 1); \
	} while (0)

static const struct fs_ops *ops;
static struct fs_backend *backend;

static void setup(void)
{
	ops = fastswan_ops();
	backend = sample_backend();
}

/** After all that, it still works. */
static void teardown(void)
{
	struct sample_sa good;

	sample_sa(&good, 0xc0000777, false);
	check(ops->add_sa(backend, &good.id, &good.sa) == FS_SUCCESS);
	check(ops->del_sa(backend, &good.id, 0) == FS_SUCCESS);
	ops->destroy(backend);
}

void case_null(void)
{
	struct sample_sa s;
	struct sample_policy p;
	struct fs_addr addr = sample_addr(AF_INET, 1), none = {};
	struct fs_usage usage;
	struct fs_update_sa update = { .new_src = addr, .new_dst = addr };
	uint32_t spi;
	uint16_t cpi;
	int64_t use_time;

	setup();
	sample_sa(&s, 1000, true);
	sample_policy(&p, FS_DIR_OUT, 1000);

	/* no instance: before anything else is looked at. What has no result to
	 * fail with does nothing. */
	ops->destroy(NULL);
	check(!ops->reload(NULL));
	check(ops->get_features(NULL) == 0);
	refused(ops->get_spi(NULL, &addr, &addr, IPPROTO_ESP, &spi));
	refused(ops->get_cpi(NULL, &addr, &addr, &cpi));
	refused(ops->add_sa(NULL, &s.id, &s.sa));
	refused(ops->update_sa(NULL, &s.id, &update));
	refused(ops->query_sa(NULL, &s.id, 0, &usage));
	refused(ops->del_sa(NULL, &s.id, 0));
	refused(ops->flush_sas(NULL));
	refused(ops->add_policy(NULL, &p.id, &p.policy));
	refused(ops->query_policy(NULL, &p.id, &use_time));
	refused(ops->del_policy(NULL, &p.id, &p.policy));
	refused(ops->flush_policies(NULL));
	check(!ops->bypass_socket(NULL, 0, AF_INET));
	check(!ops->enable_udp_decap(NULL, 0, AF_INET, 4500));
	check(!ops->readable(0, -1));

	check(!ops->xfrmi_supported(NULL));
	check(!ops->xfrmi_create(NULL, "ipsec0", 1, NULL, 0));
	check(!ops->xfrmi_delete(NULL, "ipsec0"));
	check(ops->xfrmi_list(NULL, NULL, 0) == -1);

	/* an instance that is no instance */
	refused(ops->flush_sas((struct fs_backend*)((char*)backend + 1)));

	/* each argument in turn */
	refused(ops->get_spi(backend, NULL, &addr, IPPROTO_ESP, &spi));
	refused(ops->get_spi(backend, &addr, NULL, IPPROTO_ESP, &spi));
	refused(ops->get_spi(backend, &addr, &addr, IPPROTO_ESP, NULL));
	refused(ops->get_spi(backend, &none, &addr, IPPROTO_ESP, &spi));
	refused(ops->get_spi(backend, &addr, &none, IPPROTO_ESP, &spi));
	refused(ops->get_cpi(backend, NULL, &addr, &cpi));
	refused(ops->get_cpi(backend, &addr, NULL, &cpi));
	refused(ops->get_cpi(backend, &addr, &addr, NULL));
	refused(ops->add_sa(backend, NULL, &s.sa));
	refused(ops->add_sa(backend, &s.id, NULL));
	refused(ops->add_sa(backend, NULL, NULL));
	refused(ops->update_sa(backend, NULL, &update));
	refused(ops->update_sa(backend, &s.id, NULL));
	refused(ops->query_sa(backend, NULL, 0, &usage));
	refused(ops->query_sa(backend, &s.id, 0, NULL));
	refused(ops->del_sa(backend, NULL, 0));
	refused(ops->add_policy(backend, NULL, &p.policy));
	refused(ops->add_policy(backend, &p.id, NULL));
	refused(ops->query_policy(backend, NULL, &use_time));
	refused(ops->query_policy(backend, &p.id, NULL));
	refused(ops->del_policy(backend, NULL, &p.policy));
	refused(ops->del_policy(backend, &p.id, NULL));

	/* pointers within structs: a length without data */
	s.sa.src_ts.items = NULL;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.dst_ts.items = NULL;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.enc_key.ptr = NULL;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.int_key = (struct fs_chunk){ NULL, 20 };
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.label = (struct fs_chunk){ NULL, 20 };
	refused(ops->add_sa(backend, &s.id, &s.sa));
	p.id.label = (struct fs_chunk){ NULL, 20 };
	refused(ops->add_policy(backend, &p.id, &p.policy));
	refused(ops->query_policy(backend, &p.id, &use_time));
	refused(ops->del_policy(backend, &p.id, &p.policy));

	update.known = 1;
	update.mode = FS_MODE_TUNNEL;
	refused(ops->update_sa(backend, &s.id, &update));
	update.src_ts = (struct fs_ts_list){ NULL, 1 };
	update.dst_ts = (struct fs_ts_list){ s.dst_ts, 1 };
	refused(ops->update_sa(backend, &s.id, &update));
	check(!ops->xfrmi_create(backend, NULL, 1, NULL, 0));
	check(!ops->xfrmi_create(backend, "", 1, NULL, 0));
	check(!ops->xfrmi_create(backend, "sixteen--letters", 1, NULL, 0));
	check(!ops->xfrmi_create(backend, "ipsec0", 1, "sixteen--letters", 0));
	check(!ops->xfrmi_delete(backend, NULL));
	check(ops->xfrmi_list(backend, NULL, 1) == -1);

	/* texts may be missing */
	sample_sa(&s, 1000, true);
	s.sa.name = NULL;
	s.sa.interface = NULL;
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_SUCCESS);
	check(ops->del_sa(backend, &s.id, 0) == FS_SUCCESS);

	/* sockets that are none */
	check(!ops->bypass_socket(backend, -1, AF_INET));
	check(!ops->bypass_socket(backend, INT_MAX, AF_INET));
	check(!ops->bypass_socket(backend, 0, AF_UNIX));
	check(!ops->bypass_socket(backend, INT_MIN, INT_MIN));
	check(!ops->enable_udp_decap(backend, -1, AF_INET, 4500));
	check(!ops->enable_udp_decap(backend, INT_MAX, AF_INET6, 0));
	check(!ops->enable_udp_decap(backend, 0, -1, UINT16_MAX));
	teardown();
}

void case_enums(void)
{
	struct sample_sa s;
	struct sample_policy p;
	struct fs_addr addr = sample_addr(AF_INET, 1);
	uint32_t spi;
	struct fs_usage usage;

	setup();
	for (int value = 0; value <= UINT8_MAX; value++)
	{
		if (value != IPPROTO_ESP && value != IPPROTO_AH)
		{
			refused(ops->get_spi(backend, &addr, &addr, value, &spi));
		}
		if (value != IPPROTO_ESP && value != IPPROTO_AH && value != IPPROTO_COMP)
		{
			sample_sa(&s, 1000, true);
			s.id.proto = value;
			refused(ops->add_sa(backend, &s.id, &s.sa));
			refused(ops->query_sa(backend, &s.id, 0, &usage));
			refused(ops->del_sa(backend, &s.id, 0));
		}
		if (value != FS_MODE_TRANSPORT && value != FS_MODE_TUNNEL && value != FS_MODE_BEET &&
			value != FS_MODE_IPTFS)
		{
			sample_sa(&s, 1000, true);
			s.sa.mode = value;
			refused(ops->add_sa(backend, &s.id, &s.sa));
			sample_policy(&p, FS_DIR_OUT, 1000);
			p.policy.mode = value;
			refused(ops->add_policy(backend, &p.id, &p.policy));
			refused(ops->del_policy(backend, &p.id, &p.policy));
		}
		if (value > FS_OFFLOAD_AUTO)
		{
			sample_sa(&s, 1000, true);
			s.sa.hw_offload = value;
			refused(ops->add_sa(backend, &s.id, &s.sa));
			sample_policy(&p, FS_DIR_OUT, 1000);
			p.policy.hw_offload = value;
			refused(ops->add_policy(backend, &p.id, &p.policy));
		}
		if (value > FS_DSCP_NO)
		{
			sample_sa(&s, 1000, true);
			s.sa.copy_dscp = value;
			refused(ops->add_sa(backend, &s.id, &s.sa));
		}
		if (value > FS_DIR_FWD)
		{
			sample_policy(&p, value, 1000);
			refused(ops->add_policy(backend, &p.id, &p.policy));
		}
		if (value < FS_POLICY_IPSEC || value > FS_POLICY_DROP)
		{
			sample_policy(&p, FS_DIR_OUT, 1000);
			p.policy.type = value;
			refused(ops->add_policy(backend, &p.id, &p.policy));
		}
		if (value > FS_PRIO_FALLBACK)
		{
			sample_policy(&p, FS_DIR_OUT, 1000);
			p.policy.prio = value;
			refused(ops->add_policy(backend, &p.id, &p.policy));
		}
		if (value == 1 || value > 4)
		{
			sample_sa(&s, 1000, true);
			s.sa.ipcomp = value;
			refused(ops->add_sa(backend, &s.id, &s.sa));
		}
	}
	teardown();
}

void case_lengths(void)
{
	static struct fs_ts many[300];
	static uint8_t big[8192];
	const size_t page = 4096;
	struct sample_sa s;
	struct sample_policy p;
	char *wall;

	setup();
	/* two pages of which the second cannot be touched: reading past the end of
	 * a text that is not terminated ends the program */
	wall = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(wall != MAP_FAILED);
	check(mprotect(wall + page, page, PROT_NONE) == 0);
	memset(wall, 'w', page);

	/* empty lists */
	sample_sa(&s, 1000, true);
	s.sa.src_ts.len = 0;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.dst_ts = (struct fs_ts_list){};
	refused(ops->add_sa(backend, &s.id, &s.sa));

	/* one more than there may be, and lengths that cannot be */
	const size_t lists[] = { 257, 300, 1 << 20, SIZE_MAX / sizeof(struct fs_ts), SIZE_MAX };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		sample_sa(&s, 1000, true);
		s.sa.src_ts = (struct fs_ts_list){ many, lists[i] };
		refused(ops->add_sa(backend, &s.id, &s.sa));
		sample_sa(&s, 1000, true);
		s.sa.dst_ts = (struct fs_ts_list){ many, lists[i] };
		refused(ops->add_sa(backend, &s.id, &s.sa));
	}
	const size_t keys[] = { 1025, sizeof(big), (size_t)INT32_MAX + 1, SIZE_MAX };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		sample_sa(&s, 1000, true);
		s.sa.enc_key = (struct fs_chunk){ big, keys[i] };
		refused(ops->add_sa(backend, &s.id, &s.sa));
		sample_sa(&s, 1000, true);
		s.sa.int_key = (struct fs_chunk){ big, keys[i] };
		refused(ops->add_sa(backend, &s.id, &s.sa));
	}
	const size_t labels[] = { 4097, sizeof(big), SIZE_MAX };
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
	{
		sample_sa(&s, 1000, true);
		s.sa.label = (struct fs_chunk){ big, labels[i] };
		refused(ops->add_sa(backend, &s.id, &s.sa));
		sample_policy(&p, FS_DIR_OUT, 1000);
		p.id.label = (struct fs_chunk){ big, labels[i] };
		refused(ops->add_policy(backend, &p.id, &p.policy));
	}
	const uint32_t windows[] = { 4097, 1 << 20, UINT32_MAX };
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
	{
		sample_sa(&s, 1000, true);
		s.sa.replay_window = windows[i];
		refused(ops->add_sa(backend, &s.id, &s.sa));
	}

	/* texts without an end, right before the wall: 256 bytes are looked at */
	sample_sa(&s, 1000, true);
	s.sa.name = wall + page - 256;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.sa.interface = wall + page - 256;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_policy(&p, FS_DIR_OUT, 1000);
	p.policy.name = wall + page - 256;
	refused(ops->add_policy(backend, &p.id, &p.policy));
	sample_policy(&p, FS_DIR_OUT, 1000);
	p.id.interface = wall + page - 256;
	refused(ops->add_policy(backend, &p.id, &p.policy));

	/* the longest text there may be, its NUL the last byte before the wall */
	wall[page - 1] = '\0';
	sample_sa(&s, 1000, true);
	s.sa.name = wall + page - 256;
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_SUCCESS);
	check(ops->del_sa(backend, &s.id, 0) == FS_SUCCESS);
	/* a name that is no UTF-8 is still a name */
	s.sa.name = "gw\xff\xfe[1]";
	check(ops->add_sa(backend, &s.id, &s.sa) == FS_SUCCESS);
	check(ops->del_sa(backend, &s.id, 0) == FS_SUCCESS);
	munmap(wall, 2 * page);
	teardown();
}

void case_families(void)
{
	struct sample_sa s;
	struct sample_policy p;
	struct fs_addr v4 = sample_addr(AF_INET, 1), v6 = sample_addr(AF_INET6, 1), odd = v4;
	struct fs_update_sa update;
	uint32_t spi;
	uint16_t cpi;

	setup();
	odd.family = AF_UNIX;
	refused(ops->get_spi(backend, &v4, &v6, IPPROTO_ESP, &spi));
	refused(ops->get_spi(backend, &odd, &odd, IPPROTO_ESP, &spi));
	refused(ops->get_cpi(backend, &v6, &v4, &cpi));
	sample_sa(&s, 1000, true);
	s.id.src = v6;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	refused(ops->del_sa(backend, &s.id, 0));
	s.id.src = odd;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.src_ts[0].family = 0;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	/* the last of a list counts as well */
	sample_sa(&s, 1000, true);
	s.sa.src_ts.len = 2;
	s.src_ts[1].family = UINT16_MAX;
	refused(ops->add_sa(backend, &s.id, &s.sa));
	/* upside down */
	sample_sa(&s, 1000, true);
	memset(s.src_ts[0].from, 0xff, 16);
	refused(ops->add_sa(backend, &s.id, &s.sa));
	sample_sa(&s, 1000, true);
	s.src_ts[0].from_port = 80;
	s.src_ts[0].to_port = 79;
	refused(ops->add_sa(backend, &s.id, &s.sa));

	sample_sa(&s, 1000, true);
	update = (struct fs_update_sa){ .new_src = v4, .new_dst = v6 };
	refused(ops->update_sa(backend, &s.id, &update));
	update = (struct fs_update_sa){ .new_src = v4 };
	refused(ops->update_sa(backend, &s.id, &update));
	update = (struct fs_update_sa){ .new_src = odd, .new_dst = odd };
	refused(ops->update_sa(backend, &s.id, &update));

	sample_policy(&p, FS_DIR_OUT, 1000);
	p.id.src_ts.family = AF_INET6;
	refused(ops->add_policy(backend, &p.id, &p.policy));
	sample_policy(&p, FS_DIR_OUT, 1000);
	p.id.dst_ts.family = 0;
	refused(ops->add_policy(backend, &p.id, &p.policy));
	refused(ops->del_policy(backend, &p.id, &p.policy));
	sample_policy(&p, FS_DIR_OUT, 1000);
	p.policy.src = v6;
	refused(ops->add_policy(backend, &p.id, &p.policy));
	p.policy.src = odd;
	refused(ops->add_policy(backend, &p.id, &p.policy));
	teardown();
}
