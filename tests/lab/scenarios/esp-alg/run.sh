# SPDX-License-Identifier: GPL-2.0-or-later
segment alice moon carol
for number in $(seq 101 115); do echo "address add 10.1.0.$number/32 dev lo"; done | ip -n alice -batch -
for number in $(seq 101 115); do echo "route add 10.1.0.$number via 10.1.0.10"; done | ip -n moon -batch -
start moon carol
wire_mark
# algorithm NUMBER CHILD LISTED KERNEL: brings up the CHILD_SA for alice's address of that number and uses it.
algorithm() {
	sw carol --initiate --child "$2" --timeout 20 >"$OUT/initiate-$2.txt" 2>&1 || {
		bad "$2 does not come up"
		tail -n 5 "$OUT/initiate-$2.txt" | sed 's/^/       | /'
		return
	}
	expect "$2: the kernel has it" "$4" ip -n carol xfrm state
	check "$2: 128 bytes are answered" on carol ping -q -c 1 -W 3 -s 120 -p deadbeef "10.1.0.$1"
	LISTED="$LISTED$3.*remote-ts=\\[10\\.1\\.0\\.$1/32\\]
"
}
LISTED=
algorithm 101 aes-gmac \
	'encr-alg=NULL_AES_GMAC encr-keysize=128' \
	'aead rfc4543\(gcm\(aes\)\)'
algorithm 102 md5-128 \
	'encr-alg=3DES_CBC integ-alg=HMAC_MD5_128' \
	'auth-trunc hmac\(md5\) .* 128'
algorithm 103 null \
	'encr-alg=NULL integ-alg=HMAC_SHA2_256_128' \
	'enc ecb\(cipher_null\)'
algorithm 104 sha1-160 \
	'encr-alg=3DES_CBC integ-alg=HMAC_SHA1_160' \
	'auth-trunc hmac\(sha1\) .* 160'
algorithm 105 sha256-96 \
	'encr-alg=AES_CBC encr-keysize=128 integ-alg=HMAC_SHA2_256_96' \
	'auth-trunc hmac\(sha256\) .* 96'
algorithm 106 3des-md5 \
	'encr-alg=3DES_CBC integ-alg=HMAC_MD5_96' \
	'enc cbc\(des3_ede\)'
algorithm 107 aes-ccm \
	'encr-alg=AES_CCM_12 encr-keysize=128' \
	'aead rfc4309\(ccm\(aes\)\) .* 96'
algorithm 108 aes-ctr \
	'encr-alg=AES_CTR encr-keysize=256 integ-alg=AES_XCBC_96' \
	'enc rfc3686\(ctr\(aes\)\)'
algorithm 109 aes-gcm \
	'encr-alg=AES_GCM_8 encr-keysize=256' \
	'aead rfc4106\(gcm\(aes\)\) .* 64'
algorithm 110 aes-xcbc \
	'encr-alg=AES_CBC encr-keysize=128 integ-alg=AES_XCBC_96' \
	'auth-trunc xcbc\(aes\) .* 96'
algorithm 111 blowfish \
	'encr-alg=BLOWFISH_CBC encr-keysize=192 integ-alg=HMAC_SHA2_384_192' \
	'enc cbc\(blowfish\)'
algorithm 112 camellia \
	'encr-alg=CAMELLIA_CBC encr-keysize=192 integ-alg=HMAC_SHA1_96' \
	'enc cbc\(camellia\)'
algorithm 113 chacha20poly1305 \
	'encr-alg=CHACHA20_POLY1305' \
	'aead rfc7539esp\(chacha20,poly1305\) .* 128'
algorithm 114 sha384 \
	'encr-alg=AES_CBC encr-keysize=192 integ-alg=HMAC_SHA2_384_192' \
	'auth-trunc hmac\(sha384\) .* 192'
algorithm 115 sha512 \
	'encr-alg=AES_CBC encr-keysize=256 integ-alg=HMAC_SHA2_512_256' \
	'auth-trunc hmac\(sha512\) .* 256'
sw carol --list-sas --raw | sed 's/[a-z0-9-]*-[0-9]* {name=/\n&/g' >"$OUT/listed.txt"
while read -r line; do
	[ -n "$line" ] || continue
	expect "charon's list has ${line%%.*}" "$line" cat "$OUT/listed.txt"
done <<<"$LISTED"
wire_esp_only
length_of() { wire_new 'src 192.168.0.100 and esp' | sed -nE 's/.*length ([0-9]+)$/\1/p' | sed -n "$1p"; }
same "lengths on the wire: GMAC, 3DES with MD5 of 128 bit, NULL, 3DES with SHA-1 of 160 bit, AES with SHA-256 of 96 bit" \
	"184 184 176 188 196" "$(length_of 1) $(length_of 2) $(length_of 3) $(length_of 4) $(length_of 5)"
