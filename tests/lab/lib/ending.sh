# SPDX-License-Identifier: GPL-2.0-or-later
# How an IKE_SA is ended before its daemons are. Owns the wait for both ends; scenarios whose updown script changes links
# call it last. It must not end a daemon: the runner does, and judges how.

# ike_sa_ends HOST IKE PEER: HOST ends the IKE_SA, and PEER has finished with it.
#
# A link that an updown script takes away raises a roam job, which waits for the IKE_SA while its thread is still in the
# script. SIGTERM in that moment can hang any charon (6.0.1 and 6.1.0, whichever the kernel's plugin): in
# ike_sa_manager.c, checkin_and_destroy waits for the job and then frees the entry with its condition variable, which
# flush has begun to sleep on meanwhile.
ike_sa_ends() {
	check "$1 ends the IKE_SA" sw "$1" --terminate --ike "$2" --timeout 20
	check "$3 is done with it" until_true 20 no_ike_sa "$3"
}
