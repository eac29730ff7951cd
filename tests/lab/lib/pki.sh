# SPDX-License-Identifier: GPL-2.0-or-later
# Certificates. Owns a small authority that lives as long as a scenario and the folders swanctl reads keys and
# certificates from; scenarios call it before `start`. No key is kept in the repository.

PKI=$RUN/pki

# Only what Ed25519 and X.509 need: loading every plugin takes longer than the work.
pki_run() { STRONGSWAN_CONF=$PKI/strongswan.conf pki "$@"; }

# certificates HOST...: a certificate for each, of one authority that all trust; "id" is the host's name.
certificates() {
	local host dir
	mkdir -p "$PKI"
	printf 'pki {\n\tload = random drbg nonce pem pkcs1 pkcs8 x509 pubkey curve25519 sha1 sha2 hmac\n}\n' \
		>"$PKI/strongswan.conf"
	pki_run --gen --type ed25519 >"$PKI/ca.key" &&
		pki_run --self --type ed25519 --in "$PKI/ca.key" --dn "O=lab, CN=authority" --ca --lifetime 30 >"$PKI/ca.crt" ||
		bad "no certificate authority can be made"
	for host; do
		dir=$RUN/$host/swanctl
		mkdir -p "$dir/x509" "$dir/x509ca" "$dir/private" "$dir/x509crl"
		cp "$PKI/ca.crt" "$dir/x509ca/"
		pki_run --gen --type ed25519 >"$dir/private/$host.key" &&
			pki_run --issue --type ed25519 --in "$dir/private/$host.key" --cacert "$PKI/ca.crt" --cakey "$PKI/ca.key" \
				--dn "O=lab, CN=$host" --san "$host" --lifetime 20 >"$dir/x509/$host.crt" ||
			bad "no certificate can be made for $host"
	done
}

# revocations [HOST]: a fresh list of revoked certificates for every host that has certificates, with HOST's in it.
revocations() {
	local host revoked=""
	[ -z "$1" ] || revoked="--reason key-compromise --cert $RUN/$1/swanctl/x509/$1.crt"
	pki_run --signcrl --cacert "$PKI/ca.crt" --cakey "$PKI/ca.key" --lifetime 5 $revoked >"$PKI/crl" ||
		bad "no revocation list can be made"
	for host in "$RUN"/*/swanctl; do cp "$PKI/crl" "$host/x509crl/lab.crl"; done
}
