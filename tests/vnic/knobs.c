// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The knobs of a device: capability bits, table sizes, delays and faults to
 * inject. Files under <device>/knobs/ in debugfs; read by the other files
 * through vnic_knob(), vnic_knob_take() and vnic_inject(). It must not act on
 * a change itself: a knob takes effect with the next add or packet.
 */
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "vnic.h"

void vnic_knobs_init(struct vnic_dev *vd)
{
	spin_lock_init(&vd->knob_lock);
#define VNIC_KNOB_DEFAULT(n, d) vd->knobs.n = d;
	VNIC_KNOBS(VNIC_KNOB_DEFAULT)
#undef VNIC_KNOB_DEFAULT
}

/* One of the next N: true, and one less of them. */
bool vnic_knob_take(struct vnic_dev *vd, u32 *knob)
{
	bool take = false;

	if (!READ_ONCE(*knob))
		return false;
	spin_lock_bh(&vd->knob_lock);
	if (*knob) {
		(*knob)--;
		take = true;
	}
	spin_unlock_bh(&vd->knob_lock);
	return take;
}

/*
 * The error for this add, if it is one of those that shall fail: one of the
 * next N of its kind, or the Nth of all kinds. Called once for each add.
 */
int vnic_inject(struct vnic_dev *vd, struct vnic_fail *f, u8 dir)
{
	int err = 0;

	spin_lock_bh(&vd->knob_lock);
	if (vd->fail_call.n && !--vd->fail_call.n)
		err = -vd->fail_call.err;
	if (f->n && (!f->dir || f->dir == dir)) {
		f->n--;
		err = -f->err;
	}
	spin_unlock_bh(&vd->knob_lock);
	if (err)
		vnic_count(vd, injected_fail);
	return err;
}

static int copy_line(char *buf, size_t size, const char __user *user, size_t len)
{
	if (len >= size)
		return -E2BIG;
	if (copy_from_user(buf, user, len))
		return -EFAULT;
	buf[len] = '\0';
	strim(buf);
	return 0;
}

/* Errors are given as numbers; 28 and -28 are both ENOSPC. */
static int fail_write(struct vnic_dev *vd, struct vnic_fail *f, char *line)
{
	char *count = strsep(&line, " "), *num, *dir;
	struct vnic_fail new = {};
	int err;

	err = kstrtou32(count, 0, &new.n);
	if (err)
		return err;
	num = line ? strsep(&line, " ") : NULL;
	dir = line ? strsep(&line, " ") : NULL;
	if (line)
		return -EINVAL;
	if (new.n) {
		if (!num || kstrtoint(num, 0, &new.err))
			return -EINVAL;
		new.err = abs(new.err);
		if (!new.err || new.err > MAX_ERRNO)
			return -EINVAL;
	}
	if (dir) {
		if (!strcmp(dir, "in"))
			new.dir = XFRM_DEV_OFFLOAD_IN;
		else if (!strcmp(dir, "out"))
			new.dir = XFRM_DEV_OFFLOAD_OUT;
		else
			return -EINVAL;
	}
	spin_lock_bh(&vd->knob_lock);
	*f = new;
	spin_unlock_bh(&vd->knob_lock);
	return 0;
}

/* "N ERRNO": a direction makes no sense, since calls of all kinds count. */
static int call_write(struct vnic_dev *vd, char *line)
{
	if (strchr(line, 'i') || strchr(line, 'o'))
		return -EINVAL;
	return fail_write(vd, &vd->fail_call, line);
}

static int fail_show(struct seq_file *m, const struct vnic_fail *f)
{
	seq_printf(m, "%u %d%s\n", f->n, f->err,
		   !f->dir ? "" : f->dir == XFRM_DEV_OFFLOAD_IN ? " in" : " out");
	return 0;
}

#define TEXT_KNOB(name, show_expr, write_expr)				\
static int name##_show(struct seq_file *m, void *v)			\
{									\
	struct vnic_dev *vd = m->private;				\
	return show_expr;						\
}									\
static int name##_open(struct inode *inode, struct file *file)		\
{									\
	return single_open(file, name##_show, inode->i_private);	\
}									\
static ssize_t name##_write(struct file *file, const char __user *user,	\
			    size_t len, loff_t *pos)			\
{									\
	struct vnic_dev *vd = ((struct seq_file *)file->private_data)->private; \
	char buf[128];							\
	int err = copy_line(buf, sizeof(buf), user, len);		\
									\
	if (!err)							\
		err = write_expr;					\
	return err ? err : len;						\
}									\
static const struct file_operations name##_fops = {			\
	.owner = THIS_MODULE,						\
	.open = name##_open,						\
	.read = seq_read,						\
	.write = name##_write,						\
	.llseek = seq_lseek,						\
	.release = single_release,					\
}

static int choice_show(struct seq_file *m, u32 v, const char *zero,
		       const char *one)
{
	seq_printf(m, "%s\n", v ? one : zero);
	return 0;
}

static int choice_write(u32 *v, const char *line, const char *zero,
			const char *one)
{
	if (!strcmp(line, zero))
		WRITE_ONCE(*v, 0);
	else if (!strcmp(line, one))
		WRITE_ONCE(*v, 1);
	else
		return -EINVAL;
	return 0;
}

/* "SPI N": the next packet sent is N+1; for an inbound state, the window's top */
static int next_seq_write(struct vnic_dev *vd, char *line)
{
	char *num = strsep(&line, " ");
	u32 spi;
	u64 seq;

	if (!line || kstrtou32(num, 0, &spi) || kstrtou64(line, 0, &seq))
		return -EINVAL;
	return vnic_sa_set_seq(vd, htonl(spi), seq);
}

static int seq_usage(struct vnic_dev *vd, struct seq_file *m)
{
	seq_printf(m, "%s: write SPI NUMBER\n", vd->dev->name);
	return 0;
}

TEXT_KNOB(fail_sa_add, fail_show(m, &vd->fail_sa),
	  fail_write(vd, &vd->fail_sa, buf));
TEXT_KNOB(fail_policy_add, fail_show(m, &vd->fail_policy),
	  fail_write(vd, &vd->fail_policy, buf));
TEXT_KNOB(fail_call, fail_show(m, &vd->fail_call),
	  call_write(vd, buf));
TEXT_KNOB(match, choice_show(m, vd->knobs.match_spi, "reqid", "spi"),
	  choice_write(&vd->knobs.match_spi, buf, "reqid", "spi"));
TEXT_KNOB(prefer, choice_show(m, vd->knobs.prefer_newer, "older", "newer"),
	  choice_write(&vd->knobs.prefer_newer, buf, "older", "newer"));
TEXT_KNOB(set_seq, seq_usage(vd, m), next_seq_write(vd, buf));

void vnic_knobs_debugfs(struct vnic_dev *vd, struct dentry *parent)
{
	struct dentry *d = debugfs_create_dir("knobs", parent);

#define VNIC_KNOB_FILE(n, def) debugfs_create_u32(#n, 0600, d, &vd->knobs.n);
	VNIC_KNOBS(VNIC_KNOB_FILE)
#undef VNIC_KNOB_FILE
	debugfs_create_file("fail_sa_add", 0600, d, vd, &fail_sa_add_fops);
	debugfs_create_file("fail_policy_add", 0600, d, vd,
			    &fail_policy_add_fops);
	debugfs_create_file("fail_call", 0600, d, vd, &fail_call_fops);
	debugfs_create_file("match", 0600, d, vd, &match_fops);
	debugfs_create_file("prefer", 0600, d, vd, &prefer_fops);
	debugfs_create_file("set_seq", 0600, d, vd, &set_seq_fops);
}
