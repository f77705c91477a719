use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::location::decode;
use super::preflight::{REMOTE_PROC_AUTH_LIST, REMOTE_PROGRAM, preflight};
use super::*;

fn local(uri: &str) -> Vec<PathBuf> {
    match Location::of(uri, Some(Path::new("/run/user/7"))) {
        Location::Local(paths) => paths,
        Location::Elsewhere => Vec::new(),
    }
}

#[test]
fn finds_the_socket_where_libvirt_does() {
    for (uri, expected) in [
        ("qemu:///system", "/run/libvirt/libvirt-sock-ro"),
        ("qemu+unix:///system", "/run/libvirt/virtqemud-sock-ro"),
        ("qemu:///session", "/run/user/7/libvirt/libvirt-sock"),
        ("qemu+unix:///session?socket=/tmp/a/sock", "/tmp/a/sock"),
        ("qemu:///system?keyfile=x&socket=/tmp/a%20b", "/tmp/a b"),
        ("qemu+unix:///session?socket=/proc/self/fd/7", "/proc/self/fd/7"),
    ] {
        assert!(local(uri).iter().any(|path| path == Path::new(expected)), "{uri}: {:?}", local(uri));
    }
}

#[test]
fn what_is_elsewhere_is_not_looked_at() {
    for uri in ["test:///default", "qemu+ssh://host/system", "qemu+tls:///system", "qemu://host/system", "", "a:b", "%"]
    {
        assert_eq!(Location::of(uri, None), Location::Elsewhere, "{uri}");
    }
    assert_eq!(Location::of("qemu:///session", None), Location::Elsewhere);
}

#[test]
fn odd_percent_signs_stay() {
    for (text, expected) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("a%2Fb", "a/b"), ("%é", "%é")] {
        assert_eq!(decode(text), expected);
    }
}

/// A socket in a directory of its own whose one client is treated by `serve`.
async fn with_server<F>(serve: impl FnOnce(UnixStream) -> F + Send + 'static) -> Result<(), SocketError>
where
    F: Future<Output = ()> + Send,
{
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    let result = preflight(&path, &path).await;
    server.abort();
    result
}

async fn answer(mut stream: UnixStream, words: &[u32]) {
    let mut call = [0; 28];
    stream.read_exact(&mut call).await.unwrap();
    for word in words {
        stream.write_u32(*word).await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_that_answers_is_told_from_everything_else() {
    let good = with_server(|stream| async move {
        answer(stream, &[36, REMOTE_PROGRAM, 1, REMOTE_PROC_AUTH_LIST, 1, 0, 0, 1, 0]).await;
    });
    assert!(good.await.is_ok());
    let stranger = with_server(|stream| async move { answer(stream, &[0x4854_5450; 9]).await });
    assert!(matches!(stranger.await, Err(SocketError::Stranger { .. })));
    let hung_up = with_server(|stream| async move { drop(stream) });
    assert!(matches!(hung_up.await, Err(SocketError::HungUp { .. })));
    let missing = Path::new("/nonexistent/libvirt-sock");
    let missing = preflight(missing, missing).await;
    assert!(matches!(missing, Err(SocketError::Connect { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_mute_daemon_is_given_up_after_the_deadline() {
    let before = tokio::time::Instant::now();
    let mute = with_server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    assert!(matches!(mute.await, Err(SocketError::Mute { .. })));
    assert_eq!(before.elapsed().as_secs(), PREFLIGHT_DEADLINE.as_secs());
}

#[test]
fn however_a_daemon_hangs_up_it_is_the_same_reason() {
    let sentence =
        |kind: std::io::ErrorKind| SocketError::HungUp { path: "/sock".into(), cause: kind.into() }.to_string();
    assert_eq!(sentence(std::io::ErrorKind::BrokenPipe), sentence(std::io::ErrorKind::ConnectionReset));
}
