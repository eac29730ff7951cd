// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ethtool: driver name, link, and the IPsec counters under the names that
 * mlx5's statistics have, so that what reads them there can be tried here.
 * Called by the ethtool core under RTNL. It must not offer to change features
 * that mlx5 keeps fixed.
 */
#include <linux/ethtool.h>

#include "vnic.h"

static const struct {
	const char	*name;
	enum vnic_stat	stat[5];
} ethtool_stats[] = {
	{ "ipsec_rx_pkts",	{ VNIC_ST_rx_esp } },
	{ "ipsec_rx_bytes",	{ VNIC_ST_rx_esp_bytes } },
	{ "ipsec_rx_drop_pkts",	{ VNIC_ST_auth_drops, VNIC_ST_trailer_drops,
				  VNIC_ST_replay_drops, VNIC_ST_rx_block,
				  VNIC_ST_rx_limit_drops } },
	{ "ipsec_rx_drop_mismatch_sa_sel", { VNIC_ST_sel_drops } },
	{ "ipsec_tx_pkts",	{ VNIC_ST_tx_esp } },
	{ "ipsec_tx_bytes",	{ VNIC_ST_tx_esp_bytes } },
	{ "ipsec_tx_drop_pkts",	{ VNIC_ST_tx_block, VNIC_ST_tx_sa_drop,
				  VNIC_ST_tx_limit_drops,
				  VNIC_ST_tx_seq_overflow } },
	{ "ipsec_rx_drop_sadb_miss", { VNIC_ST_rx_sadb_miss } },
	{ "ipsec_tx_drop_no_state", { VNIC_ST_tx_bad_offload } },
};

static void vnic_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, VNIC_NAME, sizeof(info->driver));
}

static int vnic_link_ksettings(struct net_device *dev,
			       struct ethtool_link_ksettings *cmd)
{
	cmd->base.speed = SPEED_10000;
	cmd->base.duplex = DUPLEX_FULL;
	cmd->base.port = PORT_TP;
	cmd->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

static int vnic_sset_count(struct net_device *dev, int sset)
{
	return sset == ETH_SS_STATS ? ARRAY_SIZE(ethtool_stats) : -EOPNOTSUPP;
}

static void vnic_strings(struct net_device *dev, u32 sset, u8 *buf)
{
	int i;

	if (sset != ETH_SS_STATS)
		return;
	for (i = 0; i < ARRAY_SIZE(ethtool_stats); i++)
		ethtool_puts(&buf, ethtool_stats[i].name);
}

static void vnic_ethtool_stats(struct net_device *dev,
			       struct ethtool_stats *stats, u64 *data)
{
	struct vnic_dev *vd = netdev_priv(dev);
	int i, j;

	for (i = 0; i < ARRAY_SIZE(ethtool_stats); i++) {
		const enum vnic_stat *s = ethtool_stats[i].stat;

		data[i] = 0;
		/* index 0 of a list is its first entry; later zeros end it */
		for (j = 0; j < ARRAY_SIZE(ethtool_stats[i].stat); j++) {
			if (j && !s[j])
				break;
			data[i] += atomic64_read(&vd->stats[s[j]]);
		}
	}
}

const struct ethtool_ops vnic_ethtool_ops = {
	.get_drvinfo		= vnic_drvinfo,
	.get_link		= ethtool_op_get_link,
	.get_link_ksettings	= vnic_link_ksettings,
	.get_sset_count		= vnic_sset_count,
	.get_strings		= vnic_strings,
	.get_ethtool_stats	= vnic_ethtool_stats,
};
