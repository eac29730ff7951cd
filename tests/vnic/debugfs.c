// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device's tables as text: /sys/kernel/debug/vnic/<name>/ with sas,
 * policies, stats, log, watch and knobs/, and for all devices vnic/devices and
 * vnic/log. Called by main.c as devices come, go and change their name. Lines
 * are key=value, one object each. A reader must not take RTNL: the files are
 * removed under it.
 *
 * debugfs is one for all network namespaces, device names are not: where a
 * name is taken, the directory is <name>@<id>, and vnic/devices tells.
 */
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "vnic.h"

static struct dentry *vnic_root;

static void show_addr(struct seq_file *m, const char *key, u16 family,
		      const xfrm_address_t *a, int plen)
{
	if (family == AF_INET6)
		seq_printf(m, " %s=%pI6c", key, &a->in6);
	else
		seq_printf(m, " %s=%pI4", key, &a->a4);
	if (plen >= 0)
		seq_printf(m, "/%d", plen);
}

static void show_upspec(struct seq_file *m, const struct vnic_upspec *up)
{
	seq_printf(m, " proto=%u sport=%u/0x%x dport=%u/0x%x", up->proto,
		   ntohs(up->sport), ntohs(up->sport_mask),
		   ntohs(up->dport), ntohs(up->dport_mask));
}

static int sas_show(struct seq_file *m, void *v)
{
	struct vnic_dev *vd = m->private;
	struct vnic_sa *sa;

	rcu_read_lock();
	list_for_each_entry_rcu(sa, &vd->sas, all) {
		struct vnic_counters c;
		u8 mac[ETH_ALEN];
		u64 oseq, top;

		spin_lock_bh(&sa->lock);
		c = sa->live;
		oseq = sa->oseq;
		top = sa->top;
		ether_addr_copy(mac, sa->peer_mac);
		spin_unlock_bh(&sa->lock);

		seq_printf(m, "id=%llu spi=0x%08x dir=%s mode=%s type=%s reqid=%u",
			   sa->id, ntohl(sa->spi), vnic_dir_text(sa->dir),
			   sa->mode == XFRM_MODE_TUNNEL ? "tunnel" : "transport",
			   sa->type == XFRM_DEV_OFFLOAD_PACKET ? "packet" : "crypto",
			   sa->reqid);
		show_addr(m, "src", sa->family, &sa->saddr, -1);
		show_addr(m, "dst", sa->family, &sa->daddr, -1);
		show_upspec(m, &sa->up);
		seq_printf(m, " esn=%d window=%u replay=%d oseq=%llu seq=%llu encap=%u:%u",
			   sa->esn, sa->window, sa->replay_on, oseq, top,
			   ntohs(sa->encap_sport), ntohs(sa->encap_dport));
		seq_printf(m, " packets=%llu bytes=%llu auth_fail=%llu trailer_fail=%llu replay_drop=%llu mac=%pM own_mac=%pM drop=%d state=%s\n",
			   c.packets, c.bytes, c.auth, c.trailer, c.replay, mac,
			   sa->own_mac, READ_ONCE(sa->failed_closed),
			   READ_ONCE(sa->x) ? "valid" : "deleted");
	}
	rcu_read_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sas);

static int policies_show(struct seq_file *m, void *v)
{
	struct vnic_dev *vd = m->private;
	struct vnic_policy *pol;
	struct vnic_prio *prio;
	int i;

	rcu_read_lock();
	for (i = 0; i < 2; i++) {
		list_for_each_entry_rcu(prio, &vd->policies[i], node) {
			list_for_each_entry_rcu(pol, &prio->policies, node) {
				seq_printf(m, "id=%llu dir=%s", pol->id,
					   vnic_dir_text(pol->dir));
				show_addr(m, "src", pol->family, &pol->saddr,
					  pol->plen_s);
				show_addr(m, "dst", pol->family, &pol->daddr,
					  pol->plen_d);
				show_upspec(m, &pol->up);
				seq_printf(m, " prio=%u action=%s reqid=%u spi=0x%08x wildcard=%d hits=%lld\n",
					   pol->priority,
					   pol->action == XFRM_POLICY_BLOCK ?
					   "block" : "allow",
					   pol->reqid, ntohl(pol->spi), pol->any,
					   atomic64_read(&pol->hits));
			}
		}
	}
	rcu_read_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(policies);

static int stats_show(struct seq_file *m, void *v)
{
	static const char * const names[] = {
#define VNIC_STAT_NAME(n) #n,
		VNIC_STATS(VNIC_STAT_NAME)
#undef VNIC_STAT_NAME
	};
	struct vnic_dev *vd = m->private;
	int i;

	for (i = 0; i < VNIC_ST_MAX; i++)
		seq_printf(m, "%s=%lld\n", names[i],
			   atomic64_read(&vd->stats[i]));
	spin_lock_bh(&vd->table_lock);
	seq_printf(m, "sas_in4=%u\nsas_in6=%u\nsas_out=%u\npolicies_in=%u\npolicies_out=%u\ntc_rules=%u\n",
		   vd->n_in[0], vd->n_in[1], vd->n_out, vd->n_pol[0],
		   vd->n_pol[1], vd->n_tc);
	spin_unlock_bh(&vd->table_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int log_show(struct seq_file *m, void *v)
{
	vnic_log_show(m, m->private);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(log);

static int watch_show(struct seq_file *m, void *v)
{
	struct vnic_dev *vd = m->private;
	struct vnic_watch *w;

	rcu_read_lock();
	list_for_each_entry_rcu(w, &vd->watches, node) {
		seq_puts(m, "watch");
		show_addr(m, "src", w->family, &w->src, w->plen_s);
		show_addr(m, "dst", w->family, &w->dst, w->plen_d);
		seq_printf(m, " tx=%lld rx=%lld ike_tx=%lld ike_rx=%lld\n",
			   atomic64_read(&w->tx), atomic64_read(&w->rx),
			   atomic64_read(&w->ike_tx), atomic64_read(&w->ike_rx));
	}
	rcu_read_unlock();
	return 0;
}

static int watch_open(struct inode *inode, struct file *file)
{
	return single_open(file, watch_show, inode->i_private);
}

/* One command per line; lines before a wrong one have been obeyed. */
static ssize_t watch_write(struct file *file, const char __user *user,
			   size_t len, loff_t *pos)
{
	struct vnic_dev *vd = ((struct seq_file *)file->private_data)->private;
	char *buf, *rest, *line;
	int err = 0;

	if (len > PAGE_SIZE)
		return -E2BIG;
	buf = memdup_user_nul(user, len);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	rest = buf;
	while (!err && (line = strsep(&rest, "\n"))) {
		line = strim(line);
		if (*line)
			err = vnic_watch_write(vd, line);
	}
	kfree(buf);
	return err ? err : len;
}

static const struct file_operations watch_fops = {
	.owner = THIS_MODULE,
	.open = watch_open,
	.read = seq_read,
	.write = watch_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int devices_show(struct seq_file *m, void *v)
{
	struct vnic_dev *vd;

	rcu_read_lock();
	list_for_each_entry_rcu(vd, &vnic_devs, list) {
		struct net_device *wire = rcu_dereference(vd->pair->wire);
		struct net_device *peer = rcu_dereference(vd->peer);

		seq_printf(m, "id=%u name=%s dir=%pd ifindex=%d netns=%u pair=%u end=%u peer=%s wire=%s\n",
			   vd->id, vd->dev->name, vd->dir, vd->dev->ifindex,
			   dev_net(vd->dev)->ns.inum, vd->pair->id, vd->end,
			   peer ? peer->name : "-", wire ? wire->name : "-");
	}
	rcu_read_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(devices);

static void dir_name(struct vnic_dev *vd, char *buf, size_t len)
{
	struct dentry *old = debugfs_lookup(vd->dev->name, vnic_root);

	if (old && old != vd->dir)
		snprintf(buf, len, "%s@%u", vd->dev->name, vd->id);
	else
		strscpy(buf, vd->dev->name, len);
	dput(old);
}

void vnic_debugfs_add(struct vnic_dev *vd)
{
	char name[IFNAMSIZ + 12];

	dir_name(vd, name, sizeof(name));
	vd->dir = debugfs_create_dir(name, vnic_root);
	debugfs_create_file("sas", 0400, vd->dir, vd, &sas_fops);
	debugfs_create_file("policies", 0400, vd->dir, vd, &policies_fops);
	debugfs_create_file("stats", 0400, vd->dir, vd, &stats_fops);
	debugfs_create_file("log", 0400, vd->dir, vd, &log_fops);
	debugfs_create_file("watch", 0600, vd->dir, vd, &watch_fops);
	vnic_knobs_debugfs(vd, vd->dir);
}

void vnic_debugfs_rename(struct vnic_dev *vd)
{
	char name[IFNAMSIZ + 12];

	if (IS_ERR_OR_NULL(vd->dir))
		return;
	dir_name(vd, name, sizeof(name));
	if (strcmp(vd->dir->d_name.name, name))
		vnic_debugfs_name(vnic_root, vd->dir, name);
}

void vnic_debugfs_del(struct vnic_dev *vd)
{
	debugfs_remove_recursive(vd->dir);
	vd->dir = NULL;
}

void vnic_debugfs_init(void)
{
	vnic_root = debugfs_create_dir(VNIC_NAME, NULL);
	debugfs_create_file("devices", 0400, vnic_root, NULL, &devices_fops);
	debugfs_create_file("log", 0400, vnic_root, NULL, &log_fops);
}

void vnic_debugfs_exit(void)
{
	debugfs_remove_recursive(vnic_root);
}
