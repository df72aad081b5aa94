use std::sync::Arc;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use crate::auth::{Credentials, Users, Verdict, Verifier};
use crate::head::{Headers, Response};
use crate::http::{Body, Exchange, answer};
use crate::outcome::{Cause, Outcome, Party, Phase};

/// Lets requests through that show the name and the password of a user (RFC 7617).
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// Who may come in.
    pub users: Arc<Users>,
    /// Says whether credentials are right.
    pub verifier: Arc<Verifier>,
    /// The value of `WWW-Authenticate`, by which the others are asked.
    pub challenge: HeaderValue,
}

impl BasicAuth {
    /// Notes the user of a request.
    ///
    /// # Errors
    /// The answer to a request that shows none, or not the right password; or that cannot be judged now.
    pub(super) async fn admit(&self, headers: &Headers, mut exchange: Exchange) -> Result<Exchange, Response<Body>> {
        let credentials = match Credentials::of(headers) {
            Ok(credentials) => credentials,
            Err(none) => return Err(self.ask(&none.to_string(), exchange)),
        };
        match self.verifier.verify(&self.users, &credentials).await {
            Verdict::Right => {
                exchange.set_user(credentials.user());
                Ok(exchange)
            }
            // Which of both it is would tell who has an account.
            Verdict::Wrong => Err(self.ask("the user is not known, or has another password", exchange)),
            Verdict::Busy => {
                exchange.set_error("too many passwords are waiting to be verified, or there is no memory for it");
                let busy = Outcome::new(Phase::Route, Party::Proxy, Cause::AuthenticationBusy);
                Err(answer::failure(busy, exchange))
            }
        }
    }

    /// Asks the client for its name and password.
    fn ask(&self, why: &str, mut exchange: Exchange) -> Response<Body> {
        exchange.set_error(why);
        let outcome = Outcome::new(Phase::Route, Party::Client, Cause::Unauthenticated);
        let mut response = answer::failure(outcome, exchange);
        response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}
