use std::path::Path;

use super::*;

fn root() -> Surroundings {
    Surroundings { root: true, home: Some("/root".into()), ..Surroundings::default() }
}

fn user() -> Surroundings {
    Surroundings {
        root: false,
        home: Some("/home/ann".into()),
        runtime_dir: Some("/run/user/7".into()),
        ..Surroundings::default()
    }
}

fn address(uri: &str) -> Address {
    Address::resolve(uri, &root(), &Conf::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(uri: &str) -> String {
    Address::resolve(uri, &root(), &Conf::default()).expect_err(uri).to_string()
}

fn sockets(uri: &str, surroundings: &Surroundings) -> Vec<String> {
    match Address::resolve(uri, surroundings, &Conf::default()).unwrap().way {
        Way::Unix(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sockets_are_where_libvirts_own_client_looks() {
    for (uri, who, expected) in [
        ("qemu:///system", root(), &["/run/libvirt/virtqemud-sock-ro", "/run/libvirt/libvirt-sock-ro"][..]),
        ("qemu+unix:///system", user(), &["/run/libvirt/virtqemud-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("xen:///system", root(), &["/run/libvirt/virtxend-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("lxc:///", root(), &["/run/libvirt/virtlxcd-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("ch:///system", root(), &["/run/libvirt/virtchd-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("bhyve:///system", root(), &["/run/libvirt/virtbhyved-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("qemu:///system?mode=direct", root(), &["/run/libvirt/virtqemud-sock-ro"]),
        ("qemu:///system?mode=legacy", root(), &["/run/libvirt/libvirt-sock-ro"]),
        ("remote+unix:///", root(), &["/run/libvirt/libvirt-sock-ro"]),
        ("qemu:///session", user(), &["/run/user/7/libvirt/virtqemud-sock", "/run/user/7/libvirt/libvirt-sock"]),
        ("test+unix:///default", user(), &["/run/user/7/libvirt/virttestd-sock", "/run/user/7/libvirt/libvirt-sock"]),
        ("test+unix:///default", root(), &["/run/libvirt/virttestd-sock-ro", "/run/libvirt/libvirt-sock-ro"]),
        ("qemu+unix:///session?socket=/tmp/a%20b", root(), &["/tmp/a b"]),
        ("qemu+unix:///session?socket=/proc/self/fd/7", user(), &["/proc/self/fd/7"]),
    ] {
        assert_eq!(sockets(uri, &who), expected, "{uri}");
    }
    let without = Surroundings { runtime_dir: None, ..user() };
    assert_eq!(sockets("qemu:///session?mode=legacy", &without), ["/home/ann/.cache/libvirt/libvirt-sock"]);
    let nowhere = Surroundings::default();
    let error = Address::resolve("qemu:///session", &nowhere, &Conf::default()).unwrap_err();
    assert!(error.to_string().contains("set XDG_RUNTIME_DIR"), "{error}");
}

#[test]
fn the_driver_is_asked_for_without_what_leads_to_it() {
    for (uri, expected) in [
        ("qemu:///system", "qemu:///system"),
        ("qemu+unix:///session?socket=/a/b&mode=direct", "qemu:///session"),
        ("qemu+tls://host:1/system?pkipath=/p", "qemu:///system"),
        ("test+tcp://host/default", "test:///default"),
        ("xen+ssh://ann@host/system?keyfile=/k&foo=a%26b", "xen:///system?foo=a%26b"),
        ("qemu+ssh://host/system?name=test:///default", "test:///default"),
        ("remote+ssh://host/", ""),
    ] {
        assert_eq!(address(uri).driver_uri(), expected, "{uri}");
    }
}

#[test]
fn a_host_without_a_transport_is_reached_by_tls() {
    assert!(matches!(address("qemu://host/system").way, Way::Tls { ref host, port: 16_514, .. } if host == "host"));
    assert_eq!(address("qemu+tcp://[::1]:7/system").way, Way::Tcp { host: "::1".to_owned(), port: 7 });
    assert_eq!(address("qemu+tcp://10.0.0.1/system").way, Way::Tcp { host: "10.0.0.1".to_owned(), port: 16_509 });
    assert_eq!(address("qemu+TCP:///system").way, Way::Tcp { host: "localhost".to_owned(), port: 16_509 });
}

#[test]
fn certificates_are_libvirts() {
    let pki = |uri: &str, who: &Surroundings| match Address::resolve(uri, who, &Conf::default()).unwrap().way {
        Way::Tls { pki, .. } => pki,
        other => panic!("{other:?}"),
    };
    let system = pki("qemu://host/system", &root());
    assert_eq!(system.ca, [Path::new("/etc/pki/CA/cacert.pem")]);
    assert_eq!(system.client[0].1, Path::new("/etc/pki/libvirt/private/clientkey.pem"));
    let own = pki("qemu://host/system", &user());
    assert_eq!(own.ca, [Path::new("/home/ann/.pki/libvirt/cacert.pem"), Path::new("/etc/pki/CA/cacert.pem")]);
    let given = pki("qemu://host/system?pkipath=/p", &user());
    assert!(given.given);
    assert_eq!(given.client, [("/p/clientcert.pem".into(), "/p/clientkey.pem".into())]);
}

#[test]
fn ssh_is_run_as_libvirt_runs_it_and_asks_nobody() {
    let Way::Ssh { program, arguments } = address("qemu+ssh://ann@[fe80::1]:2222/system?keyfile=/k&no_tty=1").way
    else {
        panic!("no ssh")
    };
    assert_eq!(program, "ssh");
    let (command, options) = arguments.split_last().unwrap();
    let expected = "-p 2222 -l ann -i /k -T -e none -o BatchMode=yes -o ControlMaster=no -- fe80::1";
    assert_eq!(options.join(" "), expected);
    assert!(command.starts_with("sh -c 'if command -v virt-ssh-helper"), "{command}");
    assert!(command.contains("virt-ssh-helper -r '\\''qemu:///system'\\''"), "{command}");
    assert!(command.contains("-U '\\''/var/run/libvirt/libvirt-sock-ro'\\''"), "{command}");

    let command = |uri: &str| match address(uri).way {
        Way::Ssh { arguments, .. } => arguments.last().cloned().unwrap(),
        other => panic!("{other:?}"),
    };
    for proxy in ["", "&proxy=auto", "&proxy=netcat", "&mode=direct"] {
        let command = command(&format!("qemu+ssh://h/system?socket=/s{proxy}"));
        assert!(command.contains("-U '\\''/s'\\''") && !command.contains("virt-ssh-helper"), "{proxy}: {command}");
    }
    assert!(command("qemu+ssh://h/system?netcat=/opt/nc").contains("'\\''/opt/nc'\\'' $ARG"));
    assert!(!command("qemu+ssh://h/system?proxy=native").contains("-U"));
    assert!(
        matches!(address("qemu+ssh://h/system?command=/opt/ssh").way, Way::Ssh { program, .. } if program == "/opt/ssh")
    );
    let Way::Ssh { arguments, .. } = address("qemu+ssh://h/system?no_verify=1").way else { panic!("no ssh") };
    assert!(arguments.contains(&"StrictHostKeyChecking=no".to_owned()));
}

/// Whatever is in a URI stays one word for the shell at the other end.
#[test]
fn nothing_in_a_uri_is_a_command() {
    let Way::Ssh { arguments, .. } = address("qemu+ssh://h/system?socket=/a%27%3Btouch%20/tmp/x%3B%27").way else {
        panic!("no ssh")
    };
    let script = arguments.last().unwrap().strip_prefix("sh -c ").unwrap();
    // The user's shell undoes one level of quotes, sh the other.
    let probe = script.replace("nc", "printf").replace("$ARG -U ", "%s\\\\n ");
    let output = std::process::Command::new("sh").args(["-c", &format!("sh -c {probe}")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("/a';touch /tmp/x;'"), "{said} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_done_is_refused_by_its_name() {
    for (uri, expected) in [
        ("qemu+libssh://h/system", "the transport `libssh` is not supported; use qemu+ssh"),
        ("qemu+libssh2://h/system", "`libssh2` is not supported; use qemu+ssh"),
        ("qemu+ext:///system?command=/x", "`ext` is not supported; use qemu+ssh"),
        ("qemu+carrier://h/system", "there is no transport `carrier`"),
        ("qemu+unix://h/system", "a UNIX socket is on this host"),
        ("qemu://h/system?no_verify=1", "`no_verify` would let anybody"),
        ("qemu://h/system?tls_priority=NORMAL", "`tls_priority` is in GnuTLS's own language"),
        ("qemu+ssh://h/system?known_hosts=/k", "`known_hosts` is for the transports libssh"),
        ("qemu+ssh://h/system?sshauth=agent", "`sshauth` is for the transports libssh"),
        ("qemu+tcp://h/system?authfile=/a", "`authfile` names credentials for SASL"),
        ("qemu+tcp://h/system?keyfile=/k", "`keyfile` is for another transport"),
        ("qemu:///system?pkipath=/p", "`pkipath` is for another transport"),
        ("qemu:///system?mode=both", "`mode` is none of auto, legacy, direct"),
        ("qemu+ssh://h/system?mode=direct", "`mode` direct is for sockets of this host"),
        ("qemu+ssh://h/system?proxy=native&netcat=nc", "`netcat` is of no use with proxy=native"),
        ("qemu+ssh://h/system?proxy=both", "`proxy` is none of auto, netcat, native"),
        ("qemu+ssh://h/system?proxy=native&socket=/s", "`socket` is of no use with proxy=native"),
        ("remote:///?mode=direct", "`mode` direct needs a driver"),
        ("test:///default", "the driver `test` is a part of libvirt's library"),
        ("esx://h/?no_verify=1", "the driver `esx` is a part of libvirt's library"),
        ("qemu", "`qemu` is neither a libvirt URI nor an alias"),
        ("", "`` is not a libvirt URI"),
        ("qemu:/system", "it has no `://`"),
        ("q u://h/", "it contains a space"),
        ("9qemu:///system", "it does not begin with a driver's name"),
        ("qemu+tcp://h:x/system", "its host or port is none"),
        ("qemu+tcp://[::1/system", "its host or port is none"),
        ("qemu+ssh://-oProxyCommand=x/system", "begins with a dash"),
        ("qemu+ssh://-l@h/system", "begins with a dash"),
    ] {
        let said = refusal(uri);
        assert!(said.contains(expected), "{uri}: {said}");
    }
    assert!(matches!(address("qemu://h/system?no_verify=0").way, Way::Tls { .. }));
}

#[test]
fn libvirt_conf_has_a_say() {
    let conf = Conf::parse(
        "# comment = \"x\"\n\
         uri_default = \"qemu:///system\"\n\
         uri_aliases = [ # all hosts\n  \"hail=qemu+tcp://hail.example/system\",\n  'sleet=test+tcp://sleet/default',\n]\n\
         remote_mode = \"legacy\"\nremote_proxy=\"netcat\"\n",
    )
    .unwrap();
    let resolve = |uri: &str| Address::resolve(uri, &root(), &conf);
    assert!(matches!(resolve("hail").unwrap().way, Way::Tcp { host, .. } if host == "hail.example"));
    assert_eq!(resolve("sleet").unwrap().driver_uri(), "test:///default");
    assert!(resolve("snow").unwrap_err().to_string().contains("nor an alias"));
    assert_eq!(resolve("qemu:///system").unwrap().way, Way::Unix(vec!["/run/libvirt/libvirt-sock-ro".into()]));
    assert!(matches!(resolve("qemu:///system?mode=direct").unwrap().way, Way::Unix(paths) if paths.len() == 1));
    assert!(matches!(resolve("qemu+ssh://h/system").unwrap().way, Way::Ssh { arguments, .. }
        if !arguments.last().unwrap().contains("virt-ssh-helper")));
    let priority = Conf::parse("tls_priority = 'NORMAL'\n").unwrap();
    let said = Address::resolve("qemu://h/system", &root(), &priority).unwrap_err().to_string();
    assert!(said.starts_with("tls_priority in libvirt.conf: "), "{said}");
    assert!(Address::resolve("qemu:///system", &root(), &priority).is_ok(), "it is about TLS only");
}

/// A setting of libvirt.conf is no URI parameter, and errors do not call it one.
#[test]
fn what_libvirt_conf_has_set_is_told_by_its_own_name() {
    let resolve = |text: &str, uri: &str| Address::resolve(uri, &root(), &Conf::parse(text).unwrap());
    let direct = "remote_mode = \"direct\"\n";
    for uri in ["qemu+ssh://h/system", "remote:///"] {
        let said = resolve(direct, uri).unwrap_err().to_string();
        assert!(said.starts_with("remote_mode in libvirt.conf: `direct` "), "{said}");
        assert!(said.contains(&format!("give `{uri}` a mode of its own (mode=auto)")), "{said}");
    }
    for uri in ["qemu+ssh://h/system?mode=auto", "qemu+ssh://h/system?socket=/s", "qemu+tcp://h/system"] {
        assert!(resolve(direct, uri).is_ok(), "{uri}");
    }
    let native = "remote_proxy = \"native\"\n";
    for name in ["socket", "netcat"] {
        let said = resolve(native, &format!("qemu+ssh://h/system?{name}=/x")).unwrap_err().to_string();
        assert!(
            said.contains(&format!("`{name}` is of no use with native, the remote_proxy of libvirt.conf")),
            "{said}"
        );
        assert!(resolve(native, &format!("qemu+ssh://h/system?{name}=/x&proxy=auto")).is_ok());
    }
    let auto = resolve("remote_proxy = \"auto\"\n", "qemu+ssh://h/system?socket=/s").unwrap();
    assert!(matches!(auto.way, Way::Ssh { arguments, .. } if !arguments.last().unwrap().contains("virt-ssh-helper")));
    let said = Address::resolve("qemu+ssh://h/session?netcat=/n", &user(), &Conf::default()).unwrap_err().to_string();
    assert!(said.contains("only virt-ssh-helper finds out"), "{said}");
}

#[test]
fn a_libvirt_conf_that_is_broken_is_told() {
    for (text, expected) in [
        ("remote_mode = both\n", "remote_mode in libvirt.conf: it is neither a text"),
        ("uri_aliases = [ \"a=b\" \"c=d\" ]\n", "uri_aliases in libvirt.conf: it is neither"),
        ("uri_aliases = [ \"a=b\"", "uri_aliases in libvirt.conf"),
    ] {
        let said = Conf::parse(text).expect_err(text).to_string();
        assert!(said.contains(expected), "{text}: {said}");
    }
    let mode = Conf::parse("remote_mode = \"both\"\n").unwrap();
    let said = Address::resolve("qemu:///system", &root(), &mode).unwrap_err().to_string();
    assert!(said.contains("`both` is none of auto, legacy, direct"), "{said}");
    for entry in ["hail", "h il=qemu:///system"] {
        let conf = Conf::parse(&format!("uri_aliases = [\"{entry}\"]")).unwrap();
        let said = Address::resolve("x", &root(), &conf).unwrap_err().to_string();
        assert!(said.contains(entry), "{said}");
    }
    assert_eq!(Conf::parse("").unwrap(), Conf::default());
    assert_eq!(Conf::parse("nonsense\n= = =\nuri_aliases").unwrap(), Conf::default());
}

#[test]
fn odd_percent_signs_stay() {
    for (text, expected) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("a%2Fb", "a/b"), ("%é", "%é"), ("%+1", "%+1")]
    {
        assert_eq!(uri::decode(text), expected);
    }
}
