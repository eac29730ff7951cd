# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
second_nic
printf 'address add 10.9.9.1/32 dev lo\nroute add 10.9.9.2/32 via 192.168.0.2\n' | ip -n moon -batch -
printf 'address add 10.9.9.2/32 dev lo\nroute add 10.9.9.1/32 via 192.168.0.1\n' | ip -n sun -batch -
start moon sun
initiate moon net
same "moon: both SAs are on p0" 2 "$(dev_count p0 sas)"
reaches alice 10.2.0.10
log_mark moon
ip -n moon route replace 10.9.9.2/32 via 192.168.1.2
ip -n sun route replace 10.9.9.1/32 via 192.168.1.1
recovered "after the route moved to the other NIC" 20 alice 10.2.0.10
on_q() { [ "$(dev_count q0 sas)" -ge 2 ] && [ "$(dev_count q1 sas)" -ge 2 ] && [ "$(dev_count p0 sas)" = 0 ] && [ "$(dev_count p1 sas)" = 0 ]; }
if until_true 20 on_q; then ok "all SAs of both sides are on the second NIC, none on the first"; else
	bad "SAs: moon p0 $(dev_count p0 sas) q0 $(dev_count q0 sas), sun p1 $(dev_count p1 sas) q1 $(dev_count q1 sas)"
fi
same "moon: no policy of the CHILD_SA is left on the first NIC" 0 "$(dev_count p0 policies 'reqid=[1-9]')"
reaches alice 10.2.0.10
same "no packet of alice or bob in clear on the second NIC" "0 0" "$(dev_clear q0) $(dev_clear q1)"
[ "$PLUGIN" != kernel-fastswan ] || expect "one line says that it moved" '(moves from|route).*(q0|device)' log_new moon
for dev in p0 q0; do
	again=$(grep 'op=sa_add result=0' "$VNIC_DEBUG/$dev/log" | sed -n 's/.*\(dir=[a-z]*\).*\(spi=0x[0-9a-f]*\).*/\1 \2/p' | sort | uniq -d)
	same "no SA was added twice to $dev" "" "$again"
done
