# SPDX-License-Identifier: GPL-2.0-or-later
topology vnic
start moon sun
initiate moon net
reaches alice 10.2.0.10
log_mark moon
kill -STOP "$(cat "$RUN/moon/pid")"
# SAs of somebody else expire at once, two events of each: more than the sockets hold.
for i in $(seq 1000); do
	printf 'xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi %d reqid 9999 mode tunnel aead rfc4106(gcm(aes)) 0x%040x 128 limit time-soft 1 limit time-hard 2\n' $((0x10000 + i)) "$i"
done | ip -n moon -batch - || bad "the storm cannot be made"
spi=$(echo $(nic_rows moon sas | sed -n 's/.*spi=0x\([0-9a-f]*\) dir=out.*/\1/p'))
ip -n moon xfrm state delete src 192.168.0.1 dst 192.168.0.2 proto esp spi 0x$spi
until_true 30 test "$(ip -n moon xfrm state | grep -c 203.0.113.1)" = 0
sleep 2
kill -CONT "$(cat "$RUN/moon/pid")"
recovered "after events were lost" 15 alice 10.2.0.10
[ "$PLUGIN" != kernel-fastswan ] || expect "the loss was reported" 'events were lost' log_new moon
agree "after events were lost"
