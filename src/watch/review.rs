//! Reviews of bearer tokens: whose a token is, and whether its owner may read `/metrics`.
//!
//! Two requests of the API server, TokenReview and SubjectAccessReview, each with the one right to create it. Neither
//! stores anything there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::connect::ApiServer;
use super::fault::{FaultKind, reason_of};

/// How long both requests together may take. A client waits for its page meanwhile, and an API server answers within
/// milliseconds.
const REVIEW_TIME: Duration = Duration::from_secs(4);

/// What a token's owner must have the right to `get`.
const URL: &str = "/metrics";

/// The verb of that right.
const VERB: &str = "get";

/// What to do where the agent may not create them.
pub(super) const BIND_TO_REVIEW: &str = "bind the agent's service account to a ClusterRole with the verb create for tokenreviews of authentication.k8s.io \
     and for subjectaccessreviews of authorization.k8s.io";

/// What a review of a token found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOwner {
    /// Somebody who may read `/metrics`.
    Allowed,
    /// Somebody who may not.
    Denied,
    /// Nobody: the token is invalid or has expired.
    Nobody,
}

/// The API server gave no verdict. The log says why, once for each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Kubernetes API gave no verdict")]
pub struct NoVerdict;

/// Reviews tokens. Clones share what the log was told.
#[derive(Clone)]
pub struct Reviewer {
    client: Client,
    server: Arc<str>,
    /// The kind of failure that the log was told of; `None` while reviews succeed.
    told: Arc<Mutex<Option<FaultKind>>>,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reviewer").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Reviewer {
    /// Asks this API server, with the agent's own credentials.
    #[must_use]
    pub fn new(server: &ApiServer) -> Self {
        Self { client: server.client.clone(), server: Arc::clone(&server.url), told: Arc::default() }
    }

    /// Whether this token's owner may read `/metrics`.
    ///
    /// # Errors
    ///
    /// When the API server does not answer in time, or may not be asked.
    pub async fn review(&self, token: String) -> Result<TokenOwner, NoVerdict> {
        let fault = match timeout(REVIEW_TIME, self.ask(token)).await {
            Ok(Ok(owner)) => {
                self.tell(None);
                return Ok(owner);
            }
            Ok(Err((attempted, error))) => {
                let (kind, reason) = reason_of(&error);
                (kind, format!("{attempted}: {reason}"))
            }
            Err(_) => (FaultKind::Unreachable, format!("no answer within {} s", REVIEW_TIME.as_secs())),
        };
        self.tell(Some(fault));
        Err(NoVerdict)
    }

    async fn ask(&self, token: String) -> Result<TokenOwner, (&'static str, kube::Error)> {
        let spec = TokenReviewSpec { token, audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let reviewed = reviews.create(&PostParams::default(), &review).await;
        let status = reviewed.map_err(|error| ("TokenReview", error))?.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(TokenOwner::Nobody);
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let reviewed = reviews.create(&PostParams::default(), &access_of(user)).await;
        let allowed =
            reviewed.map_err(|error| ("SubjectAccessReview", error))?.status.is_some_and(|status| status.allowed);
        Ok(if allowed { TokenOwner::Allowed } else { TokenOwner::Denied })
    }

    /// Logs a state when it is another one than before.
    fn tell(&self, fault: Option<(FaultKind, String)>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = fault.as_ref().map(|(kind, _)| *kind);
        if *told == kind {
            return;
        }
        *told = kind;
        drop(told);
        match fault {
            Some((kind, reason)) => tracing::warn!(
                server = %self.server, reason,
                "bearer tokens cannot be reviewed, and clients with new ones are told to come back: {}", advice(kind)
            ),
            None => tracing::info!(server = %self.server, "bearer tokens are reviewed again"),
        }
    }
}

/// The question whether this user may.
fn access_of(user: UserInfo) -> SubjectAccessReview {
    let UserInfo { extra, groups, uid, username } = user;
    let asked = NonResourceAttributes { path: Some(URL.to_owned()), verb: Some(VERB.to_owned()) };
    let spec = SubjectAccessReviewSpec {
        extra,
        groups,
        uid,
        user: username,
        non_resource_attributes: Some(asked),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

/// What the operator can do.
const fn advice(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Forbidden => BIND_TO_REVIEW,
        _ => kind.advice(),
    }
}
