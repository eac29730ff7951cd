// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The card's replay window (S7): a ring of bits over the last 256 sequence
 * numbers, of which the last `window` count. Called by rx.c with sa->lock
 * held; it must not look at the kernel's own replay state, which the card
 * never touches.
 */
#include "vnic.h"

/*
 * The 64-bit number a received low half stands for (RFC 4303, appendix A).
 * Without ESN the number is the low half itself. Returns 0, which is never
 * valid, for a number before the first.
 */
u64 vnic_replay_seq(const struct vnic_sa *sa, u32 low)
{
	u32 th = upper_32_bits(sa->top), tl = lower_32_bits(sa->top);
	u32 bottom = tl - sa->window + 1;

	if (!sa->esn)
		return low;
	if (tl >= sa->window - 1) {
		if (low < bottom) {
			if (th == U32_MAX)
				return 0;
			th++;
		}
	} else if (low >= bottom) {
		if (!th)
			return 0;
		th--;
	}
	return ((u64)th << 32) | low;
}

bool vnic_replay_ok(const struct vnic_sa *sa, u64 seq)
{
	if (!sa->replay_on)
		return true;
	if (!seq)
		return false;
	if (seq > sa->top)
		return true;
	if (sa->top - seq >= sa->window)
		return false;
	return !test_bit(seq % VNIC_WIN_MAX, sa->seen);
}

void vnic_replay_advance(struct vnic_sa *sa, u64 seq)
{
	if (seq > sa->top) {
		u64 gap = seq - sa->top;

		if (gap >= VNIC_WIN_MAX) {
			bitmap_zero(sa->seen, VNIC_WIN_MAX);
		} else {
			u64 s;

			for (s = sa->top + 1; s <= seq; s++)
				clear_bit(s % VNIC_WIN_MAX, sa->seen);
		}
		sa->top = seq;
	}
	if (sa->replay_on)
		set_bit(seq % VNIC_WIN_MAX, sa->seen);
}
