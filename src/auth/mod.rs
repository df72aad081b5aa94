//! Who a client is, by the name and password that it shows (RFC 7617): password files, their hashes, and what has been
//! verified of late.
//!
//! The room knows no request: it is asked whether credentials are right, and says so without holding up who asks.

mod credentials;
mod hash;
mod users;
mod verified;
mod verifier;

pub use credentials::{CREDENTIALS_MAX, Credentials, NoCredentials};
pub use hash::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_MAX_KIB, ARGON2_TAG_MIN, ARGON2_WORK_MAX_KIB, BCRYPT_COST_MAX, Exhausted, Hash,
    InvalidHash,
};
pub use users::{FILE_SIZE_MAX, InvalidLine, LINE_FAULTS_MAX, USER_LENGTH_MAX, Users, UsersError};
pub use verified::{VERIFIED_FOR, VERIFIED_MAX};
pub use verifier::{HASHES_AT_ONCE_MAX, HASHES_WAITING_MAX, PATIENCE, Verdict, Verifier};
