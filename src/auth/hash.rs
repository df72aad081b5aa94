use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bcrypt::HashParts;

/// The highest cost of a bcrypt hash. Each step doubles the work: 12 is a quarter of a second on a machine of today, and 14
/// one second.
pub const BCRYPT_COST_MAX: u32 = 14;

/// The most memory of an argon2 hash, in KiB. RFC 9106 section 4 recommends 64 MiB where 2 GiB are too much; this is four
/// times that.
pub const ARGON2_MEMORY_MAX_KIB: u32 = 256 * 1024;

/// The most work of an argon2 hash: its memory in KiB times its passes. 1 GiB takes about one second.
pub const ARGON2_WORK_MAX_KIB: u32 = 1024 * 1024;

/// The most lanes of an argon2 hash.
pub const ARGON2_LANES_MAX: u32 = 16;

/// The shortest result of an argon2 hash that is taken, in bytes: a shorter one could be met by chance (RFC 9106 section 4
/// recommends 16 or more).
pub const ARGON2_TAG_MIN: usize = 16;

/// The longest salt and result of an argon2 hash, in bytes (the limit of the PHC string format).
const ARGON2_TEXT_MAX: usize = 64;

/// A password as a file keeps it: what can be held against a password, and not be turned back into one.
#[derive(Clone)]
pub struct Hash {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Bcrypt,
    Argon2 { function: Box<Argon2<'static>>, salt: Box<[u8]>, tag: Box<[u8]> },
}

/// There was no memory to hash with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory to verify a password with")]
pub struct Exhausted;

/// Why a text is no hash that passwords are held against here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// Another kind of hash, or none.
    #[error("has a password {0}, and only bcrypt and argon2 are accepted")]
    Form(&'static str),
    /// It begins as bcrypt does, and does not go on so.
    #[error("has a bcrypt hash that is not well formed")]
    Bcrypt,
    /// Verifying it would take too long, or it is no hash at all.
    #[error("has a bcrypt hash of cost {0}, and 4 to {BCRYPT_COST_MAX} are accepted: each step doubles the time")]
    BcryptCost(u32),
    /// It begins as argon2 does, and does not go on so.
    #[error("has an argon2 hash that is not well formed")]
    Argon2,
    /// It takes too much memory.
    #[error("has an argon2 hash with m={0}, and at most {ARGON2_MEMORY_MAX_KIB} KiB of memory are accepted")]
    Argon2Memory(u32),
    /// It takes too long.
    #[error(
        "has an argon2 hash with m={memory},t={passes}, and at most {ARGON2_WORK_MAX_KIB} for both multiplied is accepted"
    )]
    Argon2Work {
        /// KiB.
        memory: u32,
        /// How often it goes over them.
        passes: u32,
    },
    /// It has too many lanes.
    #[error("has an argon2 hash with p={0}, and at most {ARGON2_LANES_MAX} lanes are accepted")]
    Argon2Lanes(u32),
    /// It is too short to prove anything.
    #[error("has an argon2 hash of {0} bytes, and at least {ARGON2_TAG_MIN} are asked for")]
    Argon2Short(usize),
}

/// How other kinds of password begin, and what they are.
const OTHERS: [(&str, &str); 9] = [
    ("{SHA}", "in SHA-1"),
    ("{SSHA}", "in salted SHA-1"),
    ("{", "in a form of LDAP"),
    ("$apr1$", "in MD5 (apr1)"),
    ("$1$", "in MD5 (crypt)"),
    ("$5$", "in SHA-256 (crypt)"),
    ("$6$", "in SHA-512 (crypt)"),
    ("$y$", "in yescrypt"),
    ("$2x$", "in bcrypt of 2x, which is broken"),
];

impl Hash {
    /// Reads a bcrypt hash (`$2a$`, `$2b$` or `$2y$`), or an argon2 hash as a PHC string.
    ///
    /// # Errors
    /// It is something else, or is not well formed, or would take too long or too much memory.
    pub fn parse(text: &str) -> Result<Self, InvalidHash> {
        let kind = if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            check_bcrypt(text)?;
            Kind::Bcrypt
        } else if text.starts_with("$argon2") {
            argon2(text)?
        } else {
            let other = OTHERS.iter().find(|(prefix, _)| text.starts_with(prefix));
            return Err(InvalidHash::Form(other.map_or("in plain text or in DES (crypt)", |(_, name)| *name)));
        };
        Ok(Self { text: text.into(), kind })
    }

    /// The hash as the file has it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is the password. It takes as long as the hash was made to take.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn verify(&self, password: &[u8]) -> Result<bool, Exhausted> {
        match &self.kind {
            // Of a password longer than 72 bytes bcrypt sees the first 72, and so did who made the hash.
            Kind::Bcrypt => Ok(bcrypt::verify(password, &self.text).unwrap_or(false)),
            Kind::Argon2 { function, salt, tag } => {
                let mut made = vec![0; tag.len()];
                match function.hash_password_into(password, salt, &mut made) {
                    Ok(()) => Ok(verify_slices_are_equal(&made, tag).is_ok()),
                    // Everything else was judged when the hash was read.
                    Err(_) => Err(Exhausted),
                }
            }
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hash")
    }
}

fn check_bcrypt(text: &str) -> Result<(), InvalidHash> {
    let parts: HashParts = text.parse().map_err(|_| InvalidHash::Bcrypt)?;
    let cost = parts.get_cost();
    if (4..=BCRYPT_COST_MAX).contains(&cost) { Ok(()) } else { Err(InvalidHash::BcryptCost(cost)) }
}

/// Reads `$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH`; without `v` it is the version before (PHC string format).
fn argon2(text: &str) -> Result<Kind, InvalidHash> {
    let malformed = || InvalidHash::Argon2;
    let mut parts = text.split('$').skip(1);
    let algorithm = parts.next().and_then(|name| Algorithm::new(name).ok()).ok_or_else(malformed)?;
    let mut part = parts.next().ok_or_else(malformed)?;
    let version = match part.strip_prefix("v=") {
        Some(number) => {
            part = parts.next().ok_or_else(malformed)?;
            match number {
                "19" => Version::V0x13,
                "16" => Version::V0x10,
                _ => return Err(InvalidHash::Argon2),
            }
        }
        None => Version::V0x10,
    };
    let mut numbers = part.split(',');
    let mut number = |key: &str| -> Result<u32, InvalidHash> {
        let value = numbers.next().and_then(|pair| pair.strip_prefix(key)).ok_or_else(malformed)?;
        let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        value.parse().ok().filter(|_| plain).ok_or_else(malformed)
    };
    let (memory, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
    let mut bytes = || {
        let text = parts.next().filter(|text| text.len() <= ARGON2_TEXT_MAX.div_ceil(3) * 4)?;
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        Some(bytes.into_boxed_slice()).filter(|bytes| bytes.len() <= ARGON2_TEXT_MAX)
    };
    let (salt, tag) = (bytes().ok_or_else(malformed)?, bytes().ok_or_else(malformed)?);
    if numbers.next().is_some() || parts.next().is_some() || salt.len() < argon2::MIN_SALT_LEN {
        return Err(InvalidHash::Argon2);
    }
    if memory > ARGON2_MEMORY_MAX_KIB {
        return Err(InvalidHash::Argon2Memory(memory));
    }
    if memory.checked_mul(passes).is_none_or(|work| work > ARGON2_WORK_MAX_KIB) {
        return Err(InvalidHash::Argon2Work { memory, passes });
    }
    if lanes > ARGON2_LANES_MAX {
        return Err(InvalidHash::Argon2Lanes(lanes));
    }
    if tag.len() < ARGON2_TAG_MIN {
        return Err(InvalidHash::Argon2Short(tag.len()));
    }
    let params = Params::new(memory, passes, lanes, Some(tag.len())).map_err(|_| InvalidHash::Argon2)?;
    Ok(Kind::Argon2 { function: Box::new(Argon2::new(algorithm, version, params)), salt, tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each is of the password `correct`: made by libxcrypt 4.4, and by the reference implementation of argon2.
    const BCRYPT: &str = "$2y$04$QEGPCtriMePEJAWU/x.4FOe584WnWo6GUUK20YzUhFa95Hn9Tx2iu";
    const ARGON2ID: &str =
        "$argon2id$v=19$m=1024,t=1,p=1$QDFvr7UGW0XRMXnLS5t6Ww$LaRkf1JTObKP9/j6LJ9e5KML7+KmQLBRCHfNjEfmpj0";
    const ARGON2I: &str =
        "$argon2i$v=19$m=512,t=2,p=4$a2P+BD4u2TCFRN2jTbYTzg$2A5WE81eQ3kyTXkk3FA956WT7I1y7QKaOI6UcUVsxnE";
    const ARGON2D: &str =
        "$argon2d$v=19$m=512,t=2,p=2$ZlAbXM1vYvLKdbr4J+WyEw$ZE7LrVsrdINt8nXHQrNFWhd2yxNl4J4mpIEzPT8SBqQ";

    #[test]
    fn a_hash_of_each_kind_is_held_against_the_right_password_and_a_wrong_one() {
        let versions = ["$2a$", "$2b$", "$2y$"].map(|version| BCRYPT.replacen("$2y$", version, 1));
        for text in versions.iter().map(String::as_str).chain([ARGON2ID, ARGON2I, ARGON2D]) {
            let hash = Hash::parse(text).unwrap_or_else(|fault| panic!("{text} {fault}"));
            assert_eq!(hash.verify(b"correct"), Ok(true), "{text}");
            for wrong in [&b""[..], b"Correct", b"correct ", b"correc", b"correct\0"] {
                assert_eq!(hash.verify(wrong), Ok(false), "{text}");
            }
        }
    }

    #[test]
    fn what_is_neither_bcrypt_nor_argon2_is_named() {
        for (text, name) in [
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "in SHA-1"),
            ("{SSHA}x", "in salted SHA-1"),
            ("{CRYPT}x", "in a form of LDAP"),
            ("$apr1$a$b", "in MD5 (apr1)"),
            ("$1$a$b", "in MD5 (crypt)"),
            ("$5$a$b", "in SHA-256 (crypt)"),
            ("$6$a$b", "in SHA-512 (crypt)"),
            ("$y$j9T$a$b", "in yescrypt"),
            ("rqXexS6ZhobKA", "in plain text or in DES (crypt)"),
            ("", "in plain text or in DES (crypt)"),
        ] {
            assert_eq!(Hash::parse(text).err(), Some(InvalidHash::Form(name)), "{text}");
        }
        let of_2x = BCRYPT.replacen("$2y$", "$2x$", 1);
        assert_eq!(Hash::parse(&of_2x).err(), Some(InvalidHash::Form("in bcrypt of 2x, which is broken")));
    }

    #[test]
    fn a_cost_up_to_the_limit_is_accepted_and_one_above_it_is_not() {
        let cost = |cost: u32| Hash::parse(&BCRYPT.replacen("$04$", &format!("${cost:02}$"), 1)).err();
        for accepted in [4, BCRYPT_COST_MAX] {
            assert_eq!(cost(accepted), None, "{accepted}");
        }
        for refused in [0, 3, BCRYPT_COST_MAX + 1, 31, 99] {
            assert_eq!(cost(refused), Some(InvalidHash::BcryptCost(refused)), "{refused}");
        }
        let costs = |memory: u32, passes: u32, lanes: u32| {
            let text = ARGON2ID.replacen("m=1024,t=1,p=1", &format!("m={memory},t={passes},p={lanes}"), 1);
            Hash::parse(&text).err()
        };
        assert_eq!(costs(ARGON2_MEMORY_MAX_KIB, 4, ARGON2_LANES_MAX), None);
        let over = ARGON2_MEMORY_MAX_KIB + 1;
        assert_eq!(costs(over, 1, 1), Some(InvalidHash::Argon2Memory(over)));
        let work = InvalidHash::Argon2Work { memory: ARGON2_MEMORY_MAX_KIB, passes: 5 };
        assert_eq!(costs(ARGON2_MEMORY_MAX_KIB, 5, 1), Some(work));
        let passes = ARGON2_WORK_MAX_KIB / 1024;
        assert_eq!(costs(1024, passes, 1), None);
        let work = |passes| Some(InvalidHash::Argon2Work { memory: 1024, passes });
        assert_eq!(costs(1024, passes + 1, 1), work(passes + 1));
        assert_eq!(costs(1024, u32::MAX, 1), work(u32::MAX));
        assert_eq!(costs(1024, 1, ARGON2_LANES_MAX + 1), Some(InvalidHash::Argon2Lanes(ARGON2_LANES_MAX + 1)));
        for none in [(7, 1, 1), (1024, 0, 1), (1024, 1, 0), (31, 1, 4)] {
            assert_eq!(costs(none.0, none.1, none.2), Some(InvalidHash::Argon2), "{none:?}");
        }
    }

    #[test]
    fn a_result_too_short_to_prove_anything_is_refused() {
        let with_tag = |bytes: usize| {
            let (front, _) = ARGON2ID.rsplit_once('$').unwrap();
            Hash::parse(&format!("{front}${}", STANDARD_NO_PAD.encode(vec![7; bytes]))).err()
        };
        assert_eq!(with_tag(ARGON2_TAG_MIN), None);
        assert_eq!(with_tag(ARGON2_TAG_MIN - 1), Some(InvalidHash::Argon2Short(ARGON2_TAG_MIN - 1)));
        assert_eq!(with_tag(ARGON2_TEXT_MAX), None);
        assert_eq!(with_tag(ARGON2_TEXT_MAX + 1), Some(InvalidHash::Argon2));
        assert_eq!(with_tag(0), Some(InvalidHash::Argon2Short(0)));
    }

    #[test]
    fn what_is_cut_off_or_changed_is_malformed() {
        for length in 5..BCRYPT.len() {
            assert_eq!(Hash::parse(&BCRYPT[..length]).err(), Some(InvalidHash::Bcrypt), "{length}");
        }
        for text in [BCRYPT.replace('.', "!"), BCRYPT.replacen("04", "xx", 1), format!("{BCRYPT}x")] {
            assert!(BCRYPT != text && Hash::parse(&text).err() == Some(InvalidHash::Bcrypt), "{text}");
        }
        let part = |from: &str, to: &str| ARGON2ID.replacen(from, to, 1);
        for text in [
            part("argon2id", "argon2x"),
            part("v=19", "v=18"),
            part("m=1024", "m=+1024"),
            part("m=1024,t=1", "t=1,m=1024"),
            part("p=1", "p=1,data=AAAA"),
            part("m=1024", "m=99999999999"),
            part("$m=", "$$m="),
            format!("{ARGON2ID}$"),
            format!("{ARGON2ID}="),
            "$argon2id".into(),
            "$argon2id$v=19$m=1024,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        ] {
            assert_eq!(Hash::parse(&text).err(), Some(InvalidHash::Argon2), "{text}");
        }
    }
}
