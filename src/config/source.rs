//! Which VMs are read, and how their libvirt is reached: the three modes.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::daemons::{Daemon, daemons};
use super::error::{ConfigError, Given};
use super::flags::{self, SourceFlags};
use super::layers::{Layers, split};
use super::names;
use super::values::{absolute, duration, file, globs, switch, word};
use crate::catalog::Vocabulary;
use crate::model::{MetadataKey, VmChoice, VmiLabel};

/// Below 100 ms a daemon under load would look stuck; above a minute a stuck VM would go unnoticed.
const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// Which VMs are read, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which VMs exist, and where their libvirt is.
    pub vms: Vms,
    /// Which of these VMs are read.
    pub choice: VmChoice,
    /// What of a domain's metadata is a label of each of its series: each once.
    pub metadata_labels: Arc<[MetadataKey]>,
    /// How long one call may take.
    pub deadline: Duration,
    /// The `service.name` of the VMs' resources.
    pub service_name: String,
}

/// Which VMs exist: the mode, with its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vms {
    /// Every domain of these daemons.
    Libvirt {
        /// Each once.
        daemons: Vec<Daemon>,
    },
    /// Every VMI of one node, from the Kubernetes API.
    Kubevirt(Kubevirt),
    /// The one VM of the virt-launcher pod that the agent runs in.
    Sidecar(Sidecar),
}

/// The settings of mode kubevirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubevirt {
    /// The name of this node, as in a VMI's `status.nodeName`: a DNS subdomain that can be a label's value.
    pub node: String,
    /// A kubeconfig file that can be opened; `None` for the service account of this pod.
    pub kubeconfig: Option<PathBuf>,
    /// Where the kubelet's pods directory is mounted: absolute.
    pub pods_dir: PathBuf,
    /// The keys of the VMI labels that are published: valid, each once, no two alike as Prometheus labels.
    pub vmi_labels: Vec<String>,
    /// A label selector: only VMIs that it matches are read.
    pub vmi_selector: Option<String>,
    /// Whether the watch streams the first list.
    pub streaming_lists: bool,
    /// Whether VMs that a sidecar pushes are pushed, too.
    pub push_beside_sidecar: bool,
}

/// The settings of mode sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The socket of this pod's virtqemud: absolute.
    pub socket: PathBuf,
    /// The name of this pod's node: a DNS subdomain.
    pub node: String,
    /// The namespace of this pod, which is the VMI's: a DNS label.
    pub namespace: String,
    /// The UID of this pod.
    pub pod_uid: String,
    /// The VMI's name, a DNS subdomain; `None` to take it from the domain's name.
    pub vmi_name: Option<String>,
}

impl Vms {
    /// The node of Kubernetes whose agent this is. A sidecar is the agent of a pod.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Kubevirt(Kubevirt { node, .. }) => Some(node),
            Self::Libvirt { .. } | Self::Sidecar(_) => None,
        }
    }

    /// The mode's name, as `--mode` has it.
    #[must_use]
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::Libvirt { .. } => Mode::Libvirt.as_str(),
            Self::Kubevirt(_) => Mode::Kubevirt.as_str(),
            Self::Sidecar(_) => Mode::Sidecar.as_str(),
        }
    }

    /// Which names the metrics have.
    #[must_use]
    pub const fn vocabulary(&self) -> Vocabulary {
        match self {
            Self::Libvirt { .. } => Vocabulary::Libvirt,
            Self::Kubevirt(_) | Self::Sidecar(_) => Vocabulary::Kubevirt,
        }
    }
}

/// For the log: what is read.
impl fmt::Display for Vms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Libvirt { daemons } => {
                let uris: Vec<&str> = daemons.iter().map(|daemon| daemon.uri.as_str()).collect();
                formatter.write_str(&uris.join(" "))
            }
            Self::Kubevirt(Kubevirt { node, .. }) => write!(formatter, "the VMIs of node {node}"),
            Self::Sidecar(Sidecar { socket, .. }) => write!(formatter, "the VMI behind {}", socket.display()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Libvirt,
    Kubevirt,
    Sidecar,
}

impl Mode {
    const WORDS: [(&'static str, Self); 3] =
        [("libvirt", Self::Libvirt), ("kubevirt", Self::Kubevirt), ("sidecar", Self::Sidecar)];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Kubevirt => "kubevirt",
            Self::Sidecar => "sidecar",
        }
    }

    /// The default of `--vm-service-name`.
    const fn service_name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt-domain",
            Self::Kubevirt | Self::Sidecar => "kubevirt-vmi",
        }
    }
}

pub(super) fn source(
    flags: &SourceFlags,
    layers: Layers<'_>,
    warnings: &mut Vec<String>,
) -> Result<Source, ConfigError> {
    let mode = match layers.one("mode", flags.mode.as_ref(), &[]) {
        Some(given) => word(&given, &Mode::WORDS)?,
        None => Mode::Libvirt,
    };
    refuse_strangers(mode, flags, layers, warnings)?;
    let vms = match mode {
        Mode::Libvirt => Vms::Libvirt { daemons: daemons(flags, layers)? },
        Mode::Kubevirt => Vms::Kubevirt(kubevirt(flags, layers)?),
        Mode::Sidecar => Vms::Sidecar(sidecar(flags, layers)?),
    };
    let choice = if mode == Mode::Sidecar { VmChoice::default() } else { choice(mode, flags, layers, warnings)? };
    let deadline = duration(&layers.required("deadline", flags.deadline.as_ref(), &[])?, &DEADLINES)?;
    let service_name = match layers.one("vm-service-name", flags.vm_service_name.as_ref(), &[]) {
        Some(name) if name.value.trim().is_empty() => {
            return Err(name.wrong("is empty", "give a service name, or leave it out"));
        }
        Some(name) => name.value,
        None => mode.service_name().to_owned(),
    };
    let metadata_labels = match layers.one("metadata-labels", flags.libvirt.metadata_labels.as_ref(), &[]) {
        Some(given) if mode == Mode::Libvirt => metadata_keys(&given)?.into(),
        _ => Arc::default(),
    };
    Ok(Source { vms, choice, metadata_labels, deadline, service_name })
}

/// An option of another mode would have no effect: on the command line it is an error; as a variable, which may be
/// meant for other agents, a warning.
fn refuse_strangers(
    mode: Mode,
    flags: &SourceFlags,
    layers: Layers<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    use Mode::{Kubevirt, Libvirt, Sidecar};
    let SourceFlags { libvirt, pod, kubevirt, sidecar, .. } = flags;
    let options: [(&str, bool, &[Mode]); 18] = [
        ("libvirt-uri", !libvirt.libvirt_uri.is_empty(), &[Libvirt]),
        ("metadata-labels", libvirt.metadata_labels.is_some(), &[Libvirt]),
        ("node-name", pod.node_name.is_some(), &[Kubevirt, Sidecar]),
        ("cluster-name", pod.cluster_name.is_some(), &[Kubevirt, Sidecar]),
        ("metrics-profile", pod.metrics_profile.is_some(), &[Kubevirt, Sidecar]),
        ("otlp-metrics-profile", pod.otlp_metrics_profile.is_some(), &[Kubevirt, Sidecar]),
        ("kubeconfig", kubevirt.kubeconfig.is_some(), &[Kubevirt]),
        ("pods-dir", kubevirt.pods_dir.is_some(), &[Kubevirt]),
        ("vmi-labels", kubevirt.vmi_labels.is_some(), &[Kubevirt]),
        ("vmi-selector", kubevirt.vmi_selector.is_some(), &[Kubevirt]),
        ("vm-include", !flags.vm_include.is_empty(), &[Libvirt, Kubevirt]),
        ("vm-exclude", !flags.vm_exclude.is_empty(), &[Libvirt, Kubevirt]),
        ("streaming-lists", kubevirt.streaming_lists.is_some(), &[Kubevirt]),
        ("push-beside-sidecar", kubevirt.push_beside_sidecar.is_some(), &[Kubevirt]),
        ("socket", sidecar.socket.is_some(), &[Sidecar]),
        ("pod-uid", sidecar.pod_uid.is_some(), &[Sidecar]),
        ("namespace", sidecar.namespace.is_some(), &[Sidecar]),
        ("vmi-name", sidecar.vmi_name.is_some(), &[Sidecar]),
    ];
    for (name, on_command_line, modes) in options.into_iter().filter(|(_, _, modes)| !modes.contains(&mode)) {
        let problem = format!("means nothing in mode {}", mode.as_str());
        let modes: Vec<String> = modes.iter().map(|mode| format!("--mode {}", mode.as_str())).collect();
        let modes = modes.join(" or ");
        if on_command_line {
            let accepted = format!("leave it out, or give {modes}");
            return Err(ConfigError { origin: format!("--{name}"), problem, accepted });
        }
        if let Some(given) = layers.variable(&flags::variable(name)) {
            warnings.push(format!("{}: {problem}; unset it, or give {modes}", given.origin));
        }
    }
    Ok(())
}

/// Which VMs are read: those that match one of the first globs, or all without any, less those that match one of the second.
fn choice(
    mode: Mode,
    flags: &SourceFlags,
    layers: Layers<'_>,
    warnings: &mut Vec<String>,
) -> Result<VmChoice, ConfigError> {
    let include = layers.many("vm-include", &flags.vm_include);
    let exclude = layers.many("vm-exclude", &flags.vm_exclude);
    if include.is_empty() && exclude.is_empty() {
        return Ok(VmChoice::default());
    }
    let example = if mode == Mode::Kubevirt { "shop/*" } else { "web-*" };
    let (included, excluded) = (globs(&include, example)?, globs(&exclude, example)?);
    for given in include.iter().chain(&exclude) {
        if mode == Mode::Kubevirt && !given.value.contains('/') && !given.value.starts_with('*') {
            warnings.push(format!(
                "{}: `{}` has no slash, and names are NAMESPACE/NAME in mode kubevirt; give one such as {example}",
                given.origin, given.value
            ));
        }
    }
    let words = |globs: &[Given]| globs.iter().map(|given| given.value.clone()).collect::<Vec<_>>().join(" ");
    let said = format!("{} less {}", words(&include), words(&exclude));
    let all = include.is_empty();
    Ok(VmChoice::new(said, move |name| (all || included.is_match(name)) && !excluded.is_match(name)))
}

/// The longest label selector. Longer ones do not fit into a URL everywhere.
const SELECTOR_MAX: usize = 1_024;

/// A label selector, as far as it can be judged without the API server: that refuses the rest, and the log says so.
fn selector(given: &Given) -> Result<String, ConfigError> {
    let accepted = "give one such as app=shop,tier!=test";
    if given.value.is_empty() || given.value.len() > SELECTOR_MAX {
        return Err(given.wrong(format!("has not between 1 and {SELECTOR_MAX} characters"), accepted));
    }
    let allowed = |one: char| one.is_ascii_alphanumeric() || "-_./=!,() ".contains(one);
    if !given.value.chars().all(allowed) {
        return Err(given.wrong("has a character that no label selector has", accepted));
    }
    Ok(given.value.clone())
}

fn kubevirt(flags: &SourceFlags, layers: Layers<'_>) -> Result<Kubevirt, ConfigError> {
    let node = from_pod("node-name", flags.pod.node_name.as_ref(), layers, Mode::Kubevirt, "spec.nodeName")?;
    let name = node_name(&node)?;
    // The watch selects by a label that holds the node's name.
    if name.len() > names::LABEL_VALUE {
        let what = "is longer than the value of a label, so that KubeVirt can run no VMI there";
        return Err(node.wrong(what, format!("give a node's name of {} characters at most", names::LABEL_VALUE)));
    }
    let flags = &flags.kubevirt;
    let kubeconfig = layers.one("kubeconfig", flags.kubeconfig.as_ref(), &[]);
    let selector_of = layers.one("vmi-selector", flags.vmi_selector.as_ref(), &[]);
    let labels = layers.one("vmi-labels", flags.vmi_labels.as_ref(), &[]);
    Ok(Kubevirt {
        node: name,
        kubeconfig: kubeconfig.map(|given| file(&given, "give the path of a kubeconfig file")).transpose()?,
        pods_dir: absolute(&layers.required("pods-dir", flags.pods_dir.as_ref(), &[])?)?,
        vmi_labels: labels.map(|given| label_keys(&given)).transpose()?.unwrap_or_default(),
        vmi_selector: selector_of.map(|given| selector(&given)).transpose()?,
        streaming_lists: switch(&layers.required("streaming-lists", flags.streaming_lists.as_ref(), &[])?)?,
        push_beside_sidecar: switch(&layers.required(
            "push-beside-sidecar",
            flags.push_beside_sidecar.as_ref(),
            &[],
        )?)?,
    })
}

fn sidecar(flags: &SourceFlags, layers: Layers<'_>) -> Result<Sidecar, ConfigError> {
    let of_pod = |name, flag, field| from_pod(name, flag, layers, Mode::Sidecar, field);
    let node = of_pod("node-name", flags.pod.node_name.as_ref(), "spec.nodeName")?;
    let flags = &flags.sidecar;
    let namespace = of_pod("namespace", flags.namespace.as_ref(), "metadata.namespace")?;
    let pod_uid = of_pod("pod-uid", flags.pod_uid.as_ref(), "metadata.uid")?;
    let vmi_name = layers.one("vmi-name", flags.vmi_name.as_ref(), &[]);
    Ok(Sidecar {
        socket: absolute(&layers.required("socket", flags.socket.as_ref(), &[])?)?,
        node: node_name(&node)?,
        namespace: checked(&namespace, names::is_dns_label, "a namespace", "vms")?,
        pod_uid: checked(&pod_uid, names::is_pod_uid, "a pod's UID", "2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c90")?,
        vmi_name: vmi_name
            .map(|given| checked(&given, names::is_dns_subdomain, "the name of a VMI", "web-1"))
            .transpose()?,
    })
}

/// What a pod must be told about itself. If it is missing, the error says which field of the pod has it.
fn from_pod(
    name: &'static str,
    flag: Option<&String>,
    layers: Layers<'_>,
    mode: Mode,
    field: &str,
) -> Result<Given, ConfigError> {
    layers.one(name, flag, &[]).ok_or_else(|| ConfigError {
        origin: format!("--{name}"),
        problem: format!("is missing in mode {}", mode.as_str()),
        accepted: format!(
            "give it, or set {} from the pod's field {field} (valueFrom: fieldRef: fieldPath: {field})",
            flags::variable(name)
        ),
    })
}

fn node_name(given: &Given) -> Result<String, ConfigError> {
    checked(given, names::is_dns_subdomain, "a node's name", "worker-1.example.org")
}

fn checked(given: &Given, is: impl Fn(&str) -> bool, what: &str, example: &str) -> Result<String, ConfigError> {
    if is(&given.value) {
        return Ok(given.value.clone());
    }
    Err(given.wrong(format!("is not {what}"), format!("give one such as {example}")))
}

/// Comma-separated keys of metadata.
fn metadata_keys(list: &Given) -> Result<Vec<MetadataKey>, ConfigError> {
    let mut keys = Vec::new();
    for given in split(list) {
        let key = word(&given, &MetadataKey::ALL.map(|key| (key.as_str(), key)))?;
        if keys.contains(&key) {
            return Err(given.wrong("is there twice", "give each key once"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Comma-separated keys of labels.
fn label_keys(list: &Given) -> Result<Vec<String>, ConfigError> {
    let mut keys: Vec<String> = Vec::new();
    for given in split(list) {
        let key = checked(&given, names::is_label_key, "the key of a label", "app or app.kubernetes.io/name")?;
        if keys.contains(&key) {
            return Err(given.wrong("is there twice", "give each label once"));
        }
        let prometheus = names::prometheus(&key);
        if let Some(other) = keys.iter().find(|other| names::prometheus(other) == prometheus) {
            let what = format!("has the same name in Prometheus as `{other}`");
            return Err(given.wrong(what, "give one of the two"));
        }
        if keys.len() == VmiLabel::MOST {
            return Err(given.wrong("is one label too many", format!("give {} at most", VmiLabel::MOST)));
        }
        keys.push(key);
    }
    Ok(keys)
}
