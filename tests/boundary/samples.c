/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Good arguments.
 */
#include "boundary.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

struct fs_addr sample_addr(int family, uint8_t last)
{
	struct fs_addr addr = { .family = family };

	if (family == AF_INET)
	{
		memcpy(addr.bytes, (uint8_t[]){ 192, 0, 2, last }, 4);
	}
	else
	{
		memcpy(addr.bytes, (uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8 }, 4);
		addr.bytes[15] = last;
	}
	return addr;
}

/** 10.net.0.0/16 */
static struct fs_ts sample_ts(uint8_t net)
{
	return (struct fs_ts){
		.family = AF_INET,
		.to_port = UINT16_MAX,
		.from = { 10, net, 0, 0 },
		.to = { 10, net, 255, 255 },
	};
}

void sample_sa(struct sample_sa *sample, uint32_t spi, bool inbound)
{
	memset(sample, 0, sizeof(*sample));
	memset(sample->key, 0xa5, sizeof(sample->key));
	sample->id = (struct fs_sa_id){
		.src = sample_addr(AF_INET, inbound ? 2 : 1),
		.dst = sample_addr(AF_INET, inbound ? 1 : 2),
		.spi = htonl(spi),
		.proto = IPPROTO_ESP,
	};
	sample->src_ts[0] = sample_ts(inbound ? 2 : 1);
	sample->dst_ts[0] = sample_ts(inbound ? 1 : 2);
	sample->sa = (struct fs_sa){
		.src_ts = { sample->src_ts, 1 },
		.dst_ts = { sample->dst_ts, 1 },
		.name = "gw-gw[1]",
		.enc_key = { sample->key, sizeof(sample->key) },
		.lifetime = { .time = { .life = 3600, .rekey = 3240 } },
		.reqid = 1,
		.replay_window = 32,
		.cpu = FS_CPU_NONE,
		/* ENCR_AES_GCM_ICV16, AUTH_UNDEFINED */
		.enc_alg = 20,
		.int_alg = 1024,
		.mode = FS_MODE_TUNNEL,
		.hw_offload = FS_OFFLOAD_NO,
		.copy_dscp = FS_DSCP_OUT_ONLY,
		.copy_df = 1,
		.copy_ecn = 1,
		.inbound = inbound,
	};
}

void sample_policy(struct sample_policy *sample, uint8_t dir, uint32_t spi)
{
	bool inbound = dir != FS_DIR_OUT;

	memset(sample, 0, sizeof(*sample));
	sample->id = (struct fs_policy_id){
		.src_ts = sample_ts(inbound ? 2 : 1),
		.dst_ts = sample_ts(inbound ? 1 : 2),
		.dir = dir,
	};
	sample->policy = (struct fs_policy){
		.name = "gw-gw[1]",
		.src = sample_addr(AF_INET, inbound ? 2 : 1),
		.dst = sample_addr(AF_INET, inbound ? 1 : 2),
		.reqid = 1,
		.policy_count = 1,
		.esp_spi = htonl(spi),
		.esp = 1,
		.type = FS_POLICY_IPSEC,
		.prio = FS_PRIO_DEFAULT,
		.hw_offload = FS_OFFLOAD_NO,
		.mode = FS_MODE_TUNNEL,
	};
}

struct fs_backend *sample_backend(void)
{
	struct fs_host host = boundary_host();
	struct fs_backend *backend = fastswan_ops()->create(&host, "6.0.1");

	/* the struct is copied: this must not matter */
	memset(&host, 0, sizeof(host));
	check(backend);
	return backend;
}
