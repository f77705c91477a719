//! What whoever made a domain wrote into its XML for others: its title, its operating system, what OpenStack calls it.

use std::sync::Arc;

use super::{Bytes, names};

/// What a domain's XML says besides the machine. libvirt keeps it and makes no use of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    texts: [Option<Arc<str>>; MetadataKey::ALL.len()],
    /// The sizes that OpenStack's flavor has.
    pub flavor: Flavor,
}

impl Metadata {
    /// What is said of this.
    #[must_use]
    pub fn get(&self, key: MetadataKey) -> Option<&Arc<str>> {
        self.texts[key as usize].as_ref()
    }

    /// Sets what is said of this, unless something was said already.
    pub fn set(&mut self, key: MetadataKey, text: Option<Arc<str>>) {
        let slot = &mut self.texts[key as usize];
        if slot.is_none() {
            *slot = text;
        }
    }

    /// What is said, with what it is about.
    pub fn texts(&self) -> impl Iterator<Item = (MetadataKey, &Arc<str>)> {
        MetadataKey::ALL.into_iter().filter_map(|key| Some((key, self.get(key)?)))
    }
}

/// A text of [`Metadata`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetadataKey {
    /// `/domain/title`
    Title,
    /// `/domain/metadata/libosinfo:libosinfo/libosinfo:os/@id`
    Os,
    /// `/domain/metadata/nova:instance/nova:name`
    InstanceName,
    /// `…/nova:flavor/@name`
    Flavor,
    /// `…/nova:owner/nova:project/@uuid`
    ProjectId,
    /// `…/nova:owner/nova:project`
    ProjectName,
    /// `…/nova:owner/nova:user/@uuid`
    UserId,
    /// `…/nova:owner/nova:user`
    UserName,
    /// `…/nova:root/@uuid` of the type `image`, or `…/nova:image/@uuid`
    Image,
}

impl MetadataKey {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Title,
        Self::Os,
        Self::InstanceName,
        Self::Flavor,
        Self::ProjectId,
        Self::ProjectName,
        Self::UserId,
        Self::UserName,
        Self::Image,
    ];

    /// The words for them: labels of info metrics, and the values of `--metadata-labels`.
    pub const WORDS: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Os => "os_id",
            Self::InstanceName => "instance_name",
            Self::Flavor => "flavor",
            Self::ProjectId => "project_id",
            Self::ProjectName => "project_name",
            Self::UserId => "user_id",
            Self::UserName => "user_name",
            Self::Image => "image_id",
        }
    }

    /// The label that it is on every series of a VM, if the configuration allows it there.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Title => "metadata_title",
            Self::Os => "metadata_os_id",
            Self::InstanceName => "metadata_instance_name",
            Self::Flavor => "metadata_flavor",
            Self::ProjectId => "metadata_project_id",
            Self::ProjectName => "metadata_project_name",
            Self::UserId => "metadata_user_id",
            Self::UserName => "metadata_user_name",
            Self::Image => "metadata_image_id",
        }
    }
}

/// The longest text that becomes a label of every series, in bytes: OpenStack's names have 255 characters at most.
const LABEL_MAX: usize = 256;

/// Those texts that every series of a VM has as labels: what was said when its incarnation began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataLabels(Arc<[(MetadataKey, Arc<str>)]>);

impl MetadataLabels {
    /// What is said of these keys. A text that is too long for a label is left out.
    #[must_use]
    pub fn of(metadata: &Metadata, keys: &[MetadataKey]) -> Self {
        let said = keys.iter().filter_map(|key| Some((*key, Arc::clone(metadata.get(*key)?))));
        Self(said.filter(|(_, text)| text.len() <= LABEL_MAX).collect())
    }

    /// The labels with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, text)| (key.label(), &**text))
    }
}

/// The sizes of OpenStack's flavor: what was ordered, which may be more than what the VM uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flavor {
    /// `nova:vcpus`
    pub vcpus: Option<u64>,
    /// `nova:memory`, which is in MiB there.
    pub memory: Option<Bytes>,
    /// `nova:disk`, in GiB: the disk with the operating system.
    pub disk: Option<Bytes>,
    /// `nova:ephemeral`, in GiB: a further disk that ends with the VM.
    pub ephemeral: Option<Bytes>,
    /// `nova:swap`, in MiB.
    pub swap: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_first_stays() {
        let mut metadata = Metadata::default();
        for text in [None, Some("first"), Some("second"), None] {
            metadata.set(MetadataKey::Title, text.map(Into::into));
        }
        assert_eq!(metadata.texts().collect::<Vec<_>>(), [(MetadataKey::Title, &Arc::from("first"))]);
    }

    #[test]
    fn labels_are_the_chosen_texts_that_are_not_too_long() {
        let mut metadata = Metadata::default();
        metadata.set(MetadataKey::Title, Some("x".repeat(LABEL_MAX + 1).into()));
        metadata.set(MetadataKey::ProjectName, Some("x".repeat(LABEL_MAX).into()));
        metadata.set(MetadataKey::Flavor, Some("m1.small".into()));
        let chosen = [MetadataKey::Flavor, MetadataKey::Title, MetadataKey::ProjectName, MetadataKey::UserName];
        let labels = MetadataLabels::of(&metadata, &chosen);
        let labels: Vec<_> = labels.iter().map(|(label, text)| (label, text.len())).collect();
        assert_eq!(labels, [("metadata_flavor", 8), ("metadata_project_name", LABEL_MAX)]);
    }

    #[test]
    fn a_label_is_named_after_its_key() {
        for key in MetadataKey::ALL {
            assert_eq!(key.label(), format!("metadata_{}", key.as_str()));
            assert_eq!(MetadataKey::ALL[key as usize], key);
        }
    }
}
