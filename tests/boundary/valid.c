/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What charon does on a good day, and that nothing of it is left behind.
 */
#include "boundary.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void add_and_remove(const struct fs_ops *ops, struct fs_backend *backend)
{
	struct sample_sa in, out;
	struct sample_policy policy;
	struct fs_addr local = sample_addr(AF_INET, 1), remote = sample_addr(AF_INET, 2);
	struct fs_usage usage;
	uint8_t dirs[] = { FS_DIR_IN, FS_DIR_FWD, FS_DIR_OUT };
	uint32_t spi = 0;
	uint16_t cpi = 0;
	int64_t use_time;

	check(ops->get_spi(backend, &remote, &local, IPPROTO_ESP, &spi) == FS_SUCCESS);
	/* charon.spi_min to spi_max, in network order */
	check(ntohl(spi) >= 0xc0000000 && ntohl(spi) <= 0xcfffffff);
	check(ops->get_cpi(backend, &remote, &local, &cpi) == FS_SUCCESS);
	check(cpi != 0);

	sample_sa(&in, ntohl(spi), true);
	in.sa.update = 1;
	check(ops->add_sa(backend, &in.id, &in.sa) == FS_SUCCESS);
	sample_sa(&out, 0xc0ffee01, false);
	check(ops->add_sa(backend, &out.id, &out.sa) == FS_SUCCESS);
	for (size_t i = 0; i < sizeof(dirs); i++)
	{
		sample_policy(&policy, dirs[i], dirs[i] == FS_DIR_OUT ? 0xc0ffee01 : ntohl(spi));
		check(ops->add_policy(backend, &policy.id, &policy.policy) == FS_SUCCESS);
		check(ops->query_policy(backend, &policy.id, &use_time) == FS_SUCCESS);
	}
	memset(&usage, 0xff, sizeof(usage));
	check(ops->query_sa(backend, &out.id, 0, &usage) == FS_SUCCESS);
	check(usage.bytes == 0 && usage.packets == 0);
	for (size_t i = 0; i < sizeof(dirs); i++)
	{
		sample_policy(&policy, dirs[i], dirs[i] == FS_DIR_OUT ? 0xc0ffee01 : ntohl(spi));
		check(ops->del_policy(backend, &policy.id, &policy.policy) == FS_SUCCESS);
	}
	check(ops->del_sa(backend, &in.id, 0) == FS_SUCCESS);
	check(ops->del_sa(backend, &out.id, 0) == FS_SUCCESS);
	/* gone, and said so in the way charon understands */
	memset(&usage, 0xff, sizeof(usage));
	check(ops->query_sa(backend, &out.id, 0, &usage) != FS_SUCCESS);
	/* an answer is written only with success */
	check(usage.bytes == UINT64_MAX);
}

static void xfrm_interfaces(const struct fs_ops *ops, struct fs_backend *backend)
{
	struct fs_xfrmi all[2];

	check(ops->xfrmi_supported(backend));
	check(ops->xfrmi_list(backend, NULL, 0) == 0);
	check(ops->xfrmi_create(backend, "ipsec1", 7, NULL, 0));
	check(ops->xfrmi_create(backend, "ipsec2", 8, "", 1400));
	/* the name and the ID are taken */
	check(!ops->xfrmi_create(backend, "ipsec1", 9, NULL, 0));
	check(!ops->xfrmi_create(backend, "ipsec3", 8, NULL, 0));
	check(!ops->xfrmi_create(backend, "ipsec3", 9, "nosuch", 0));
	/* with less room than needed, it still tells how many there are */
	memset(all, 0xff, sizeof(all));
	check(ops->xfrmi_list(backend, all, 1) == 2);
	check(strcmp(all[0].name, "ipsec1") == 0 && all[0].if_id == 7 && !all[0].phys[0]);
	check(all[1].if_id == UINT32_MAX);
	check(ops->xfrmi_list(backend, all, 2) == 2);
	check(strcmp(all[1].name, "ipsec2") == 0 && all[1].if_id == 8);
	check(ops->xfrmi_delete(backend, "ipsec1"));
	check(!ops->xfrmi_delete(backend, "ipsec1"));
	check(ops->xfrmi_delete(backend, "ipsec2"));
	check(ops->xfrmi_list(backend, all, 2) == 0);
}

void case_valid(void)
{
	const struct fs_ops *ops = fastswan_ops();
	struct fs_backend *backend = sample_backend();
	int fd;

	check(ops->contract == FASTSWAN_CONTRACT && ops->size == sizeof(*ops));
	check(watched() > 0);
	/* what every kernel has, and no bit that the contract does not know */
	check(ops->get_features(backend) & FS_FEATURE_ESP_V3_TFC);
	check(ops->get_features(backend) < 2 * FS_FEATURE_ACQUIRE_SEQ);
	check(ops->reload(backend));
	add_and_remove(ops, backend);
	add_and_remove(ops, backend);
	check(ops->flush_policies(backend) == FS_SUCCESS);
	check(ops->flush_sas(backend) == FS_SUCCESS);
	xfrm_interfaces(ops, backend);

	/* both work on a real socket and need privileges that the program may not
	 * have; what counts is that they come back */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(fd >= 0);
	ops->bypass_socket(backend, fd, AF_INET);
	ops->enable_udp_decap(backend, fd, AF_INET, 4500);
	close(fd);
	ops->destroy(backend);

	/* a second life in the same process, as after a failed start */
	backend = sample_backend();
	add_and_remove(ops, backend);
	ops->destroy(backend);
}

void case_create(void)
{
	const struct fs_ops *ops = fastswan_ops();
	struct fs_host host;
	struct fs_backend *backend;
	size_t from;

	check(ops->create(NULL, "6.0.1") == NULL);
	host = boundary_host();
	host.contract++;
	check(ops->create(&host, "6.0.1") == NULL);
	host = boundary_host();
	host.size -= sizeof(void*);
	check(ops->create(&host, "6.0.1") == NULL);

	/* each function in turn, by its place behind the two numbers */
	for (size_t at = 2 * sizeof(uint32_t); at < sizeof(host); at += sizeof(void*))
	{
		host = boundary_host();
		from = log_lines();
		memset((char*)&host + at, 0, sizeof(void*));
		check(ops->create(&host, "6.0.1") == NULL);
		/* without the first there is nobody to tell */
		check(!host.log || log_has(from, "no function"));
	}

	/* no version is no reason to fail: it is only for the log */
	host = boundary_host();
	backend = ops->create(&host, NULL);
	check(backend);
	ops->destroy(backend);

	/* a core that cannot listen does not work, says why, and leaves nothing */
	refuse_watch = true;
	from = log_lines();
	check(ops->create(&host, "6.0.1") == NULL);
	check(log_has(from, "kernel-fastswan is not active"));
	refuse_watch = false;
}
