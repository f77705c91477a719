//! Asks the API server whether the agent may do what it needs, before it is done: a SelfSubjectAccessReview, which every
//! account may make and which changes nothing.

use std::time::Duration;

use http::{Request, header};
use jiff::fmt::rfc2822::DateTimeParser;
use kube::client::Body;
use serde_json::{Value, json};

use super::connect::ApiServer;
use super::fault::{self, FaultKind};
use super::review::BIND_TO_REVIEW;
use crate::model::Timestamp;

/// What the watch does, and so must be allowed to.
pub const WATCHING: [Need; 2] = [vmis("list"), vmis("watch")];

/// What the reviews of bearer tokens take.
pub const REVIEWING: [Need; 2] =
    [create("authentication.k8s.io", "tokenreviews"), create("authorization.k8s.io", "subjectaccessreviews")];

const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Something that the agent does in all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// How.
    pub verb: &'static str,
    /// The group of what.
    pub group: &'static str,
    /// With what.
    pub resource: &'static str,
    /// What to do where it is denied.
    pub advice: &'static str,
}

const fn vmis(verb: &'static str) -> Need {
    Need { verb, group: "kubevirt.io", resource: "virtualmachineinstances", advice: FaultKind::Forbidden.advice() }
}

const fn create(group: &'static str, resource: &'static str) -> Need {
    Need { verb: "create", group, resource, advice: BIND_TO_REVIEW }
}

/// Whether the agent may do one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// What.
    pub need: Need,
    /// Whether it may.
    pub allowed: bool,
    /// What the API server says of it; mostly nothing, or which role allows it.
    pub reason: String,
}

/// What the API server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Each right.
    pub each: Vec<Right>,
    /// What time it is there, to the second.
    pub date: Option<Timestamp>,
}

/// Why the API server did not answer that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RightsError {
    /// The kind of failure.
    pub kind: FaultKind,
    /// In words.
    pub reason: String,
}

/// Asks for each of these rights.
///
/// # Errors
///
/// When the API server does not answer, or not with a review.
pub async fn rights(server: &ApiServer, needs: &[Need]) -> Result<Rights, RightsError> {
    let mut rights = Rights::default();
    for need in needs {
        let (right, date) = one(server, *need).await?;
        rights.each.push(right);
        rights.date = date;
    }
    Ok(rights)
}

async fn one(server: &ApiServer, need: Need) -> Result<(Right, Option<Timestamp>), RightsError> {
    let failed = |error: &kube::Error| {
        let (kind, reason) = fault::reason_of(error);
        RightsError { kind, reason }
    };
    let garbled = |reason: String| RightsError { kind: FaultKind::Garbled, reason };
    let asked = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": { "group": need.group, "resource": need.resource, "verb": need.verb }
        },
    });
    let request = Request::post(PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Body::from(asked.to_string().into_bytes()))
        .map_err(|error| garbled(error.to_string()))?;
    let response = server.client.send(request).await.map_err(|error| failed(&error))?;
    let date = response.headers().get(header::DATE).and_then(|date| timestamp(date.to_str().ok()?));
    let status = response.status();
    let body = response.into_body().collect_bytes().await.map_err(|error| failed(&error))?;
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    let says = |pointer: &str| {
        let text = answer.as_ref()?.pointer(pointer)?.as_str()?;
        Some(fault::shortened(text.to_owned()))
    };
    if !status.is_success() {
        let reason = says("/message").unwrap_or_else(|| format!("status {status}"));
        return Err(RightsError { kind: fault::of_code(status.as_u16()), reason });
    }
    let allowed = answer.as_ref().and_then(|answer| answer.pointer("/status/allowed")?.as_bool());
    let Some(allowed) = allowed else { return Err(garbled("the answer is no SelfSubjectAccessReview".to_owned())) };
    Ok((Right { need, allowed, reason: says("/status/reason").unwrap_or_default() }, date))
}

/// The moment that a Date header names.
fn timestamp(date: &str) -> Option<Timestamp> {
    let moment = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Timestamp::from_unix(Duration::from_secs(u64::try_from(moment.as_second()).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_moment_and_nonsense_is_none() {
        let at = timestamp("Thu, 01 Jan 1970 00:01:40 GMT").unwrap();
        assert_eq!(at, Timestamp::from_unix(Duration::from_secs(100)));
        for wrong in ["", "soon", "Thu, 01 Jan 1960 00:00:00 GMT"] {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
    }
}
