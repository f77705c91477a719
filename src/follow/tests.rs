//! Files in a folder, in the ways in which they are replaced. Time is paused; reading is real.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, mknodat};
use tempfile::TempDir;

use super::*;
use crate::heartbeat::Heartbeats;

/// The most that is read here.
const LIMIT: u64 = 1_024;

fn sources(paths: &[&Path]) -> Vec<Source> {
    paths.iter().map(|path| Source { path: path.to_path_buf(), limit: LIMIT }).collect()
}

fn follower(paths: &[&Path]) -> Follower<Contents> {
    let files = sources(paths);
    Follower::new(read(&files), move || read(&files))
}

fn held(text: &str) -> Result<Vec<u8>, Unreadable> {
    Ok(text.as_bytes().to_vec())
}

/// What is given out within this time; `None` if nothing is.
async fn within(follower: &mut Follower<Contents>, time: Duration) -> Option<Contents> {
    tokio::time::timeout(time, follower.changed(&Pulse::default())).await.ok().map(|read| read.expect("in time"))
}

/// Long enough for every change to be seen and to settle, and no multiple of the period: what is read at its very end would
/// be what is given out first later on.
const LONG: Duration = Duration::from_secs(55);

#[tokio::test(start_paused = true)]
async fn what_changed_is_given_out_once_together_with_what_did_not() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, "1").unwrap();
    fs::write(&two, "2").unwrap();
    let mut follower = follower(&[&one, &two]);
    assert_eq!(within(&mut follower, LONG).await, None, "nothing has changed");
    fs::write(&two, "3").unwrap();
    let began = Instant::now();
    let contents = within(&mut follower, LONG).await.expect("it changed");
    assert_eq!(*contents, [held("1"), held("3")]);
    assert_eq!(began.elapsed(), PERIOD + SETTLED);
    assert_eq!(within(&mut follower, LONG).await, None, "it has been given out");
}

/// As the kubelet replaces a Secret: a new folder, and a link that is renamed over the old one.
#[tokio::test(start_paused = true)]
async fn a_link_that_leads_elsewhere_is_followed() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "old"), ("..2", "new")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("key"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/key", at("key")).unwrap();
    let mut follower = follower(&[&at("key")]);
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    assert_eq!(*within(&mut follower, LONG).await.expect("it changed"), [held("new")]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "old").unwrap();
    let mut follower = follower(&[&path]);
    let writer = async {
        for length in 1..=40 {
            fs::write(&path, "n".repeat(length)).unwrap();
            tokio::time::sleep(SETTLED / 2).await;
        }
    };
    let (contents, ()) = tokio::join!(within(&mut follower, LONG), writer);
    assert_eq!(*contents.expect("it changed"), [held(&"n".repeat(40))], "and not a part of it");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_taken_back_at_once_is_none() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "old").unwrap();
    let mut follower = follower(&[&path]);
    fs::write(&path, "new").unwrap();
    let back = async {
        tokio::time::sleep(PERIOD + SETTLED / 2).await;
        fs::write(&path, "old").unwrap();
    };
    let (contents, ()) = tokio::join!(within(&mut follower, LONG), back);
    assert_eq!(contents, None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_away_and_comes_back_is_given_out_both_times() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "old").unwrap();
    let mut follower = follower(&[&path]);
    fs::remove_file(&path).unwrap();
    let gone = within(&mut follower, LONG).await.expect("it went");
    assert!(matches!(&gone[0], Err(Unreadable::Refused(why)) if why.contains("No such file")), "{gone:?}");
    fs::write(&path, "old").unwrap();
    assert_eq!(*within(&mut follower, LONG).await.expect("it is back"), [held("old")]);
}

#[test]
fn what_is_no_file_or_too_large_is_not_read() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::write(at("most"), "x".repeat(1_024)).unwrap();
    fs::write(at("more"), "x".repeat(1_025)).unwrap();
    let contents = read(&sources(&[folder.path(), &at("pipe"), &at("most"), &at("more"), &at("none")]));
    assert_eq!(contents[0], Err(Unreadable::NoFile));
    assert_eq!(contents[1], Err(Unreadable::NoFile), "and nobody waits for the writer of a pipe");
    assert!(contents[2].is_ok());
    assert_eq!(contents[3], Err(Unreadable::TooLarge(LIMIT)));
    assert!(contents[4].as_ref().unwrap_err().to_string().contains("No such file"), "{contents:?}");
}

/// A network file system whose server has gone: one thread waits for it, and the task goes on.
#[tokio::test(start_paused = true)]
async fn reading_that_does_not_end_is_told_and_occupies_one_thread() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "old").unwrap();
    let mut follower = follower(&[&path]);
    let (end, never) = tokio::sync::oneshot::channel::<Contents>();
    // In place of a blocking thread.
    follower.reading = Some(tokio::spawn(async move { never.await.unwrap() }));
    let told = tokio::time::timeout(LONG, follower.changed(&Pulse::default())).await.expect("it is told");
    assert_eq!(told, Err(Unreadable::TooSlow));
    assert!(follower.reading.is_some(), "no second one has begun");
    end.send(Arc::new([held("old")])).unwrap();
    assert_eq!(*within(&mut follower, LONG).await.expect("it is told"), [held("old")]);
}

#[tokio::test(start_paused = true)]
async fn following_does_not_stop_the_heartbeat() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "old").unwrap();
    let mut follower = follower(&[&path]);
    let heartbeats = Heartbeats::new();
    let pulse = heartbeats.part("follower");
    let follows = tokio::spawn(pulse.clone().over(async move { follower.changed(&pulse).await }));
    for _ in 0..600 {
        tokio::time::sleep(SETTLED).await;
        assert_eq!(heartbeats.still(), []);
    }
    follows.abort();
}
