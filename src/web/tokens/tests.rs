use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::time::{Instant, advance};

use super::*;

/// Reviews by what a token begins with, and counts.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    running: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Fake {
    fn tokens() -> (Arc<Self>, Arc<Tokens>) {
        let fake = Arc::new(Self::default());
        let tokens = Tokens::new(Arc::clone(&fake) as Arc<dyn Review>).unwrap();
        (fake, Arc::new(tokens))
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

impl Review for Fake {
    fn review(&self, token: String) -> Reviewing {
        self.asked.lock().unwrap().push(token.clone());
        let running = Arc::clone(&self.running);
        self.most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
        Box::pin(async move {
            if token.starts_with("mute") {
                std::future::pending::<()>().await;
            }
            if token.starts_with("slow") {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            running.fetch_sub(1, SeqCst);
            match token.split('-').nth(1) {
                Some("good") => Ok(Verdict::Allowed),
                Some("denied") => Ok(Verdict::Denied),
                Some("away") => Err(NoAnswer),
                _ => Ok(Verdict::Unknown),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_holds_for_a_minute_if_it_is_good_and_for_ten_seconds_if_not() {
    let (fake, tokens) = Fake::tokens();
    for (token, expected, holds) in [
        ("a-good", Ok(()), ACCEPTED_FOR),
        ("a-denied", Err(Refusal::Forbidden), REFUSED_FOR),
        ("a-bad", Err(Refusal::UnknownToken), REFUSED_FOR),
    ] {
        assert_eq!(tokens.check(token).await, expected);
        advance(holds - Duration::from_millis(1)).await;
        assert_eq!(tokens.check(token).await, expected);
        assert_eq!(fake.asked(), 1, "{token}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(tokens.check(token).await, expected);
        assert_eq!(fake.asked(), 1, "{token}: it was reviewed again");
    }
}

#[tokio::test(start_paused = true)]
async fn while_nobody_reviews_an_unknown_token_is_neither_admitted_nor_remembered() {
    let (fake, tokens) = Fake::tokens();
    assert_eq!(tokens.check("a-away").await, Err(Refusal::NoReview));
    assert_eq!(tokens.check("a-away").await, Err(Refusal::NoReview));
    assert_eq!(fake.asked(), 2);
    let began = Instant::now();
    assert_eq!(tokens.check("mute").await, Err(Refusal::NoReview));
    assert_eq!(began.elapsed().as_secs(), REVIEW_TIME.as_secs());
}

#[tokio::test(start_paused = true)]
async fn unknown_tokens_cost_a_few_reviews_at_once_and_a_few_a_second() {
    let (fake, tokens) = Fake::tokens();
    let mut running = Vec::new();
    for number in 0..100 {
        let tokens = Arc::clone(&tokens);
        running.push(tokio::spawn(async move { tokens.check(&format!("slow-bad-{number}")).await }));
    }
    let mut busy = 0;
    for check in running {
        busy += usize::from(check.await.unwrap() == Err(Refusal::Busy));
    }
    assert_eq!((fake.asked(), busy, fake.most.load(SeqCst)), (REVIEWS, 100 - REVIEWS, REVIEWS));

    let (fake, tokens) = Fake::tokens();
    let most = usize::try_from(REVIEWS_A_SECOND).unwrap();
    for second in 0..5 {
        for number in 0..1_000 {
            let _ = tokens.check(&format!("a-bad-{second}-{number}")).await;
            advance(Duration::from_millis(1)).await;
        }
        let asked = fake.asked();
        assert!((1..=most).contains(&asked), "{asked} in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_tokens_neither_forgets_nor_holds_up_one_that_is_known() {
    let (fake, tokens) = Fake::tokens();
    assert_eq!(tokens.check("a-good").await, Ok(()));
    for round in 0..8 {
        for number in 0..1_000 {
            let _ = tokens.check(&format!("a-bad-{round}-{number}")).await;
            // Ten a second are reviewed and remembered, more than there is room for in all.
            advance(Duration::from_millis(40)).await;
        }
        // Its minute is over now and then: it is reviewed out of turn.
        assert_eq!(tokens.check("a-good").await, Ok(()));
    }
    assert!(fake.asked() > REFUSED_TOKENS);
    assert_eq!(tokens.refused.len(), REFUSED_TOKENS);
    assert_eq!(tokens.accepted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_right_was_taken_away_is_refused_after_a_minute() {
    #[derive(Default)]
    struct Once(AtomicUsize);
    impl Review for Once {
        fn review(&self, _: String) -> Reviewing {
            let verdict = if self.0.fetch_add(1, SeqCst) == 0 { Verdict::Allowed } else { Verdict::Denied };
            Box::pin(std::future::ready(Ok(verdict)))
        }
    }
    let tokens = Tokens::new(Arc::new(Once::default())).unwrap();
    assert_eq!(tokens.check("a").await, Ok(()));
    advance(ACCEPTED_FOR).await;
    assert_eq!(tokens.check("a").await, Err(Refusal::Forbidden));
    assert_eq!(tokens.accepted.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_tokens_are_remembered_than_there_is_room_for() {
    let (_, tokens) = Fake::tokens();
    for number in 0..KNOWN_TOKENS + 10 {
        assert_eq!(tokens.check(&format!("a-good-{number}")).await, Ok(()));
        advance(PACE).await;
    }
    assert_eq!(tokens.accepted.len(), KNOWN_TOKENS);
}
