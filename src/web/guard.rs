//! Whether one request is admitted: the rate, then the user with a password, or the token.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::admission::{Admission, Refusal};
use super::counters::WebCounters;
use super::follow::Current;
use super::limits::{HANDSHAKE_PACE, HANDSHAKES};
use super::passwords::Checks;
use super::rate::Rate;
use super::security::Security;
use super::tokens::Tokens;

/// Guards an address by the settings that are in force.
#[derive(Debug)]
pub struct Guard {
    current: Current,
    checks: Checks,
    tokens: Option<Tokens>,
    handshakes: Rate,
    counters: Arc<WebCounters>,
}

impl Guard {
    /// A guard that obeys these settings, and demands a token if there are tokens.
    #[must_use]
    pub fn new(current: Current, tokens: Option<Tokens>, counters: Arc<WebCounters>) -> Self {
        let handshakes = Rate::new(HANDSHAKE_PACE, HANDSHAKES);
        Self { current, checks: Checks::new(), tokens, handshakes, counters }
    }

    /// Whether a request is admitted. `authorization` is the value of its one Authorization header.
    ///
    /// # Errors
    ///
    /// The reason if it is not.
    pub async fn admit(&self, authorization: Option<&[u8]>) -> Admission {
        let admission = self.judge(authorization).await;
        if let Err(refusal) = admission {
            self.counters.refuse(refusal);
        }
        admission
    }

    async fn judge(&self, authorization: Option<&[u8]>) -> Admission {
        let settings = self.current.get();
        if settings.rate.as_ref().is_some_and(|rate| !rate.take()) {
            return Err(Refusal::TooOften);
        }
        if !settings.has_users() && self.tokens.is_none() {
            return Ok(());
        }
        match (authorization.and_then(Credentials::of), &self.tokens) {
            (Some(Credentials::Password { user, password }), _) if settings.has_users() => {
                self.checks.check(&settings, &user, &password).await
            }
            (Some(Credentials::Token(token)), Some(tokens)) => tokens.check(token).await,
            _ => Err(Refusal::NoCredentials),
        }
    }

    /// What a client may authenticate with, as values of the header WWW-Authenticate.
    pub fn challenges(&self) -> impl Iterator<Item = &'static str> {
        let password = self.current.get().has_users().then_some("Basic realm=\"virt-otel\", charset=\"UTF-8\"");
        let token = self.tokens.is_some().then_some("Bearer realm=\"virt-otel\"");
        token.into_iter().chain(password)
    }

    /// The headers of every response: names and values.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        self.current.get().headers.clone()
    }

    /// How connections are secured now; `None` if they are not.
    #[must_use]
    pub fn security(&self) -> Option<Security> {
        self.current.get().tls.as_ref().map(|tls| Security::new(Arc::clone(&tls.config)))
    }

    /// Waits until another handshake may be answered. The caller limits the time.
    pub(super) async fn turn(&self) {
        while !self.handshakes.take() {
            tokio::time::sleep(HANDSHAKE_PACE).await;
        }
    }

    /// A handshake failed.
    pub fn note_failed_handshake(&self) {
        self.counters.fail_handshake();
    }
}

/// What a request brings.
enum Credentials<'a> {
    Password { user: Vec<u8>, password: Vec<u8> },
    Token(&'a str),
}

impl<'a> Credentials<'a> {
    fn of(header: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = std::str::from_utf8(header).ok()?.trim().split_once(' ')?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            let is_token = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
            return is_token.then_some(Self::Token(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let (user, password) = pair.split_at(colon);
        Some(Self::Password { user: user.to_vec(), password: password.iter().skip(1).copied().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::current;
    use super::super::tokens::{Review, Reviewing, Verdict};
    use super::*;

    struct Anyone;

    impl Review for Anyone {
        fn review(&self, token: String) -> Reviewing {
            let verdict = if token == "good" { Verdict::Allowed } else { Verdict::Unknown };
            Box::pin(std::future::ready(Ok(verdict)))
        }
    }

    fn guard(document: &str, with_tokens: bool) -> (Guard, Arc<WebCounters>) {
        let counters = Arc::new(WebCounters::new());
        let tokens = with_tokens.then(|| Tokens::new(Arc::new(Anyone)).unwrap());
        (Guard::new(current(document), tokens, Arc::clone(&counters)), counters)
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn users() -> String {
        format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("pass:word", 4).unwrap())
    }

    #[tokio::test]
    async fn without_users_and_tokens_everybody_is_admitted() {
        let (guard, _) = guard("", false);
        for authorization in [None, Some(&b"Basic nonsense"[..]), Some(b"Bearer x")] {
            assert_eq!(guard.admit(authorization).await, Ok(()));
        }
        assert_eq!(guard.challenges().count(), 0);
    }

    #[tokio::test]
    async fn a_user_is_admitted_with_the_password_alone() {
        let (guard, counters) = guard(&users(), false);
        let right = basic("alice:pass:word");
        for authorization in [right.as_str(), &right.replace("Basic", "bAsIc"), &format!("Basic   {}", &right[6..])] {
            assert_eq!(guard.admit(Some(authorization.as_bytes())).await, Ok(()), "{authorization}");
        }
        for authorization in [basic("alice:password"), basic("bob:pass:word"), basic(":")] {
            assert_eq!(guard.admit(Some(authorization.as_bytes())).await, Err(Refusal::WrongPassword));
        }
        let nothing = ["", "Basic", "Basic !", "Basic YWxpY2U=", "Bearer good", "Digest x", &right[6..]];
        for authorization in nothing.map(str::as_bytes).into_iter().chain([&b"\xff \xff"[..]]).map(Some).chain([None]) {
            assert_eq!(guard.admit(authorization).await, Err(Refusal::NoCredentials), "{authorization:?}");
        }
        assert_eq!(counters.refused(Refusal::WrongPassword), 3);
        assert_eq!(counters.refused(Refusal::NoCredentials), 9);
        assert!(guard.challenges().all(|challenge| challenge.starts_with("Basic ")));
    }

    #[tokio::test]
    async fn where_there_are_both_a_token_is_as_good_as_a_password() {
        let (guard, _) = guard(&users(), true);
        assert_eq!(guard.admit(Some(b"Bearer good")).await, Ok(()));
        assert_eq!(guard.admit(Some(basic("alice:pass:word").as_bytes())).await, Ok(()));
        assert_eq!(guard.admit(Some(b"Bearer other")).await, Err(Refusal::UnknownToken));
        for authorization in [&b"Bearer "[..], b"Bearer two words", b"Bearer \xc3\xa9"] {
            assert_eq!(guard.admit(Some(authorization)).await, Err(Refusal::NoCredentials));
        }
        assert_eq!(guard.challenges().count(), 2);
    }

    #[tokio::test]
    async fn where_there_are_tokens_alone_a_password_is_nothing() {
        let (guard, _) = guard("", true);
        assert_eq!(guard.admit(Some(basic("good:good").as_bytes())).await, Err(Refusal::NoCredentials));
        assert_eq!(guard.admit(None).await, Err(Refusal::NoCredentials));
        assert_eq!(guard.challenges().collect::<Vec<_>>(), ["Bearer realm=\"virt-otel\""]);
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_have_a_pace() {
        let (guard, _) = guard("", false);
        let began = tokio::time::Instant::now();
        for number in 0..2 * HANDSHAKES {
            guard.turn().await;
            let waited = began.elapsed();
            let least = HANDSHAKE_PACE.saturating_mul((number + 1).saturating_sub(HANDSHAKES));
            assert!(waited >= least && waited <= 2 * least, "{number}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_of_all_requests_and_comes_before_everything() {
        let (guard, counters) = guard(&format!("{}rate_limit:\n  interval: 10s\n  burst: 2\n", users()), false);
        assert_eq!(guard.admit(None).await, Err(Refusal::NoCredentials));
        assert_eq!(guard.admit(None).await, Err(Refusal::NoCredentials));
        assert_eq!(guard.admit(Some(basic("alice:pass:word").as_bytes())).await, Err(Refusal::TooOften));
        assert_eq!(counters.refused(Refusal::TooOften), 1);
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        assert_eq!(guard.admit(Some(basic("alice:pass:word").as_bytes())).await, Ok(()));
    }
}
