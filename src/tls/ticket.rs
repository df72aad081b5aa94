use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use super::policy::{ClientAuth, PolicyError};

/// The keys under which clients hold their TLS sessions (RFC 5077, RFC 8446 section 4.6.1).
///
/// Made once per process and handed to every policy, so that a reload does not cost all clients their sessions. The keys
/// roll every 6 hours and are forgotten after 12; nothing of a session is stored in the proxy.
///
/// A session remembers that its client was authenticated, so policies that authenticate clients never share keys with
/// policies that do it differently: keys are apart for every client authentication, by mode and authorities. A client
/// certificate that expires or is withdrawn stays good for the sessions that it began, 12 hours at most.
pub struct TicketKeys {
    open: Arc<dyn ProducesTickets>,
    /// Kept alive by the policies that use them; a mutex that only assembling takes.
    authenticated: Mutex<Vec<(ClientAuth, Weak<dyn ProducesTickets>)>>,
}

impl TicketKeys {
    /// Makes fresh keys.
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn generate() -> Result<Self, PolicyError> {
        Ok(Self { open: Ticketer::new().map_err(PolicyError::Library)?, authenticated: Mutex::new(Vec::new()) })
    }

    pub(super) fn ticketer(&self, client_auth: &ClientAuth) -> Result<Arc<dyn ProducesTickets>, PolicyError> {
        match client_auth {
            ClientAuth::None => return Ok(Arc::clone(&self.open)),
            ClientAuth::Optional(_) | ClientAuth::Required(_) => {}
        }
        let mut kept = self.authenticated.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, ticketer)| ticketer.strong_count() > 0);
        let known = kept.iter().find(|(known, _)| known == client_auth).and_then(|(_, ticketer)| ticketer.upgrade());
        if let Some(ticketer) = known {
            return Ok(ticketer);
        }
        let ticketer = Ticketer::new().map_err(PolicyError::Library)?;
        kept.push((client_auth.clone(), Arc::downgrade(&ticketer)));
        Ok(ticketer)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TicketKeys")
    }
}
