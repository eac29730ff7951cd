// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A ring of text lines, one per add and delete, for all devices together, so
 * that the order between them is seen and lines outlive their device. Called by
 * sa.c and policy.c in any context, read by debugfs.c. It must not sleep.
 */
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "vnic.h"

#define LOG_LINES	8192
#define LOG_LEN		288

struct log_line {
	u64	seq;
	u64	ns;
	u32	dev;
	char	name[IFNAMSIZ];
	char	text[LOG_LEN];
};

static struct log_line *log_ring;
static DEFINE_SPINLOCK(log_lock);
static u64 log_seq;

void vnic_log(struct vnic_dev *vd, const char *fmt, ...)
{
	struct log_line *l;
	unsigned long flags;
	va_list args;

	spin_lock_irqsave(&log_lock, flags);
	l = &log_ring[log_seq % LOG_LINES];
	l->seq = ++log_seq;
	l->ns = ktime_get_boottime_ns();
	l->dev = vd->id;
	strscpy(l->name, vd->dev->name, sizeof(l->name));
	va_start(args, fmt);
	vscnprintf(l->text, sizeof(l->text), fmt, args);
	va_end(args);
	spin_unlock_irqrestore(&log_lock, flags);
}

/* @vd NULL: all devices. A line overwritten meanwhile is left out. */
void vnic_log_show(struct seq_file *m, struct vnic_dev *vd)
{
	struct log_line *l = kmalloc(sizeof(*l), GFP_KERNEL);
	u64 s, end;

	if (!l)
		return;
	end = READ_ONCE(log_seq);
	for (s = end > LOG_LINES ? end - LOG_LINES : 0; s < end; s++) {
		spin_lock_irq(&log_lock);
		*l = log_ring[s % LOG_LINES];
		spin_unlock_irq(&log_lock);
		if (l->seq != s + 1 || (vd && l->dev != vd->id))
			continue;
		seq_printf(m, "seq=%llu t=%llu.%06llu dev=%s %s\n", l->seq,
			   l->ns / NSEC_PER_SEC,
			   l->ns % NSEC_PER_SEC / NSEC_PER_USEC, l->name,
			   l->text);
	}
	kfree(l);
}

int vnic_log_init(void)
{
	log_ring = vcalloc(LOG_LINES, sizeof(*log_ring));
	return log_ring ? 0 : -ENOMEM;
}

void vnic_log_exit(void)
{
	vfree(log_ring);
}
