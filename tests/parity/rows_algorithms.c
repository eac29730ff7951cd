/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of algorithms: each is given to the kernel for an SA in both directions.
 */

#include "parity.h"

typedef struct {
	uint16_t enc;
	size_t enc_len;
	uint16_t integ;
	size_t int_len;
	uint8_t proto;
} suite_t;

static void suite(const void *arg)
{
	const suite_t *suite = arg;
	test_sa_t *sa;
	int in;

	for (in = 1; in >= 0; in--)
	{
		sa = sa_create(in);
		sa->id.proto = suite->proto ?: IPPROTO_ESP;
		sa_crypto(sa, suite->enc, suite->enc_len, suite->integ, suite->int_len);
		sa_add(sa);
	}
	state("added");
}

#define ROW(n, ...) { .name = "algorithm/" n, .run = suite, \
					  .arg = &(const suite_t){ __VA_ARGS__ } }

/* lengths in bytes, with the salt or nonce that IKE derives along with it */
#define CIPHER(n, enc, len) ROW(n, enc, len, AUTH_HMAC_SHA1_96, 20)
#define AEAD(n, enc, len)   ROW(n, enc, len, AUTH_UNDEFINED, 0)
#define MAC(n, integ, len)  ROW("esp-" n, ENCR_AES_CBC, 16, integ, len), \
							ROW("ah-" n, ENCR_UNDEFINED, 0, integ, len, \
								IPPROTO_AH)

const row_t rows_algorithms[] = {
	CIPHER("des", ENCR_DES, 8),
	CIPHER("3des", ENCR_3DES, 24),
	CIPHER("cast128", ENCR_CAST, 16),
	CIPHER("blowfish-128", ENCR_BLOWFISH, 16),
	CIPHER("blowfish-256", ENCR_BLOWFISH, 32),
	CIPHER("null", ENCR_NULL, 0),
	CIPHER("aes-cbc-128", ENCR_AES_CBC, 16),
	CIPHER("aes-cbc-192", ENCR_AES_CBC, 24),
	CIPHER("aes-cbc-256", ENCR_AES_CBC, 32),
	CIPHER("aes-ctr-128", ENCR_AES_CTR, 20),
	CIPHER("aes-ctr-256", ENCR_AES_CTR, 36),
	CIPHER("camellia-cbc-128", ENCR_CAMELLIA_CBC, 16),
	CIPHER("camellia-cbc-256", ENCR_CAMELLIA_CBC, 32),
	CIPHER("serpent-cbc-256", ENCR_SERPENT_CBC, 32),
	CIPHER("twofish-cbc-256", ENCR_TWOFISH_CBC, 32),
	AEAD("aes-ccm-8", ENCR_AES_CCM_ICV8, 19),
	AEAD("aes-ccm-12", ENCR_AES_CCM_ICV12, 19),
	AEAD("aes-ccm-16", ENCR_AES_CCM_ICV16, 19),
	AEAD("aes-ccm-16-256", ENCR_AES_CCM_ICV16, 35),
	AEAD("aes-gcm-8", ENCR_AES_GCM_ICV8, 20),
	AEAD("aes-gcm-12", ENCR_AES_GCM_ICV12, 20),
	AEAD("aes-gcm-16", ENCR_AES_GCM_ICV16, 20),
	AEAD("aes-gcm-16-192", ENCR_AES_GCM_ICV16, 28),
	AEAD("aes-gcm-16-256", ENCR_AES_GCM_ICV16, 36),
	AEAD("aes-gmac", ENCR_NULL_AUTH_AES_GMAC, 20),
	AEAD("chacha20-poly1305", ENCR_CHACHA20_POLY1305, 36),
	MAC("md5-96", AUTH_HMAC_MD5_96, 16),
	MAC("md5-128", AUTH_HMAC_MD5_128, 16),
	MAC("sha1-96", AUTH_HMAC_SHA1_96, 20),
	MAC("sha1-160", AUTH_HMAC_SHA1_160, 20),
	MAC("sha256-96", AUTH_HMAC_SHA2_256_96, 32),
	MAC("sha256-128", AUTH_HMAC_SHA2_256_128, 32),
	MAC("sha256-256", AUTH_HMAC_SHA2_256_256, 32),
	MAC("sha384-192", AUTH_HMAC_SHA2_384_192, 48),
	MAC("sha384-384", AUTH_HMAC_SHA2_384_384, 48),
	MAC("sha512-256", AUTH_HMAC_SHA2_512_256, 64),
	MAC("sha512-512", AUTH_HMAC_SHA2_512_512, 64),
	MAC("aes-xcbc-96", AUTH_AES_XCBC_96, 16),
	MAC("aes-cmac-96", AUTH_AES_CMAC_96, 16),
	{},
};
