//! Passwords and their hashes: Argon2id, in the text form of the PHC. Slow on purpose: some 15 ms of CPU and 19 MiB.

use argon2::password_hash::{Output, PasswordHash, PasswordHasher, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The longest password, in bytes.
pub(super) const MAX_PASSWORD: usize = 256;

/// The most memory and passes that a hash may ask for: a hash from elsewhere must not stop the daemon.
const MAX_MEMORY_KIB: u32 = 256 << 10;
const MAX_PASSES: u32 = 16;

/// The hash of a password, with a salt of its own.
///
/// # Errors
/// If it is empty, longer than 256 bytes, or cannot stand in a line: printable ASCII without blanks.
pub fn hash(password: &str) -> Result<String, String> {
    if password.is_empty() || password.len() > MAX_PASSWORD || !password.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "a password is 1 to {MAX_PASSWORD} printable ASCII characters without blanks"
        ));
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| error.to_string())?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

/// Whether this is a hash that can be checked, at a bounded cost.
pub(super) fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| {
        let within = |name: &str, most| hash.params.get_decimal(name).is_some_and(|value| value <= most);
        hash.algorithm.as_str() == "argon2id"
            && hash.hash.is_some()
            && within("m", MAX_MEMORY_KIB)
            && within("t", MAX_PASSES)
            && within("p", 4)
    })
}

/// The memory of a check, kept for the next one: to map, fault in and unmap 19 MiB for each makes the other threads of
/// the process wait, for they share its page tables.
#[derive(Debug, Default)]
pub(super) struct Scratch(Vec<Block>);

impl Scratch {
    /// Whether the password has this hash.
    pub(super) fn is_right(&mut self, password: &str, hash: &str) -> bool {
        PasswordHash::new(hash).is_ok_and(|hash| {
            let expected = hash.hash;
            // Compared in constant time.
            expected.is_some() && self.computed(password, &hash) == expected
        })
    }

    /// The hash of the password with the salt and the parameters of this one.
    fn computed(&mut self, password: &str, hash: &PasswordHash<'_>) -> Option<Output> {
        let algorithm = Algorithm::try_from(hash.algorithm).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(hash).ok()?;
        let mut salt = [0; Salt::MAX_LENGTH];
        let salt = hash.salt?.decode_b64(&mut salt).ok()?;
        self.0.resize(params.block_count(), Block::default());
        let argon2 = Argon2::new(algorithm, version, params);
        Output::init_with(hash.hash?.len(), |out| {
            Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.0)?)
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test vector of the reference implementation (phc-winner-argon2, src/test.c).
    const OF_PASSWORD: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_of_the_reference_implementation_is_checked() {
        assert!(is_hash(OF_PASSWORD));
        let mut scratch = Scratch::default();
        for _ in 0..2 {
            assert!(scratch.is_right("password", OF_PASSWORD));
            assert!(!scratch.is_right("differentpassword", OF_PASSWORD));
        }
    }

    #[test]
    fn a_password_has_its_hash_and_no_other() {
        let hashed = hash("correct-horse").expect("it is a password");
        assert!(is_hash(&hashed) && hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        // Whatever the memory was used for before, and however much of it.
        let mut scratch = Scratch::default();
        assert!(scratch.is_right("password", OF_PASSWORD));
        assert!(scratch.is_right("correct-horse", &hashed));
        assert!(!scratch.is_right("correct-hors", &hashed));
        assert!(scratch.is_right("password", OF_PASSWORD));
        assert_ne!(hash("correct-horse"), Ok(hashed), "the salt is another");
        for bad in ["", "a b", "ü", &"x".repeat(MAX_PASSWORD + 1)] {
            assert!(hash(bad).is_err());
        }
    }

    #[test]
    fn a_hash_that_would_take_a_minute_or_a_gigabyte_is_none() {
        for text in [
            "",
            "secret",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
            "$argon2id$v=19$m=65536,t=1000,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo",
        ] {
            assert!(!is_hash(text), "{text}");
        }
    }
}
