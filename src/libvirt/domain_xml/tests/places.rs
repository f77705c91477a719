//! Elements only count in their place.

use super::*;

#[test]
fn an_applications_metadata_is_none_of_ours() {
    let description = parse(
        "<domain type='kvm'><metadata>
           <devices><disk><target dev='vdx'/></disk></devices>
           <a:app xmlns:a='urn:a' xmlns='urn:b'><os><type arch='z80'>no</type></os><uuid>no</uuid></a:app>
         </metadata><name>devices</name><description>&lt;devices></description><devices/></domain>",
    )
    .unwrap();
    assert!(description.disks.is_empty());
    assert_eq!((description.arch, description.os_type, description.uuid), (None, None, None));
}

#[test]
fn elements_of_the_same_name_inside_a_device_are_none_of_its_own() {
    let disk = disk(
        "<disk type='network' device='disk'>
           <source protocol='iscsi' name='iqn/1'>
             <host name='h'/><auth username='u'><secret type='iscsi' usage='s'/></auth>
             <reservations><source type='unix' path='/s'/></reservations>
           </source>
           <auth username='u'><secret type='iscsi' usage='s'/><alias name='ua-secret'/></auth>
           <backingStore type='file'><source file='/b' name='b'/><target dev='vdy'/><driver type='qcow2'/>
             <backingStore type='network'><source protocol='nbd' name='n'/></backingStore></backingStore>
           <mirror type='file'><source file='/m' name='m'/><target dev='vdz'/><serial>M</serial></mirror>
           <target dev='vda' bus='scsi'/>
         </disk>",
    );
    assert_eq!(
        disk,
        DiskDescription {
            target: "vda".into(),
            source_kind: Some("network".into()),
            source: Some("iqn/1".into()),
            protocol: Some("iscsi".into()),
            bus: Some("scsi".into()),
            device: Some("disk".into()),
            ..DiskDescription::default()
        }
    );
}

#[test]
fn an_interface_inside_another_device_is_none() {
    let description = parse(&domain(
        "<hostdev mode='capabilities' type='net'><source><interface>eth0</interface></source></hostdev>
         <hostdev><interface type='bridge'><target dev='x'/></interface></hostdev>
         <controller><disk><target dev='x'/></disk></controller>",
    ))
    .unwrap();
    assert!(description.disks.is_empty() && description.nics.is_empty());
}

#[test]
fn a_prefix_makes_another_name() {
    let description = parse(
        "<domain xmlns:q='urn:q' q:type='qemu' type='kvm'>
           <q:uuid>44444444-4444-4444-8444-444444444444</q:uuid>
           <q:devices><disk><target dev='a'/></disk></q:devices>
           <devices><q:disk><target dev='b'/></q:disk>
             <disk><q:target dev='c'/><target q:dev='d' dev='e'/></disk></devices></domain>",
    )
    .unwrap();
    assert_eq!(&*description.domain_type, "kvm");
    assert_eq!(description.uuid, None);
    assert_eq!(description.disks.iter().map(|disk| &*disk.target).collect::<Vec<_>>(), ["e"]);
}

#[test]
fn nothing_behind_the_devices_is_read() {
    for rest in ["</domain>", "<seclabel>&bomb;", "<", "", "</devices>", "<devices><disk><target dev='b'/></disk>"] {
        let xml = format!("<domain type='kvm'><devices><disk><target dev='a'/></disk></devices>{rest}");
        assert_eq!(parse(&xml).map(|description| description.disks.len()), Ok(1), "{rest:?}");
    }
}

#[test]
fn text_may_come_in_pieces() {
    for (serial, expected) in [
        ("plain", Some("plain")),
        (" \n plain\t", Some("plain")),
        ("a&amp;b&lt;&#99;&#x64;", Some("a&b<cd")),
        ("a<![CDATA[<b>&amp;]]>c", Some("a<b>&amp;c")),
        ("a<!-- no -->b<?no no?>c", Some("abc")),
        ("", None),
        ("  ", None),
        ("a<b>c</b>d", None),
        ("a&unknown;b", None),
        ("a&#0;b", None),
        ("é", Some("é")),
    ] {
        let devices = format!("<disk><target dev='a'/><serial>{serial}</serial><target dev='b'/></disk>");
        let disk = disk(&devices);
        assert_eq!(disk.serial.as_deref(), expected, "{serial}");
        assert_eq!(&*disk.target, "b", "reading goes on behind it");
    }
}

#[test]
fn attributes_are_unescaped_once_and_kept_out_if_they_cannot_be() {
    for (file, expected) in [
        ("/a&amp;b", Some("/a&b")),
        ("/a&amp;amp;b", Some("/a&amp;b")),
        ("/&#x41;", Some("/A")),
        ("/&lt;>", Some("/<>")),
        ("/&unknown;", None),
        ("/&#xFFFFFFFF;", None),
        ("/&", None),
    ] {
        let devices = format!("<disk type=\"file\"><source file=\"{file}\"/><target dev='a'/></disk>");
        assert_eq!(disk(&devices).source.as_deref(), expected, "{file}");
    }
}

#[test]
fn a_value_too_long_is_absent_and_never_cut() {
    let longest = "x".repeat(limits::LONGEST_VALUE);
    for (text, kept) in [(longest.clone(), true), (longest + "x", false)] {
        let disk =
            disk(&format!("<disk type='file'><target dev='a'/><source file='{text}'/><serial>{text}</serial></disk>"));
        assert_eq!((disk.source.is_some(), disk.serial.is_some()), (kept, kept));
        assert_eq!(parse(&format!("<domain type='{text}'></domain>")).is_ok(), kept);
    }
}

#[test]
fn a_disk_without_a_target_or_with_anothers_is_left_out() {
    let description = parse(&domain(
        "<disk/><disk><target/></disk><disk><target dev=''/></disk>
         <disk device='disk'><target dev='a'/></disk><disk device='cdrom'><target dev='a'/></disk>",
    ))
    .unwrap();
    assert_eq!(description.disks.len(), 1);
    assert_eq!(description.disks[0].device.as_deref(), Some("disk"));
}

#[test]
fn a_balloon_is_there_with_its_period_without_one_or_not_at_all() {
    use crate::model::BalloonDescription;
    use std::time::Duration;

    let balloon = |xml: &str| parse(&domain(xml)).unwrap().balloon;
    let with = |period| Some(BalloonDescription { period });
    assert_eq!(
        balloon("<memballoon model='virtio'><stats period='10'/></memballoon>"),
        with(Some(Duration::from_secs(10)))
    );
    for without in [
        "<memballoon model='virtio'/>",
        "<memballoon model='virtio'><stats period='0'/></memballoon>",
        "<memballoon model='virtio'><stats period='-1'/><alias period='3'/></memballoon>",
        "<memballoon model='virtio'><driver><stats period='5'/></driver></memballoon>",
    ] {
        assert_eq!(balloon(without), with(None), "{without}");
    }
    for none in ["", "<memballoon model='none'/>", "<controller><memballoon model='virtio'/></controller>"] {
        assert_eq!(balloon(none), None, "{none}");
    }
}
