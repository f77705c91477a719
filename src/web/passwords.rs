//! Compares passwords with their hashes, which takes long on purpose: on another thread, few at once, and once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::admission::{Admission, Refusal};
use super::limits::{CHECK_TIME, CHECKS, CHECKS_WAITING, LONGEST_REST};
use super::settings::Settings;

/// The comparisons that run and wait.
#[derive(Debug)]
pub(super) struct Checks {
    /// Room for those that run and those that wait.
    places: Arc<Semaphore>,
    /// Those that run.
    turns: Arc<Semaphore>,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(CHECKS + CHECKS_WAITING)), turns: Arc::new(Semaphore::new(CHECKS)) }
    }

    /// Whether this is the user's password. A comparison that takes too long for this request goes on for the next one.
    pub(super) async fn check(&self, settings: &Arc<Settings>, user: &[u8], password: &[u8]) -> Admission {
        let pair = settings.users.digest(user, password);
        if settings.users.knows(&pair) {
            return Ok(());
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let (answer, answered) = oneshot::channel();
        let work = Work { settings: Arc::clone(settings), user: user.to_vec(), password: password.to_vec(), place };
        drop(tokio::spawn(work.run(Arc::clone(&self.turns), answer)));
        match timeout(CHECK_TIME, answered).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Refusal::WrongPassword),
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }
}

/// One comparison.
struct Work {
    settings: Arc<Settings>,
    user: Vec<u8>,
    password: Vec<u8>,
    place: OwnedSemaphorePermit,
}

impl Work {
    async fn run(self, turns: Arc<Semaphore>, answer: oneshot::Sender<bool>) {
        let Ok(_turn) = turns.acquire_owned().await else { return };
        // Whoever has gone while waiting costs nothing.
        if answer.is_closed() {
            return;
        }
        let Self { settings, user, password, place } = self;
        let began = Instant::now();
        let compared = tokio::task::spawn_blocking(move || {
            let users = &settings.users;
            let right = users.compared(&user).is_some_and(|compared| {
                // The comparison comes first: a name that nobody has takes as long.
                bcrypt::verify(&password, compared.hash).unwrap_or(false) && compared.of_user
            });
            if right {
                users.note(users.digest(&user, &password));
            }
            right
        });
        let right = compared.await.unwrap_or(false);
        // Nobody may be left who wants to know.
        let _ = answer.send(right);
        drop(place);
        if !right {
            sleep(began.elapsed().min(LONGEST_REST)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::settings;
    use super::*;

    /// The lowest cost, so that comparing takes about a millisecond.
    fn users() -> Arc<Settings> {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
        settings(&format!("basic_auth_users:\n  alice: {}\n  bob: {}\n", hash("right"), hash("other")))
    }

    #[tokio::test]
    async fn a_right_password_is_compared_once_and_a_wrong_one_each_time() {
        let (settings, checks) = (users(), Checks::new());
        assert_eq!(checks.check(&settings, b"alice", b"right").await, Ok(()));
        for (user, password) in
            [(&b"alice"[..], &b"other"[..]), (b"bob", b"right"), (b"nobody", b"right"), (b"", b""), (b"\xff", b"\xff")]
        {
            assert_eq!(checks.check(&settings, user, password).await, Err(Refusal::WrongPassword));
        }
        // With no turn left, nothing can be compared.
        let _turns = checks.turns.acquire_many(u32::try_from(CHECKS).unwrap()).await.unwrap();
        assert_eq!(checks.check(&settings, b"alice", b"right").await, Ok(()));
        // Another reading of the same file knows nothing yet.
        assert!(!users().users.knows(&settings.users.digest(b"alice", b"right")));
    }

    #[tokio::test(start_paused = true)]
    async fn those_beyond_the_waiting_ones_are_refused_at_once_and_those_who_wait_in_time() {
        let (settings, checks) = (users(), Arc::new(Checks::new()));
        let turns = Arc::clone(&checks.turns).acquire_many_owned(u32::try_from(CHECKS).unwrap()).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..CHECKS + CHECKS_WAITING {
            let (settings, checks) = (Arc::clone(&settings), Arc::clone(&checks));
            waiting.push(tokio::spawn(async move { checks.check(&settings, b"alice", b"right").await }));
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        assert_eq!(checks.check(&settings, b"bob", b"other").await, Err(Refusal::Busy));
        assert_eq!(began.elapsed(), Duration::ZERO);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Err(Refusal::Busy));
        }
        assert_eq!(began.elapsed().as_secs(), CHECK_TIME.as_secs());
        drop(turns);
        // They have gone, and are not compared: the places come back.
        while checks.places.available_permits() < CHECKS + CHECKS_WAITING {
            tokio::task::yield_now().await;
        }
        assert!(!settings.users.knows(&settings.users.digest(b"alice", b"right")));
        assert_eq!(checks.check(&settings, b"bob", b"other").await, Ok(()));
    }

    /// The test's runtime has one thread: whatever compared there would be done before the time is up.
    #[tokio::test]
    async fn others_get_their_turn_while_a_password_is_compared() {
        let settings = settings(&format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("right", 9).unwrap()));
        let checks = Checks::new();
        let mut check = std::pin::pin!(checks.check(&settings, b"alice", b"right"));
        for _ in 0..5 {
            tokio::select! {
                biased;
                checked = &mut check => panic!("{checked:?} within milliseconds"),
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
        assert_eq!(check.await, Ok(()));
    }

    #[test]
    fn a_name_that_nobody_has_is_compared_with_the_same_hash_each_time() {
        let settings = users();
        for name in ["", "mallory", "root", "Alice"] {
            let compared = settings.users.compared(name.as_bytes()).unwrap();
            assert!(!compared.of_user, "{name}");
            assert_eq!(settings.users.compared(name.as_bytes()).unwrap().hash, compared.hash);
        }
        assert!(settings.users.compared(b"alice").unwrap().of_user);
    }
}
