//! Real XML, field by field.

use std::time::Duration;

use crate::model::{BalloonDescription, Bytes, HypervisorType, IoLimits};

use super::*;

#[test]
fn a_running_domain_field_by_field() {
    let description = parse(include_str!("../fixtures/tcg-running.xml")).unwrap();
    assert_eq!(description.hypervisor(), HypervisorType::QemuTcg);
    assert_eq!(&*description.domain_type, "qemu");
    assert_eq!(description.uuid, Some(Uuid::from_u128(0x44444444_4444_4444_8444_444444444444)));
    assert_eq!(description.os_type.as_deref(), Some("hvm"));
    assert_eq!(description.arch.as_deref(), Some("x86_64"));
    assert_eq!(description.machine.as_deref(), Some("pc-q35-7.2"));
    assert_eq!(description.balloon, Some(BalloonDescription { period: Some(Duration::from_secs(2)) }));
    let data = DiskDescription {
        target: "vda".into(),
        user_alias: Some("data".into()),
        source_kind: Some("file".into()),
        source: Some("/var/lib/images/e.raw".into()),
        protocol: None,
        bus: Some("virtio".into()),
        device: Some("disk".into()),
        format: Some("raw".into()),
        cache: Some("none".into()),
        serial: Some("SER-A".into()),
        limits: IoLimits {
            total_bytes: Some(Bytes(10_000_000)),
            total_bytes_burst: Some(Bytes(20_000_000)),
            total_bytes_burst_length: Some(Duration::from_secs(5)),
            read_requests: Some(400),
            write_requests: Some(300),
            ..IoLimits::default()
        },
    };
    let plain = DiskDescription {
        target: "vdb".into(),
        source_kind: Some("file".into()),
        source: Some("/var/lib/images/f.qcow2".into()),
        bus: Some("virtio".into()),
        device: Some("disk".into()),
        format: Some("qcow2".into()),
        ..DiskDescription::default()
    };
    let empty_drive = DiskDescription {
        target: "sda".into(),
        source_kind: Some("file".into()),
        bus: Some("sata".into()),
        device: Some("cdrom".into()),
        ..DiskDescription::default()
    };
    let disks: Vec<_> = description.disks.iter().map(|disk| (**disk).clone()).collect();
    assert_eq!(disks, [data, plain, empty_drive], "none from <metadata>, where the fixture has one too");
    let user_mode = NicDescription {
        user_alias: Some("net0".into()),
        mac: Some("52:54:00:00:00:04".into()),
        model: Some("virtio".into()),
        source_kind: Some("user".into()),
        ..NicDescription::default()
    };
    let tap = NicDescription {
        target: Some("vnet7".into()),
        mac: Some("52:54:00:00:00:05".into()),
        model: Some("virtio".into()),
        source_kind: Some("ethernet".into()),
        mtu: Some(1400),
        ..NicDescription::default()
    };
    let nics: Vec<_> = description.nics.iter().map(|nic| (**nic).clone()).collect();
    assert_eq!(nics, [user_mode, tap]);
}

#[test]
fn a_disk_keeps_its_own_source_while_it_is_copied_and_has_a_backing_file() {
    let description = parse(include_str!("../fixtures/kvm-mirror-chain.xml")).unwrap();
    assert_eq!(description.hypervisor(), HypervisorType::Kvm);
    let source = |target| description.disk(target).and_then(|disk| disk.source.clone());
    assert_eq!(source("vda").as_deref(), Some("/var/lib/images/a.raw"), "not the copy");
    assert_eq!(source("vdb").as_deref(), Some("/var/lib/images/b-snap.qcow2"), "not the backing file");
    assert_eq!(description.disks.len(), 3);
}

#[test]
fn a_domain_with_nothing_in_it_and_one_that_does_not_run() {
    let bare = parse(include_str!("../fixtures/bare.xml")).unwrap();
    assert!(bare.disks.is_empty() && bare.nics.is_empty());
    assert_eq!(bare.machine.as_deref(), Some("pc-i440fx-7.2"));
    let inactive = parse(include_str!("../fixtures/tcg-inactive.xml")).unwrap();
    assert_eq!((inactive.disks.len(), inactive.nics.len()), (3, 1));
}

#[test]
fn the_source_is_named_by_the_attribute_that_belongs_to_the_disks_type() {
    for (kind, source, expected) in [
        ("file", "file='/a' dev='/b' name='c'", Some("/a")),
        ("block", "file='/a' dev='/b' name='c'", Some("/b")),
        ("vhostvdpa", "dev='/b'", Some("/b")),
        ("dir", "dir='/d'", Some("/d")),
        ("network", "protocol='rbd' name='pool/image'", Some("pool/image")),
        ("volume", "pool='p' volume='v'", Some("v")),
        ("vhostuser", "type='unix' path='/s'", Some("/s")),
        ("nvme", "type='pci' namespace='1'", None),
        ("later", "file='/a'", None),
        ("file", "file=''", None),
        ("file", "startupPolicy='optional'", None),
    ] {
        let disk = disk(&format!("<disk type='{kind}'><source {source}/><target dev='vda'/></disk>"));
        assert_eq!(disk.source.as_deref(), expected, "{kind} {source}");
        assert_eq!(disk.protocol.is_some(), kind == "network");
    }
}

#[test]
fn the_source_is_named_by_the_attribute_that_belongs_to_the_interfaces_type() {
    for (kind, source, expected) in [
        ("bridge", "bridge='br0'", Some("br0")),
        ("network", "network='default' portid='x' bridge='virbr0'", Some("default")),
        ("direct", "dev='eth0' mode='bridge'", Some("eth0")),
        ("vdpa", "dev='/dev/vhost-vdpa-0'", Some("/dev/vhost-vdpa-0")),
        ("vhostuser", "type='unix' path='/s' mode='client'", Some("/s")),
        ("ethernet", "dev='eth0'", None),
        ("hostdev", "", None),
    ] {
        let nic = nic(&format!("<interface type='{kind}'><source {source}/></interface>"));
        assert_eq!(nic.source.as_deref(), expected, "{kind} {source}");
        assert_eq!(nic.source_kind.as_deref(), Some(kind));
    }
}

#[test]
fn every_limit_and_none_for_0() {
    let names = [
        "total_bytes_sec",
        "read_bytes_sec",
        "write_bytes_sec",
        "total_iops_sec",
        "read_iops_sec",
        "write_iops_sec",
        "total_bytes_sec_max",
        "read_bytes_sec_max",
        "write_bytes_sec_max",
        "total_iops_sec_max",
        "read_iops_sec_max",
        "write_iops_sec_max",
        "total_bytes_sec_max_length",
        "read_bytes_sec_max_length",
        "write_bytes_sec_max_length",
        "total_iops_sec_max_length",
        "read_iops_sec_max_length",
        "write_iops_sec_max_length",
        "size_iops_sec",
    ];
    let limits = |number: &dyn Fn(usize) -> String| {
        let inner: String =
            names.iter().enumerate().map(|(at, name)| format!("<{name}>{}</{name}>", number(at))).collect();
        disk(&format!("<disk><target dev='a'/><iotune>{inner}<group_name>g</group_name></iotune></disk>")).limits
    };
    let (bytes, number, secs) = (|n| Some(Bytes(n)), |n: u64| Some(n), |n| Some(Duration::from_secs(n)));
    assert_eq!(
        limits(&|at| (at + 1).to_string()),
        IoLimits {
            total_bytes: bytes(1),
            read_bytes: bytes(2),
            write_bytes: bytes(3),
            total_requests: number(4),
            read_requests: number(5),
            write_requests: number(6),
            total_bytes_burst: bytes(7),
            read_bytes_burst: bytes(8),
            write_bytes_burst: bytes(9),
            total_requests_burst: number(10),
            read_requests_burst: number(11),
            write_requests_burst: number(12),
            total_bytes_burst_length: secs(13),
            read_bytes_burst_length: secs(14),
            write_bytes_burst_length: secs(15),
            total_requests_burst_length: secs(16),
            read_requests_burst_length: secs(17),
            write_requests_burst_length: secs(18),
            request_size: bytes(19),
        }
    );
    for none in ["0", "", "-1", "many", "9223372036854775808", "99999999999999999999999"] {
        assert_eq!(limits(&|_| none.to_owned()), IoLimits::default(), "{none:?}");
    }
}

/// From libvirt 11.2 on.
#[test]
fn of_several_throttle_groups_the_lowest_limit_of_each_kind_holds() {
    let xml = "<domain type='kvm'><throttlegroups>\
        <throttlegroup><group_name>fast</group_name><total_bytes_sec>900</total_bytes_sec>\
        <read_iops_sec>40</read_iops_sec><total_bytes_sec_max>2000</total_bytes_sec_max>\
        <total_bytes_sec_max_length>7</total_bytes_sec_max_length></throttlegroup>\
        <throttlegroup><group_name>slow</group_name><total_bytes_sec>500</total_bytes_sec>\
        <write_iops_sec>30</write_iops_sec><total_bytes_sec_max>1000</total_bytes_sec_max></throttlegroup>\
        <throttlegroup><total_bytes_sec>1</total_bytes_sec></throttlegroup><other/></throttlegroups><devices>\
        <disk><target dev='a'/><throttlefilters><throttlefilter group='fast'/><throttlefilter group='slow'/>\
        </throttlefilters></disk>\
        <disk><target dev='b'/><throttlefilters><throttlefilter group='fast'/><throttlefilter group='none'/>\
        <throttlefilter/><other group='slow'/></throttlefilters></disk>\
        <disk><target dev='c'/></disk></devices></domain>";
    let description = parse(xml).unwrap();
    let limits = |target: &str| description.disk(target).unwrap().limits.clone();
    let fast = IoLimits {
        total_bytes: Some(Bytes(900)),
        read_requests: Some(40),
        total_bytes_burst: Some(Bytes(2000)),
        total_bytes_burst_length: Some(Duration::from_secs(7)),
        ..IoLimits::default()
    };
    assert_eq!(limits("b"), fast);
    let both = IoLimits {
        total_bytes: Some(Bytes(500)),
        write_requests: Some(30),
        total_bytes_burst: Some(Bytes(1000)),
        total_bytes_burst_length: None,
        ..fast
    };
    assert_eq!(limits("a"), both, "the length belongs to the burst that it came with");
    assert_eq!(limits("c"), IoLimits::default());
}

#[test]
fn only_a_users_own_alias_is_one() {
    for (alias, expected) in
        [("ua-data", Some("data")), ("virtio-disk0", None), ("ua-", None), ("UA-x", None), ("x-ua-y", None)]
    {
        let devices = format!("<disk><target dev='a'/><alias name='{alias}'/></disk>");
        assert_eq!(disk(&devices).user_alias.as_deref(), expected, "{alias}");
    }
}
