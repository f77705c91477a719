//! What OpenStack writes into a domain, through libvirt to the endpoint and the Collector.

use std::time::Duration;

use super::support::{Agent, Collector, CollectorOptions, Domain, Libvirtd};

const OPENSTACK: &str = "libvirt_domain_openstack_info";
const TITLE: &str = "libvirt_domain_metadata_info";

/// As Nova writes it.
pub(super) const INSTANCE: &str = "
    <title>The shop's web server</title>
    <metadata>
      <nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
        <nova:package version='29.2.0'/>
        <nova:name>web-1</nova:name>
        <nova:creationTime>2026-11-29 06:01:09</nova:creationTime>
        <nova:flavor name='m1.small'>
          <nova:memory>2048</nova:memory><nova:disk>20</nova:disk><nova:swap>0</nova:swap>
          <nova:ephemeral>0</nova:ephemeral><nova:vcpus>1</nova:vcpus>
        </nova:flavor>
        <nova:owner>
          <nova:user uuid='2c4d3f0e9a514c7e8f0b6d1a5e3b7c90'>alice</nova:user>
          <nova:project uuid='8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e'>shop</nova:project>
        </nova:owner>
        <nova:root type='image' uuid='275ecb36-5aa8-4c2a-9c47-d8bb681b9aff'/>
      </nova:instance>
      <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
        <libosinfo:os id='http://debian.org/debian/12'/>
      </libosinfo:libosinfo>
      <other:instance xmlns:other='urn:other'><other:name>not this</other:name></other:instance>
    </metadata>";

#[test]
fn an_instance_of_openstack_is_called_what_it_is_called_there() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("instance-0000002a").element(INSTANCE));
    let collector = Collector::start(CollectorOptions::file());
    let arguments =
        ["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--metadata-labels", "project_name,instance_name"];
    let agent = Agent::start(&arguments, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    let of = [("domain", "instance-0000002a"), ("metadata_project_name", "shop"), ("metadata_instance_name", "web-1")];
    let page = agent.wait_for(Duration::from_secs(10), "what OpenStack says", |page| page.has(OPENSTACK, &of));
    let all = [
        ("instance_name", "web-1"),
        ("flavor", "m1.small"),
        ("project_id", "8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e"),
        ("project_name", "shop"),
        ("user_id", "2c4d3f0e9a514c7e8f0b6d1a5e3b7c90"),
        ("user_name", "alice"),
        ("image_id", "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
    ];
    assert_eq!(page.get(OPENSTACK, &all), Some(1.0));
    let title = [("title", "The shop's web server"), ("os_id", "http://debian.org/debian/12")];
    assert_eq!(page.get(TITLE, &title), Some(1.0));
    for (size, value) in [
        ("vcpus", 1.0),
        ("memory_bytes", 2_147_483_648.0),
        ("disk_bytes", 21_474_836_480.0),
        ("ephemeral_bytes", 0.0),
        ("swap_bytes", 0.0),
    ] {
        assert_eq!(page.get(&format!("libvirt_domain_openstack_flavor_{size}"), &of), Some(value), "{size}");
    }

    let resource = |collector: &Collector, metric: &str| {
        let points = collector.points(metric);
        points.into_iter().map(|point| point.resource).next_back()
    };
    let before = collector.wait_for(Duration::from_secs(10), "its Resource", |collector| {
        resource(collector, "libvirt.domain.openstack.info")
    });
    for (key, value) in [
        ("libvirt.domain.name", "instance-0000002a"),
        ("libvirt.domain.title", "The shop's web server"),
        ("openstack.instance.name", "web-1"),
        ("openstack.project.name", "shop"),
        ("cloud.account.id", "8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e"),
        ("host.type", "m1.small"),
    ] {
        assert!(before.contains(&(key.to_owned(), value.to_owned())), "{key}: {before:?}");
    }

    // It gets another title: libvirt tells, and only what may change does.
    libvirtd.virsh(&["desc", "instance-0000002a", "--live", "--title", "Renamed"]);
    agent.wait_for(Duration::from_secs(10), "the new title", |page| {
        page.has(TITLE, &[("title", "Renamed")]) && page.all(TITLE, &[]).len() == 1
    });
    let title = |collector: &Collector| {
        let points = collector.points("libvirt.domain.metadata.info");
        points.into_iter().find(|point| point.attribute("libvirt.domain.title").as_deref() == Some("Renamed"))
    };
    let renamed = collector.wait_for(Duration::from_secs(10), "the new title", title);
    assert_eq!(renamed.resource, before, "a VM is one Resource as long as it runs");
}
