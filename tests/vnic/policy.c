// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's policy tables (rules P1 to P5): what xdo_dev_policy_add programs
 * and how a packet is matched. Called by the kernel's XFRM code and, under RCU,
 * by the transmit and receive paths. It must not consult the kernel's SPD.
 */
#include <net/ipv6.h>

#include "vnic.h"

#define REFUSE(extack, text) ({				\
	NL_SET_ERR_MSG_MOD(extack, text);		\
	-EINVAL; })

static const char *policy_text(struct netlink_ext_ack *extack)
{
	return extack && extack->_msg ? extack->_msg : "-";
}

/* P1 */
static int policy_validate(struct vnic_dev *vd, const struct xfrm_policy *xp,
			   struct netlink_ext_ack *extack)
{
	const struct xfrm_selector *sel = &xp->selector;

	if (!vnic_knob(vd, ipsec_supported)) {
		NL_SET_ERR_MSG_MOD(extack, "Device doesn't support IPsec packet offload");
		return -EOPNOTSUPP;
	}
	if (xp->type != XFRM_POLICY_TYPE_MAIN)
		return REFUSE(extack, "Cannot offload non-main policy types");
	if (xp->xfrm_nr > 1)
		return REFUSE(extack, "Cannot offload more than one template");
	if (xp->xdo.dir != XFRM_DEV_OFFLOAD_IN &&
	    xp->xdo.dir != XFRM_DEV_OFFLOAD_OUT)
		return REFUSE(extack, "Cannot offload forward policy");
	if (!xp->xfrm_vec[0].reqid && sel->proto == IPPROTO_IP &&
	    ipv6_addr_any(&sel->saddr.in6) && ipv6_addr_any(&sel->daddr.in6))
		return REFUSE(extack, "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) different than 0");
	if (xp->xdo.type != XFRM_DEV_OFFLOAD_PACKET)
		return REFUSE(extack, "Unsupported xfrm offload type");
	if (sel->proto != IPPROTO_IP && sel->proto != IPPROTO_TCP &&
	    sel->proto != IPPROTO_UDP)
		return REFUSE(extack, "Device does not support upper protocol other than TCP/UDP");
	if (xp->priority) {
		if (!vnic_knob(vd, prio_supported))
			return REFUSE(extack, "Device does not support policy priority");
		if (xp->priority == U32_MAX)
			return REFUSE(extack, "Device does not support requested policy priority");
	}
	if (!vnic_knob(vd, packet_supported))
		return REFUSE(extack, "Packet offload is not supported");
	return 0;
}

/*
 * mlx5e_ipsec_policy_mask: for IPv4 a prefix of 0 leaves the address as given
 * (the kernel's selectors then hold 0.0.0.0, which is a wildcard by P3).
 */
static void policy_mask4(u8 plen, xfrm_address_t *addr, xfrm_address_t *mask)
{
	mask->a4 = plen && plen < 32 ? htonl(~0U << (32 - plen)) : htonl(~0U);
	addr->a4 &= mask->a4;
}

static void policy_mask6(u8 plen, xfrm_address_t *addr, xfrm_address_t *mask)
{
	int i;

	for (i = 0; i < 4; i++) {
		int bits = clamp((int)plen - 32 * i, 0, 32);

		mask->a6[i] = bits ? htonl(~0U << (32 - bits)) : 0;
		addr->a6[i] &= mask->a6[i];
	}
}

static void policy_addrs(struct vnic_dev *vd, struct vnic_policy *pol,
			 const struct xfrm_selector *sel)
{
	pol->family = sel->family;
	pol->plen_s = sel->prefixlen_s;
	pol->plen_d = sel->prefixlen_d;
	pol->saddr = sel->saddr;
	pol->daddr = sel->daddr;
	if (sel->family == AF_INET) {
		policy_mask4(pol->plen_s, &pol->saddr, &pol->smask);
		policy_mask4(pol->plen_d, &pol->daddr, &pol->dmask);
		pol->any_s = !pol->saddr.a4;
		pol->any_d = !pol->daddr.a4;
	} else {
		policy_mask6(pol->plen_s, &pol->saddr, &pol->smask);
		policy_mask6(pol->plen_d, &pol->daddr, &pol->dmask);
		pol->any_s = ipv6_addr_any(&pol->saddr.in6);
		pol->any_d = ipv6_addr_any(&pol->daddr.in6);
	}
	if (!vnic_knob(vd, wildcard_zero)) {
		/* a card that compares what the selector says, family first */
		pol->any_s = !pol->plen_s;
		pol->any_d = !pol->plen_d;
		return;
	}
	pol->any = pol->any_s && pol->any_d;
}

static bool policy_full(struct vnic_dev *vd, int ix)
{
	u32 max = vnic_knob(vd, max_policies);

	if (max)
		return vd->n_pol[0] + vd->n_pol[1] >= max;
	return vd->n_pol[ix] >= VNIC_FTE;
}

/* P2: one table per priority, in ascending order; called with table_lock. */
static struct vnic_prio *policy_prio(struct vnic_dev *vd, int ix, u32 priority,
				     struct vnic_prio **spare)
{
	struct list_head *pos = &vd->policies[ix];
	struct vnic_prio *prio;

	list_for_each_entry(prio, &vd->policies[ix], node) {
		if (prio->priority == priority)
			return prio;
		if (prio->priority > priority)
			break;
		pos = &prio->node;
	}
	prio = *spare;
	*spare = NULL;
	prio->priority = priority;
	INIT_LIST_HEAD(&prio->policies);
	list_add_rcu(&prio->node, pos);
	return prio;
}

static int policy_add(struct vnic_dev *vd, struct xfrm_policy *xp)
{
	int ix = vnic_dir_ix(xp->xdo.dir), err;
	struct vnic_prio *spare;
	struct vnic_policy *pol;

	err = vnic_inject(vd, &vd->fail_policy, xp->xdo.dir);
	if (err)
		return err;
	if (vnic_tc_is_busy(vd))
		return -EBUSY;

	pol = kzalloc(sizeof(*pol), GFP_KERNEL);
	spare = kzalloc(sizeof(*spare), GFP_KERNEL);
	if (!pol || !spare) {
		kfree(pol);
		kfree(spare);
		return -ENOMEM;
	}
	pol->dir = xp->xdo.dir;
	pol->action = xp->action;
	pol->priority = xp->priority;
	pol->reqid = xp->xfrm_nr ? xp->xfrm_vec[0].reqid : 0;
	pol->spi = xp->xfrm_nr ? xp->xfrm_vec[0].id.spi : 0;
	vnic_upspec_set(&pol->up, &xp->selector);
	policy_addrs(vd, pol, &xp->selector);

	spin_lock_bh(&vd->table_lock);
	if (policy_full(vd, ix)) {
		err = -ENOSPC;
	} else {
		pol->id = ++vd->next_id;
		pol->prio = policy_prio(vd, ix, xp->priority, &spare);
		list_add_tail_rcu(&pol->node, &pol->prio->policies);
		vd->n_pol[ix]++;
	}
	spin_unlock_bh(&vd->table_lock);
	kfree(spare);
	if (err) {
		kfree(pol);
		return err;
	}
	xp->xdo.offload_handle = (unsigned long)pol;
	return 0;
}

static void policy_log(struct vnic_dev *vd, const char *op, int result,
		       const struct xfrm_policy *xp, const char *text)
{
	const struct xfrm_selector *s = &xp->selector;
	u32 reqid = xp->xfrm_nr ? xp->xfrm_vec[0].reqid : 0;

	if (s->family == AF_INET6)
		vnic_log(vd, "op=%s result=%d dir=%s src=%pI6c/%u dst=%pI6c/%u proto=%u prio=%u action=%s reqid=%u text=\"%s\"",
			 op, result, vnic_dir_text(xp->xdo.dir),
			 &s->saddr.in6, s->prefixlen_s,
			 &s->daddr.in6, s->prefixlen_d, s->proto, xp->priority,
			 xp->action == XFRM_POLICY_BLOCK ? "block" : "allow",
			 reqid, text);
	else
		vnic_log(vd, "op=%s result=%d dir=%s src=%pI4/%u dst=%pI4/%u proto=%u prio=%u action=%s reqid=%u text=\"%s\"",
			 op, result, vnic_dir_text(xp->xdo.dir),
			 &s->saddr.a4, s->prefixlen_s,
			 &s->daddr.a4, s->prefixlen_d, s->proto, xp->priority,
			 xp->action == XFRM_POLICY_BLOCK ? "block" : "allow",
			 reqid, text);
}

int vnic_policy_add(struct xfrm_policy *xp, struct netlink_ext_ack *extack)
{
	struct vnic_dev *vd = netdev_priv(xp->xdo.dev);
	int err;

	if (vnic_knob(vd, add_delay_ms))
		msleep(vnic_knob(vd, add_delay_ms));

	err = policy_validate(vd, xp, extack);
	if (!err) {
		err = policy_add(vd, xp);
		if (err)
			NL_SET_ERR_MSG_MOD(extack, "Device failed to offload this policy");
	}
	if (err)
		vnic_count(vd, policy_refused);
	else
		vnic_count(vd, policy_adds);
	policy_log(vd, "policy_add", err, xp, err ? policy_text(extack) : "-");
	return err;
}

/* Called with the policy's lock held: the rule goes at once. */
void vnic_policy_delete(struct xfrm_policy *xp)
{
	struct vnic_policy *pol = (void *)xp->xdo.offload_handle;
	struct vnic_dev *vd = netdev_priv(xp->xdo.dev);
	struct vnic_prio *prio;

	spin_lock_bh(&vd->table_lock);
	prio = pol->prio;
	list_del_rcu(&pol->node);
	vd->n_pol[vnic_dir_ix(pol->dir)]--;
	if (list_empty(&prio->policies)) {
		list_del_rcu(&prio->node);
		kfree_rcu(prio, rcu);
	}
	spin_unlock_bh(&vd->table_lock);
	vnic_count(vd, policy_deletes);
	policy_log(vd, "policy_delete", 0, xp, "-");
}

void vnic_policy_free(struct xfrm_policy *xp)
{
	struct vnic_policy *pol = (void *)xp->xdo.offload_handle;

	xp->xdo.offload_handle = 0;
	kfree_rcu(pol, rcu);
}

/* P3 */
static bool policy_match(const struct vnic_policy *pol,
			 const struct vnic_flow *fl)
{
	int i;

	if (!pol->any) {
		if (fl->family != pol->family)
			return false;
		if (fl->family == AF_INET) {
			if (!pol->any_s &&
			    (fl->saddr.a4 & pol->smask.a4) != pol->saddr.a4)
				return false;
			if (!pol->any_d &&
			    (fl->daddr.a4 & pol->dmask.a4) != pol->daddr.a4)
				return false;
		} else {
			for (i = 0; i < 4; i++) {
				if (!pol->any_s &&
				    (fl->saddr.a6[i] & pol->smask.a6[i]) !=
				    pol->saddr.a6[i])
					return false;
				if (!pol->any_d &&
				    (fl->daddr.a6[i] & pol->dmask.a6[i]) !=
				    pol->daddr.a6[i])
					return false;
			}
		}
	}
	return vnic_upspec_match(&pol->up, fl);
}

/*
 * The first match in the chain. A fragment matches nothing; one that would
 * have been encrypted is counted, because it leaves in clear.
 */
struct vnic_policy *vnic_policy_match(struct vnic_dev *vd, u8 dir,
				      const struct vnic_flow *fl)
{
	struct vnic_policy *pol;
	struct vnic_prio *prio;

	list_for_each_entry_rcu(prio, &vd->policies[vnic_dir_ix(dir)], node) {
		list_for_each_entry_rcu(pol, &prio->policies, node) {
			if (!policy_match(pol, fl))
				continue;
			if (fl->frag) {
				if (dir == XFRM_DEV_OFFLOAD_OUT && pol->reqid)
					vnic_count(vd, tx_frag_clear);
				return NULL;
			}
			atomic64_inc(&pol->hits);
			return pol;
		}
	}
	return NULL;
}
