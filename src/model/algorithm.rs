// SPDX-License-Identifier: GPL-2.0-or-later
//! IKE transform numbers (IANA "Internet Key Exchange Version 2 Parameters") and the names under
//! which the kernel's crypto API knows them.
//!
//! Owns the table. Called by `backend/` when an SA is added. Must not judge whether a NIC can do an
//! algorithm: that is `offload/`.

use std::borrow::Cow;
use std::fmt;

/// `ENCR_NULL`
pub const ENCR_NULL: u16 = 11;
/// `ENCR_AES_GCM_ICV16`, RFC 4106: the one algorithm that NICs take in packet mode.
pub const ENCR_AES_GCM_ICV16: u16 = 20;
/// strongSwan's `ENCR_UNDEFINED` and `AUTH_UNDEFINED`: no algorithm.
pub const UNDEFINED: u16 = 1024;

/// Which table a number belongs to; the values are strongSwan's `transform_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// `ENCRYPTION_ALGORITHM`
    Encryption = 1,
    /// `INTEGRITY_ALGORITHM`
    Integrity = 3,
}

impl fmt::Display for AlgorithmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlgorithmKind::Encryption => "encryption",
            AlgorithmKind::Integrity => "integrity",
        })
    }
}

/// An algorithm number that neither the table nor another plugin knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm {
    /// The table.
    pub kind: AlgorithmKind,
    /// The number.
    pub number: u16,
}

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "algorithm {} ({} transform {}) not supported by kernel",
            name(self.kind, self.number),
            self.kind,
            self.number
        )
    }
}

/// What the kernel is told about the cryptography of an SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transforms {
    /// Combined mode (`XFRMA_ALG_AEAD`).
    Aead {
        /// Name in the crypto API.
        name: Cow<'static, str>,
        /// Length of the integrity check value in bits.
        icv_bits: u32,
    },
    /// Encryption and integrity apart (`XFRMA_ALG_CRYPT`, `XFRMA_ALG_AUTH_TRUNC`).
    Separate {
        /// Name of the cipher.
        crypt: Option<Cow<'static, str>>,
        /// Name of the authenticator and, if not the kernel's default, its truncation in bits.
        auth: Option<(Cow<'static, str>, Option<u32>)>,
    },
}

struct Encryption {
    number: u16,
    name: &'static str,
    kernel: &'static str,
    icv_bits: Option<u32>,
}

const fn cipher(number: u16, name: &'static str, kernel: &'static str) -> Encryption {
    Encryption {
        number,
        name,
        kernel,
        icv_bits: None,
    }
}

const fn aead(number: u16, name: &'static str, kernel: &'static str, icv_bits: u32) -> Encryption {
    Encryption {
        number,
        name,
        kernel,
        icv_bits: Some(icv_bits),
    }
}

/// `rfc4106(gcm(aes))` and its siblings are the names of net/xfrm/xfrm_algo.c. 1026 and 1027 are
/// strongSwan's numbers of private use for Serpent and Twofish.
const ENCRYPTION: &[Encryption] = &[
    cipher(2, "DES_CBC", "des"),
    cipher(3, "3DES_CBC", "des3_ede"),
    cipher(6, "CAST_CBC", "cast5"),
    cipher(7, "BLOWFISH_CBC", "blowfish"),
    cipher(ENCR_NULL, "NULL", "cipher_null"),
    cipher(12, "AES_CBC", "aes"),
    cipher(13, "AES_CTR", "rfc3686(ctr(aes))"),
    aead(14, "AES_CCM_8", "rfc4309(ccm(aes))", 64),
    aead(15, "AES_CCM_12", "rfc4309(ccm(aes))", 96),
    aead(16, "AES_CCM_16", "rfc4309(ccm(aes))", 128),
    aead(18, "AES_GCM_8", "rfc4106(gcm(aes))", 64),
    aead(19, "AES_GCM_12", "rfc4106(gcm(aes))", 96),
    aead(ENCR_AES_GCM_ICV16, "AES_GCM_16", "rfc4106(gcm(aes))", 128),
    aead(21, "NULL_AES_GMAC", "rfc4543(gcm(aes))", 128),
    cipher(23, "CAMELLIA_CBC", "cbc(camellia)"),
    aead(
        28,
        "CHACHA20_POLY1305",
        "rfc7539esp(chacha20,poly1305)",
        128,
    ),
    cipher(1026, "SERPENT_CBC", "serpent"),
    cipher(1027, "TWOFISH_CBC", "twofish"),
];

struct Integrity {
    number: u16,
    name: &'static str,
    kernel: &'static str,
    truncation: Option<u32>,
}

const fn auth(
    number: u16,
    name: &'static str,
    kernel: &'static str,
    truncation: Option<u32>,
) -> Integrity {
    Integrity {
        number,
        name,
        kernel,
        truncation,
    }
}

/// The truncation is named where the kernel's default for the digest is another. 1026 to 1029
/// are strongSwan's numbers of private use.
const INTEGRITY: &[Integrity] = &[
    auth(1, "HMAC_MD5_96", "md5", None),
    auth(2, "HMAC_SHA1_96", "sha1", None),
    auth(5, "AES_XCBC_96", "xcbc(aes)", None),
    auth(6, "HMAC_MD5_128", "hmac(md5)", Some(128)),
    auth(7, "HMAC_SHA1_160", "hmac(sha1)", Some(160)),
    auth(8, "AES_CMAC_96", "cmac(aes)", None),
    auth(12, "HMAC_SHA2_256_128", "hmac(sha256)", Some(128)),
    auth(13, "HMAC_SHA2_384_192", "hmac(sha384)", None),
    auth(14, "HMAC_SHA2_512_256", "hmac(sha512)", Some(256)),
    auth(1026, "HMAC_SHA2_256_96", "sha256", None),
    auth(1027, "HMAC_SHA2_256_256", "hmac(sha256)", Some(256)),
    auth(1028, "HMAC_SHA2_384_384", "hmac(sha384)", Some(384)),
    auth(1029, "HMAC_SHA2_512_512", "hmac(sha512)", Some(512)),
];

/// The usual name of an algorithm number, or the number itself.
pub fn name(kind: AlgorithmKind, number: u16) -> Cow<'static, str> {
    let known = match kind {
        AlgorithmKind::Encryption => ENCRYPTION
            .iter()
            .find(|entry| entry.number == number)
            .map(|entry| entry.name),
        AlgorithmKind::Integrity => INTEGRITY
            .iter()
            .find(|entry| entry.number == number)
            .map(|entry| entry.name),
    };
    known.map_or_else(|| Cow::Owned(number.to_string()), Cow::Borrowed)
}

/// Finds the kernel's names. `registered` is asked for what the table does not have: algorithms
/// that another plugin registered with charon.
pub fn resolve(
    encryption: u16,
    integrity: u16,
    registered: impl Fn(AlgorithmKind, u16) -> Option<String>,
) -> Result<Transforms, UnknownAlgorithm> {
    let unknown = |kind, number| UnknownAlgorithm { kind, number };
    let crypt = match encryption {
        UNDEFINED | 0 => None,
        number => match ENCRYPTION.iter().find(|entry| entry.number == number) {
            Some(entry) => {
                if let Some(icv_bits) = entry.icv_bits {
                    return Ok(Transforms::Aead {
                        name: entry.kernel.into(),
                        icv_bits,
                    });
                }
                Some(Cow::Borrowed(entry.kernel))
            }
            None => Some(Cow::Owned(
                registered(AlgorithmKind::Encryption, number)
                    .ok_or(unknown(AlgorithmKind::Encryption, number))?,
            )),
        },
    };
    let auth = match integrity {
        UNDEFINED | 0 => None,
        number => match INTEGRITY.iter().find(|entry| entry.number == number) {
            Some(entry) => Some((Cow::Borrowed(entry.kernel), entry.truncation)),
            None => Some((
                Cow::Owned(
                    registered(AlgorithmKind::Integrity, number)
                        .ok_or(unknown(AlgorithmKind::Integrity, number))?,
                ),
                None,
            )),
        },
    };
    Ok(Transforms::Separate { crypt, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(_: AlgorithmKind, _: u16) -> Option<String> {
        None
    }

    #[test]
    fn combined_modes_need_no_integrity() {
        assert_eq!(
            resolve(20, UNDEFINED, nobody),
            Ok(Transforms::Aead {
                name: "rfc4106(gcm(aes))".into(),
                icv_bits: 128
            })
        );
    }

    #[test]
    fn separate_algorithms_carry_their_truncation() {
        assert_eq!(
            resolve(12, 12, nobody),
            Ok(Transforms::Separate {
                crypt: Some("aes".into()),
                auth: Some(("hmac(sha256)".into(), Some(128)))
            })
        );
    }

    #[test]
    fn what_nobody_knows_is_named() {
        let error = resolve(4711, 12, nobody).unwrap_err();
        assert_eq!(
            error.to_string(),
            "algorithm 4711 (encryption transform 4711) not supported by kernel"
        );
    }

    #[test]
    fn other_plugins_may_register_algorithms() {
        let registered = |kind, number| {
            (kind == AlgorithmKind::Encryption && number == 4711).then(|| "cbc(x)".to_owned())
        };
        assert_eq!(
            resolve(4711, UNDEFINED, registered),
            Ok(Transforms::Separate {
                crypt: Some("cbc(x)".into()),
                auth: None
            })
        );
    }
}
