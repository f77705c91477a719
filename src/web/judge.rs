//! From what the files have to settings that can be used as they are, or one sentence.

use std::time::Duration;

use super::digest::{Key, NoRandomness};
use super::document::{Http, RateLimit, Tls};
use super::error::WebError;
use super::files::Files;
use super::headers;
use super::rate::Rate;
use super::settings::Settings;
use super::tls;
use super::users::Users;

/// The settings that the files ask for.
pub(super) fn judge(files: &Files) -> Result<Settings, WebError> {
    let document = files.parsed()?;
    let key = Key::random().map_err(|NoRandomness| {
        WebError::of(
            files.document(),
            "cannot be used without random numbers, which the system does not give",
            "see dmesg",
        )
    })?;
    Ok(Settings {
        tls: tls::tls(document.tls_server_config.as_ref().unwrap_or(&Tls::default()), files)?,
        headers: headers::headers(document.http_server_config.as_ref().unwrap_or(&Http::default()), files)?,
        users: Users::new(document.basic_auth_users.unwrap_or_default(), key, files)?,
        rate: rate(document.rate_limit.unwrap_or_default(), files)?,
    })
}

/// `rate_limit`; none if its interval is 0.
fn rate(given: RateLimit, files: &Files) -> Result<Option<Rate>, WebError> {
    let wrong = |problem: &str, accepted: &str| Err(WebError::of(files.document(), problem, accepted));
    let interval = match given.interval.as_deref().unwrap_or("0") {
        "0" | "" => Duration::ZERO,
        text => match humantime::parse_duration(text) {
            Ok(interval) => interval,
            Err(_) => {
                return wrong(
                    "rate_limit.interval is not a duration",
                    "give a whole number with a unit, such as 1s, 1m30s or 500ms, or 0 for no limit",
                );
            }
        },
    };
    if interval.is_zero() {
        return Ok(None);
    }
    match given.burst.unwrap_or_default() {
        0 => wrong("rate_limit.burst is 0, which lets no request through", "give at least 1"),
        burst => Ok(Some(Rate::new(interval, burst))),
    }
}

#[cfg(test)]
mod tests;
