//! The command line and the environment, without a process and without its environment.

use super::*;
use crate::collector::Headers;

mod modes;
mod web;

fn parsed<const N: usize>(arguments: &[&str], variables: [(&str, &str); N]) -> Result<Invocation, Refusal> {
    parse(std::iter::once("virt-otel").chain(arguments.iter().copied()), &Environment::from(variables))
}

fn run<const N: usize>(arguments: &[&str], variables: [(&str, &str); N]) -> Run {
    match parsed(arguments, variables) {
        Ok(Invocation::Run(run)) => *run,
        other => panic!("{arguments:?} is no run: {other:?}"),
    }
}

fn wrong<const N: usize>(arguments: &[&str], variables: [(&str, &str); N]) -> String {
    match parsed(arguments, variables) {
        Err(Refusal::Wrong(sentence)) => sentence,
        other => panic!("{arguments:?} is accepted: {other:?}"),
    }
}

/// A sentence for the operator: on one line, beginning with what is wrong, with a hint after the semicolon.
fn assert_sentence(sentence: &str, names: &str) {
    assert!(sentence.starts_with(names), "{sentence:?} does not begin with {names}");
    assert_eq!(sentence.lines().count(), 1, "{sentence:?}");
    assert!(sentence.contains("; "), "{sentence:?} says nothing of what to do");
    assert!(sentence.len() < 250, "{sentence:?} is long");
}

fn uris(run: &Run) -> Vec<&str> {
    match &run.source.vms {
        Vms::Libvirt { daemons } => daemons.iter().map(|daemon| daemon.uri.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn needs_nothing() {
    let run = run(&[], []);
    assert_eq!(uris(&run), ["qemu:///system"]);
    assert_eq!(run.source.service_name, "libvirt-domain");
    assert_eq!(run.source.deadline, Duration::from_secs(3));
    assert_eq!(run.reading.interval, Duration::from_secs(15));
    assert_eq!(run.reading.groups[&Group::Cpu], Duration::from_secs(15));
    assert_eq!(run.listen.to_string(), "localhost:9464");
    assert_eq!(run.health_listen, None);
    assert!(run.prometheus);
    let otlp = run.otlp_metrics.expect("OTLP is on");
    assert_eq!(otlp.endpoint, "http://localhost:4317");
    assert_eq!(otlp.timeout, Duration::from_secs(10));
    assert!(otlp.gzip.is_on());
    assert_eq!(run.otlp_logs, None);
    assert_eq!(run.export_interval, run.reading.interval);
    assert_eq!(run.identity.own_service_name, "virt-otel");
    assert_eq!(
        run.logs,
        Logs { format: LogFormat::Text, filter: "warn,kube_client=off,kube_runtime=off,virt_otel=info".into() }
    );
    assert_eq!(run.warnings, Vec::<String>::new());
}

#[test]
fn run_is_what_is_done_without_a_command() {
    assert_eq!(run(&["run", "--interval", "7s"], []).reading, run(&["--interval", "7s"], []).reading);
}

#[test]
fn check_judges_what_run_would_do() {
    let check = |arguments: &[&str]| match parsed(arguments, [("VIRT_OTEL_LISTEN", ":9999")]) {
        Ok(Invocation::Check(check)) => *check,
        other => panic!("{arguments:?} is no check: {other:?}"),
    };
    let plain = check(&["check", "--libvirt-uri", "qemu:///session"]);
    assert_eq!(plain.format, CheckFormat::Text);
    assert_eq!((uris(&plain.run), plain.run.listen.port), (vec!["qemu:///session"], 9999));
    assert!(plain.run.logs.filter.contains("virt_otel=error"), "{:?}", plain.run.logs);
    assert_eq!(check(&["check", "--format", "json"]).format, CheckFormat::Json);
    assert_sentence(&wrong(&["check", "--format", "table"], []), "--format: ");
    assert_sentence(&wrong(&["check", "--interval", "never"], []), "--interval: ");
}

#[test]
fn a_flag_beats_its_variable_and_that_beats_the_standard_one() {
    let standard = [("OTEL_METRICS_EXPORTER", "none")];
    assert!(run(&[], standard).otlp_metrics.is_none());
    let both = [("OTEL_METRICS_EXPORTER", "none"), ("VIRT_OTEL_EXPORTERS", "prometheus")];
    assert!(run(&[], both).prometheus);
    let run = run(&["--exporters", "otlp"], both);
    assert!(!run.prometheus && run.otlp_metrics.is_some());
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let run = run(&[], [("VIRT_OTEL_INTERVAL", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]);
    assert_eq!(run.reading.interval, Duration::from_secs(15));
    assert_eq!(run.otlp_metrics.expect("on").endpoint, "http://localhost:4317");
}

#[test]
fn repeated_flags_and_lists_in_variables_say_the_same() {
    let flags = run(&["--libvirt-uri", "qemu:///system", "--libvirt-uri", "test+unix:///default"], []);
    let variable = run(&[], [("VIRT_OTEL_LIBVIRT_URI", "qemu:///system, test+unix:///default")]);
    assert_eq!(flags.source, variable.source);
    assert_eq!(uris(&flags), ["qemu:///system", "test+unix:///default"]);
    let flags = run(&["--group-interval", "block=90s", "--group-interval", "job=5s"], []);
    let variable = run(&[], [("VIRT_OTEL_GROUP_INTERVAL", "block=90s,job=5s")]);
    assert_eq!(flags.reading, variable.reading);
    assert_eq!(flags.reading.groups[&Group::Job], Duration::from_secs(5));
    assert_eq!(flags.reading.groups[&Group::Cpu], Duration::from_secs(15), "naming one leaves the others alone");
}

/// As somebody does who removes the `#` of every line that says something.
#[test]
fn what_the_environment_file_says_of_each_variable_is_accepted() {
    let file = environment_file();
    let lines = file.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let variables = lines.filter(|(name, _)| name.starts_with("VIRT_OTEL_") || name.starts_with("OTEL_"));
    let said: Vec<(&str, &str)> = variables.filter(|(_, value)| !value.is_empty()).collect();
    assert!(said.len() > 20, "{said:?}");
    assert!(!file.contains("several times"), "{file}");
    let defaults = run(&[], []);
    let environment = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let Ok(Invocation::Run(run)) = parse(["virt-otel"], &environment) else { panic!("refused: {said:?}") };
    assert_eq!((run.source, run.reading, run.listen), (defaults.source, defaults.reading, defaults.listen));
    assert_eq!(run.otlp_metrics, defaults.otlp_metrics);
}

#[test]
fn a_comma_in_the_braces_of_a_glob_does_not_split_it() {
    let run = run(&[], [("VIRT_OTEL_METRICS_INCLUDE", "libvirt.domain.{cpu,none}.*,libvirt.none")]);
    assert!(!run.served.vm.is_empty());
    assert_eq!(run.warnings.len(), 1, "one of the two patterns matches nothing: {:?}", run.warnings);
}

#[test]
fn globs_select_by_name_and_exclude_beats_include() {
    let all = run(&[], []).served.vm.len();
    let name = run(&[], []).served.vm[0].name.clone();
    assert_eq!(run(&["--metrics-include", &name], []).served.vm.len(), 1);
    assert_eq!(run(&["--metrics-include", &name.replace('.', "_")], []).served.vm.len(), 1);
    if all > 1 {
        assert_eq!(run(&["--metrics-exclude", &name], []).served.vm.len(), all - 1);
    }
    let sentence = wrong(&["--metrics-include", &name, "--metrics-exclude", "libvirt.*"], []);
    assert_sentence(&sentence, "--metrics-include: ");
}

#[test]
fn the_probes_have_an_address_of_their_own_or_none() {
    let with = |listen: &str, health: &str| run(&["--listen", listen, "--health-listen", health], []).health_listen;
    for (listen, health) in [(":9464", ":9465"), ("localhost:0", "localhost:0"), ("127.0.0.1:1", "[::1]:1")] {
        assert_eq!(with(listen, health).map(|health| health.to_string()).as_deref(), Some(health));
    }
    let variables = [("VIRT_OTEL_HEALTH_LISTEN", ":9465")];
    assert_eq!(run(&[], variables).health_listen.map(|health| health.port), Some(9465));
    for (listen, health) in [
        ("localhost:9464", "LOCALHOST:9464"),
        (":9464", "localhost:9464"),
        ("127.0.0.1:9464", "0.0.0.0:9464"),
        ("127.0.0.1:9464", "[::]:9464"),
    ] {
        let sentence = wrong(&["--listen", listen, "--health-listen", health], []);
        assert_sentence(&sentence, "--health-listen: ");
        assert!(sentence.contains(&format!("--listen ({listen})")), "{sentence}");
    }
    assert_sentence(&wrong(&[], [("VIRT_OTEL_HEALTH_LISTEN", "localhost:9464")]), "VIRT_OTEL_HEALTH_LISTEN: ");
}

#[test]
fn every_wrong_flag_is_answered_by_a_sentence_that_names_it() {
    for (flag, value) in [
        ("--mode", "qemu"),
        ("--libvirt-uri", "/var/run/libvirt.sock"),
        ("--libvirt-uri", "qemu:///sys tem"),
        ("--deadline", "soon"),
        ("--deadline", "10ms"),
        ("--vm-service-name", " "),
        ("--interval", "15"),
        ("--interval", "5m"),
        ("--interval", "-1s"),
        ("--group-interval", "block"),
        ("--group-interval", "disk=10s"),
        ("--group-interval", "block=0s"),
        ("--metrics-include", "a{b"),
        ("--metrics-exclude", "[z-a]"),
        ("--metrics-include", "no.such.metric"),
        ("--exporters", "console"),
        ("--exporters", "none,otlp"),
        ("--exporters", ","),
        ("--logs-exporter", "prometheus"),
        ("--listen", "9464"),
        ("--health-listen", "9465"),
        ("--listen", "localhost:70000"),
        ("--listen", "::1:9464"),
        ("--listen", "http://localhost:9464"),
        ("--log-format", "xml"),
        ("--log-level", "virt_otel=loud"),
        ("--no-such-option", "1"),
        ("--intervall", "1s"),
    ] {
        let argument = format!("{flag}={value}");
        for command in [None, Some("run")] {
            let arguments: Vec<&str> = command.into_iter().chain([argument.as_str()]).collect();
            assert_sentence(&wrong(&arguments, []), &format!("{flag}: "));
        }
    }
    assert_sentence(&wrong(&["--interval"], []), "--interval: ");
    assert_sentence(&wrong(&["--interval", "1s", "--interval", "2s"], []), "--interval: ");
    assert_sentence(&wrong(&["snapshot", "--format", "pdf"], []), "--format: ");
    assert_sentence(&wrong(&["metrics", "--format", "pdf"], []), "--format: ");
    assert_sentence(&wrong(&["--interval", "1s", "snapshot"], []), "--interval: ");
    assert_sentence(&wrong(&["snapshots"], []), "snapshots: ");
    assert_sentence(&wrong(&["completions", "cmd"], []), "<SHELL>: ");
    assert_sentence(&wrong(&["completions"], []), "<SHELL>: ");
    assert_sentence(&wrong(&["--libvirt-uri", "a:///b", "--libvirt-uri", "a:///b"], []), "--libvirt-uri: ");
    assert_sentence(&wrong(&["--group-interval", "job=1s", "--group-interval", "job=2s"], []), "--group-interval: ");
}

#[test]
fn a_driver_in_libvirts_library_needs_the_feature_that_brings_it() {
    for uri in ["test:///default", "esx://host/?no_verify=1", "hyperv://host"] {
        #[cfg(feature = "virt")]
        match run(&["--libvirt-uri", uri], []).source.vms {
            Vms::Libvirt { daemons } => assert_eq!(daemons[0].way, Way::Library),
            other => panic!("{other:?}"),
        }
        #[cfg(not(feature = "virt"))]
        {
            let sentence = wrong(&["--libvirt-uri", uri], []);
            assert_sentence(&sentence, "--libvirt-uri: ");
            assert!(sentence.contains("the Cargo feature `virt`"), "{sentence}");
        }
    }
}

#[test]
fn every_wrong_variable_is_answered_by_a_sentence_that_names_it() {
    for (name, value) in [
        ("VIRT_OTEL_MODE", "qemu"),
        ("VIRT_OTEL_LIBVIRT_URI", "qemu:///system,nonsense"),
        ("VIRT_OTEL_DEADLINE", "3"),
        ("VIRT_OTEL_INTERVAL", "1h"),
        ("VIRT_OTEL_GROUP_INTERVAL", "block=1s,cpu"),
        ("VIRT_OTEL_METRICS_INCLUDE", "a{b"),
        ("VIRT_OTEL_METRICS_EXCLUDE", "*"),
        ("VIRT_OTEL_EXPORTERS", "jaeger"),
        ("VIRT_OTEL_LOGS_EXPORTER", "console"),
        ("VIRT_OTEL_LISTEN", "9464"),
        ("VIRT_OTEL_LOG_FORMAT", "xml"),
        ("VIRT_OTEL_LOG_LEVEL", "a=b=c"),
        ("OTEL_METRICS_EXPORTER", "zipkin"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_LOG_LEVEL", "x=y=z"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "a/b"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "http"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a b"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "maybe"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "token"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=100%"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "grpc-timeout=1"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "=secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/dev/null"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "600000"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment"),
        ("OTEL_SDK_DISABLED", "yes"),
    ] {
        assert_sentence(&wrong(&[], [(name, value)]), &format!("{name}: "));
    }
}

#[test]
fn a_secret_is_not_repeated() {
    let sentence = wrong(&[], [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2,x y=hunter2")]);
    assert!(!sentence.contains("hunter2"), "{sentence}");
    let run = run(&[], [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2")]);
    assert!(!format!("{run:?}").contains("hunter2"));
    let expected = Headers::new(vec![("authorization".to_owned(), "Bearer hunter2".to_owned())]).expect("a header");
    assert_eq!(run.otlp_metrics.expect("on").headers, expected);
}

#[test]
fn headers_can_come_from_a_file_for_metrics_and_logs() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let settings = [("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")];
    let run = run(&["--otlp-headers-file", path], settings);
    let expected = Headers::new(vec![("a".to_owned(), "b".to_owned())]).expect("a header");
    for collector in [run.otlp_metrics.expect("on"), run.otlp_logs.expect("on")] {
        assert_eq!(collector.headers_file.as_deref(), Some(file.path()));
        assert_eq!(collector.headers, expected, "what the file holds is read where it is used");
    }
    let by_variable = self::run(&[], [("VIRT_OTEL_OTLP_HEADERS_FILE", path)]);
    assert_eq!(by_variable.otlp_metrics.expect("on").headers_file.as_deref(), Some(file.path()));
    for bad in ["/no/such/file", "/"] {
        assert_sentence(&wrong(&["--otlp-headers-file", bad], []), "--otlp-headers-file: ");
    }
}

#[test]
fn a_value_from_outside_cannot_break_the_sentence_into_lines() {
    let sentence = wrong(&["--interval", &format!("a\nb{}", "x".repeat(10_000))], []);
    assert_sentence(&sentence, "--interval: ");
}

#[test]
fn a_signals_own_variable_beats_the_general_one() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4317"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://metrics:4317"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "1234"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
    ];
    let run = run(&[], variables);
    let (metrics, logs) = (run.otlp_metrics.expect("on"), run.otlp_logs.expect("on"));
    assert_eq!(metrics.endpoint, "https://metrics:4317");
    assert_eq!(logs.endpoint, "http://general:4317");
    assert!(!metrics.gzip.is_on() && logs.gzip.is_on());
    assert_eq!(logs.timeout, Duration::from_millis(1234));
}

#[test]
fn an_endpoint_without_a_scheme_is_secure_unless_told_otherwise() {
    let secure = run(&[], [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]);
    assert_eq!(secure.otlp_metrics.expect("on").endpoint, "https://collector:4317");
    let plain = run(&[], [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")]);
    assert_eq!(plain.otlp_metrics.expect("on").endpoint, "http://collector:4317");
    let scheme =
        run(&[], [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")]);
    assert_eq!(scheme.otlp_metrics.expect("on").endpoint, "https://collector:4317");
}

#[test]
fn a_protocol_matters_only_where_otlp_is_used() {
    let run = run(&["--exporters", "prometheus"], [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
    assert_eq!(run.otlp_metrics, None);
}

#[test]
fn the_prometheus_host_and_port_are_those_of_listen() {
    let variables = [("OTEL_EXPORTER_PROMETHEUS_HOST", "::"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "9100")];
    assert_eq!(run(&[], variables).listen.to_string(), "[::]:9100");
    assert_eq!(run(&["--listen", ":1"], variables).listen, Listen { host: String::new(), port: 1 });
    assert_eq!(run(&["--listen", "[::1]:0"], []).listen, Listen { host: "::1".into(), port: 0 });
}

#[test]
fn service_attributes_are_the_agents_own() {
    let mine = run(
        &[],
        [("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,service.namespace=ops,deployment.environment=a%2Cb")],
    );
    assert_eq!(mine.identity.own_service_name, "mine");
    assert_eq!(mine.identity.own_attributes, [("service.namespace".to_owned(), "ops".to_owned())]);
    assert_eq!(mine.identity.common_attributes, [("deployment.environment".to_owned(), "a,b".to_owned())]);
    let named = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine"), ("OTEL_SERVICE_NAME", "named")];
    assert_eq!(run(&[], named).identity.own_service_name, "named");
}

#[test]
fn delta_is_answered_by_a_warning_that_helps() {
    let run = run(&[], [("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")]);
    assert!(run.warnings[0].contains("cumulativetodelta"), "{:?}", run.warnings);
}

#[test]
fn a_disabled_sdk_pushes_nothing() {
    let run = run(&["--logs-exporter", "otlp"], [("OTEL_SDK_DISABLED", "true")]);
    assert_eq!((run.otlp_metrics, run.otlp_logs, run.own), (None, None, Own::Off));
    assert!(run.prometheus);
}

#[test]
fn a_mistyped_variable_is_warned_of_but_kubernetes_ones_are_not() {
    let warnings = run(&[], [("VIRT_OTEL_INTERVALL", "1s"), ("OTEL_EXPORTER_OTLP_ENDPOINTS", "x")]).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("VIRT_OTEL_INTERVALL: "), "{warnings:?}");
    let kubernetes = [
        ("VIRT_OTEL_SERVICE_HOST", "10.0.0.1"),
        ("VIRT_OTEL_SERVICE_PORT_METRICS", "9464"),
        ("VIRT_OTEL_PORT", "tcp://10.0.0.1:9464"),
        ("VIRT_OTEL_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://elsewhere:4317"),
    ];
    assert_eq!(run(&[], kubernetes).warnings, Vec::<String>::new());
}

#[test]
fn a_single_word_is_about_the_agent_itself() {
    assert_eq!(run(&["--log-level", "DEBUG"], []).logs.filter, "warn,kube_client=off,kube_runtime=off,virt_otel=debug");
    assert_eq!(run(&[], []).logs.filter, "warn,kube_client=off,kube_runtime=off,virt_otel=info");
    let Ok(Invocation::Snapshot(snapshot)) = parsed(&["snapshot"], []) else { panic!("no snapshot") };
    assert_eq!(snapshot.logs.filter, "warn,kube_client=off,kube_runtime=off,virt_otel=warn");
    assert_eq!(run(&["--log-level", "off"], []).logs.filter, "off");
    assert_eq!(run(&["--log-level", "info,h2=trace"], []).logs.filter, "info,h2=trace");
}

#[test]
fn every_standard_variable_of_the_table_is_read() {
    // A value that no variable accepts, except those that accept any text.
    for row in STANDARD.iter().filter(|row| row.name != "OTEL_SERVICE_NAME") {
        let name = row.name.replace('*', "");
        let refused = parsed(&["--logs-exporter", "otlp"], [(name.as_str(), "\u{1}=%")]);
        let late = name == "OTEL_LOGS_EXPORTER";
        assert!(refused.is_err() || late, "{name} is not read");
    }
}

#[test]
fn every_default_is_accepted_and_belongs_to_an_option() {
    let options: Vec<String> = command()
        .get_subcommands()
        .flat_map(|command| {
            command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    for (flag, _) in flags::DEFAULTS {
        assert!(options.iter().any(|option| option == flag), "--{flag} does not exist");
    }
}

#[test]
fn help_names_every_variable_and_default() {
    let Err(Refusal::Shown(help)) = parsed(&["--help"], []) else { panic!("no help") };
    for arg in
        command().get_arguments().filter_map(|arg| arg.get_long()).filter(|arg| !["help", "version"].contains(arg))
    {
        assert!(help.contains(&format!("[env: {}]", flags::variable(arg))), "{arg} in\n{help}");
    }
    assert!(help.contains("Examples:") && help.contains("[default: 15s]"), "{help}");
}

#[test]
fn clap_agrees_with_itself() {
    command().debug_assert();
}
