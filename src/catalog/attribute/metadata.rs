//! What whoever made a domain wrote into its XML for others. Where OpenTelemetry has a key for it, that is the key.

use super::Attribute;
use crate::model::MetadataKey;

/// The attribute of a text.
#[must_use]
pub const fn of(key: MetadataKey) -> &'static Attribute {
    match key {
        MetadataKey::Title => &TITLE,
        MetadataKey::Os => &OS_ID,
        MetadataKey::InstanceName => &INSTANCE_NAME,
        MetadataKey::Flavor => &HOST_TYPE,
        MetadataKey::ProjectId => &CLOUD_ACCOUNT,
        MetadataKey::ProjectName => &PROJECT_NAME,
        MetadataKey::UserId => &USER_ID,
        MetadataKey::UserName => &USER_NAME,
        MetadataKey::Image => &HOST_IMAGE,
    }
}

/// The title.
pub const TITLE: Attribute = Attribute::open(
    "libvirt.domain.title",
    MetadataKey::Title.as_str(),
    "The title of the domain, which is for people.",
    &["The shop's first web server"],
);

/// The operating system that the domain is for.
pub const OS_ID: Attribute = Attribute::open(
    "libosinfo.os.id",
    MetadataKey::Os.as_str(),
    "The operating system that the domain was made for, by libosinfo's name.",
    &["http://debian.org/debian/12"],
);

/// The instance's name in OpenStack.
pub const INSTANCE_NAME: Attribute = Attribute::open(
    "openstack.instance.name",
    MetadataKey::InstanceName.as_str(),
    "The name of the instance in OpenStack, where the domain is called instance-0000002a or the like.",
    &["web-1"],
);

/// The flavor in OpenStack.
pub const HOST_TYPE: Attribute = Attribute::open(
    "host.type",
    MetadataKey::Flavor.as_str(),
    "The flavor of the instance in OpenStack.",
    &["m1.small"],
);

/// The project's UUID in OpenStack.
pub const CLOUD_ACCOUNT: Attribute = Attribute::open(
    "cloud.account.id",
    MetadataKey::ProjectId.as_str(),
    "The UUID of the project in OpenStack that the instance belongs to.",
    &["8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e"],
);

/// The project's name.
pub const PROJECT_NAME: Attribute = Attribute::open(
    "openstack.project.name",
    MetadataKey::ProjectName.as_str(),
    "The name of the project in OpenStack that the instance belongs to.",
    &["shop"],
);

/// The user's UUID in OpenStack.
pub const USER_ID: Attribute = Attribute::open(
    "openstack.user.id",
    MetadataKey::UserId.as_str(),
    "The UUID of the user in OpenStack who made the instance.",
    &["2c4d3f0e9a514c7e8f0b6d1a5e3b7c90"],
);

/// The user's name.
pub const USER_NAME: Attribute = Attribute::open(
    "openstack.user.name",
    MetadataKey::UserName.as_str(),
    "The name of the user in OpenStack who made the instance.",
    &["alice"],
);

/// The image in OpenStack.
pub const HOST_IMAGE: Attribute = Attribute::open(
    "host.image.id",
    MetadataKey::Image.as_str(),
    "The UUID of the image in OpenStack that the instance was made from.",
    &["275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"],
);
