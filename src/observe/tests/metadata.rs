//! What a domain's XML says besides the machine: in its identity as it was at first, and as it is now.

use std::sync::Arc;

use uuid::Uuid;

use super::fake::{FakeDomain, Xml};
use super::{Bench, INTERVAL, MOMENT};
use crate::model::{Metadata, MetadataKey, Place};
use crate::observe::Settings;
use crate::source::DomainEvent;

const ONE: Uuid = Uuid::from_u128(1);

fn titled(domain: &mut FakeDomain, title: &str) {
    let Xml::Says(description) = &mut domain.xml else { panic!("its XML says something") };
    let mut metadata = Metadata::default();
    metadata.set(MetadataKey::Title, Some(title.into()));
    metadata.set(MetadataKey::Flavor, Some("m1.small".into()));
    description.metadata = Some(Arc::new(metadata));
}

/// A domain that is titled `before`, whose flavor is a label.
async fn one_that_is_titled(before: &str) -> Bench {
    let settings = Settings { metadata_labels: [MetadataKey::Flavor].into(), ..Settings::default() };
    Bench::of(settings, &["fake:///one"], |fakes| {
        fakes[0].runs(1);
        fakes[0].edit(ONE, |domain| titled(domain, before));
        fakes[0].connect();
    })
    .await
}

/// The title in its identity, and that of its present XML.
fn titles(bench: &Bench) -> [String; 2] {
    let vm = bench.vm(ONE);
    let Place::Host { metadata, .. } = &vm.identity.place else { panic!("it is on a host") };
    let now = vm.description.as_ref().and_then(|description| description.metadata.as_ref());
    [metadata.as_ref(), now].map(|one| one.and_then(|one| one.get(MetadataKey::Title)).unwrap().to_string())
}

#[tokio::test(start_paused = true)]
async fn a_new_title_is_told_and_the_identity_keeps_the_old_one() {
    let bench = one_that_is_titled("first").await;
    assert_eq!(titles(&bench), ["first", "first"]);
    bench.fake().edit(ONE, |domain| titled(domain, "second"));
    bench.fake().happens(ONE, DomainEvent::DevicesChanged);
    bench.pass(2 * INTERVAL).await;
    assert_eq!(titles(&bench), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn started_again_it_has_its_new_title_in_its_identity() {
    let bench = one_that_is_titled("first").await;
    bench.fake().edit(ONE, |domain| titled(domain, "second"));
    bench.fake().happens(ONE, DomainEvent::Stopped);
    bench.pass(MOMENT).await;
    bench.fake().happens(ONE, DomainEvent::Started { incoming_migration: false });
    bench.pass(2 * INTERVAL).await;
    assert_eq!(titles(&bench), ["second", "second"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_is_a_label() {
    let bench = one_that_is_titled("first").await;
    let vm = bench.vm(ONE);
    let Place::Host { labels, .. } = &vm.identity.place else { panic!("it is on a host") };
    assert_eq!(labels.iter().collect::<Vec<_>>(), [("metadata_flavor", "m1.small")]);
}
