// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tc offload, as far as it matters here (rule S9): flower rules are accepted
 * and counted, and exclude IPsec as IPsec excludes them. Called by the tc core.
 * The rules do nothing in the device; without skip_sw they still act in
 * software.
 */
#include <net/pkt_cls.h>

#include "vnic.h"

static LIST_HEAD(tc_blocks);

bool vnic_tc_is_busy(struct vnic_dev *vd)
{
	return vnic_knob(vd, tc_busy) ||
	       (READ_ONCE(vd->n_tc) && vnic_knob(vd, tc_blocks));
}

static int tc_flower(struct vnic_dev *vd, struct flow_cls_offload *f)
{
	int err = 0;

	spin_lock_bh(&vd->table_lock);
	switch (f->command) {
	case FLOW_CLS_REPLACE:
		if (vnic_knob(vd, tc_blocks) &&
		    (vd->n_in[0] || vd->n_in[1] || vd->n_out || vd->n_pol[0] ||
		     vd->n_pol[1]))
			err = -EBUSY;
		else
			vd->n_tc++;
		break;
	case FLOW_CLS_DESTROY:
		if (vd->n_tc)
			vd->n_tc--;
		break;
	default:
		err = -EOPNOTSUPP;
	}
	spin_unlock_bh(&vd->table_lock);
	return err;
}

static int tc_block(enum tc_setup_type type, void *data, void *priv)
{
	struct vnic_dev *vd = priv;

	if (type != TC_SETUP_CLSFLOWER ||
	    !tc_cls_can_offload_and_chain0(vd->dev, data))
		return -EOPNOTSUPP;
	return tc_flower(vd, data);
}

int vnic_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data)
{
	struct vnic_dev *vd = netdev_priv(dev);

	if (type != TC_SETUP_BLOCK)
		return -EOPNOTSUPP;
	return flow_block_cb_setup_simple(data, &tc_blocks, tc_block, vd, vd,
					  true);
}
