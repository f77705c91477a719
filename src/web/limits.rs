//! What reading the document and asking for admission may cost, and why.

use std::time::Duration;

/// The most bytes of the document or of a file that it names. Kubernetes stores no larger Secret or ConfigMap.
pub const LARGEST_FILE: u64 = 1_024 * 1_024;

/// Handshakes that may be answered at once: twice as many as there is room for connections.
pub const HANDSHAKES: u32 = 64;

/// How far apart further ones are. Signing with the largest usual key (RSA, 4,096 bits) takes six milliseconds of the one
/// thread that reads and serves: strangers who connect again and again take a third of it at the most.
pub const HANDSHAKE_PACE: Duration = Duration::from_millis(20);

/// The highest cost of a password's hash. Each step doubles the time: 10 takes a twentieth of a second, 14 a second, 18
/// a quarter of a minute. The examples of exporter-toolkit go up to 18.
pub const HIGHEST_COST: u32 = 18;

/// Passwords that are compared at once: guessing keeps one core busy at the most.
pub const CHECKS: usize = 1;

/// Requests that wait until their password is compared. Further ones are refused at once, so that they give their
/// connection up to a scraper whose password is known.
pub const CHECKS_WAITING: usize = 8;

/// How long a request may wait for its password to be compared. A comparison that takes longer goes on, and what it
/// finds is known to the next request. Below the time that a request has in all.
pub const CHECK_TIME: Duration = Duration::from_secs(8);

/// The longest rest after a wrong password. Comparing rests for as long as it took, so that guessing keeps half a core
/// busy; longer than this, and a user would wait behind somebody else's mistake.
pub const LONGEST_REST: Duration = Duration::from_secs(1);

/// Pairs of user and password that are known to be right. A host has a Prometheus or two, and a few people.
pub const KNOWN_PASSWORDS: usize = 64;

/// Tokens that are known to be good: more than a cluster has scrapers.
pub const KNOWN_TOKENS: usize = 1_024;

/// How long a token that was accepted is accepted without a review. A right that was taken away ends after this time.
pub const ACCEPTED_FOR: Duration = Duration::from_secs(60);

/// How long a token that was accepted counts as one that is known, though it is reviewed again: its review does not
/// stand behind those of tokens that nobody has ever seen.
pub const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Tokens that are known to be bad, in a memory of their own: however many there are, none takes a good one's place.
pub const REFUSED_TOKENS: usize = 1_024;

/// How long a token that was refused is refused without a review: short, since whoever grants a right wants to see it
/// work.
pub const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Reviews of unknown tokens at once. Each holds a connection of a client, and two requests of the API server.
pub const REVIEWS: usize = 4;

/// Reviews of unknown tokens in a second: what a stranger can make the API server do.
pub const REVIEWS_A_SECOND: u32 = 10;

/// Reviews at once of tokens that were accepted before.
pub const REVIEWS_OF_KNOWN: usize = 4;

/// How long a review may take. A Prometheus waits ten seconds for its page.
pub const REVIEW_TIME: Duration = Duration::from_secs(5);
