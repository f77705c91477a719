//! What OpenStack and virt-manager write into a domain, and what others might.

use super::*;
use crate::model::{Bytes, Flavor, Metadata};

/// A domain as Nova makes it, with a namespace of Nova's and a prefix for it.
fn of_nova(namespace: &str, prefix: &str) -> String {
    let declared = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    let n = if prefix.is_empty() { String::new() } else { format!("{prefix}:") };
    format!(
        "<domain type='kvm' id='7'>
           <name>instance-0000002a</name>
           <uuid>629b29b9-b0fb-4766-b27d-f4a686d5cbda</uuid>
           <metadata>
             <{n}instance {declared}='{namespace}'>
               <{n}package version='29.2.0'/>
               <{n}name>web &amp; shop</{n}name>
               <{n}creationTime>2026-11-29 06:01:09</{n}creationTime>
               <{n}flavor name='m1.small' id='2'>
                 <{n}memory>2048</{n}memory><{n}disk>20</{n}disk><{n}swap>512</{n}swap>
                 <{n}ephemeral>0</{n}ephemeral><{n}vcpus>2</{n}vcpus>
                 <{n}extraSpecs><{n}extraSpec name='hw:vcpus'>8</{n}extraSpec></{n}extraSpecs>
               </{n}flavor>
               <{n}image uuid='275ecb36-5aa8-4c2a-9c47-d8bb681b9aff'><{n}name>not this</{n}name></{n}image>
               <{n}owner>
                 <{n}user uuid='2c4d3f0e'>alice</{n}user>
                 <{n}project uuid='8f0b6d1a'>shop</{n}project>
               </{n}owner>
               <{n}root type='image' uuid='275ecb36-5aa8-4c2a-9c47-d8bb681b9aff'/>
               <{n}ports><{n}port uuid='1'><{n}name>nor this</{n}name></{n}port></{n}ports>
             </{n}instance>
           </metadata>
           <devices><disk><target dev='vda'/></disk></devices>
         </domain>"
    )
}

fn metadata(xml: &str) -> Option<Metadata> {
    let description = parse(xml).unwrap();
    assert_eq!(&*description.domain_type, "kvm");
    description.metadata.map(|metadata| (*metadata).clone())
}

/// What a metadata element says.
fn of(element: &str) -> Vec<(&'static str, String)> {
    let found = metadata(&format!("<domain type='kvm'><metadata>{element}</metadata><devices/></domain>"));
    let texts = found.unwrap_or_default();
    texts.texts().map(|(key, text)| (key.as_str(), text.to_string())).collect()
}

const NOVA: &str = "http://openstack.org/xmlns/libvirt/nova/1.1";

#[test]
fn an_instance_of_openstack_field_by_field() {
    for namespace in [NOVA, "http://openstack.org/xmlns/libvirt/nova/1.0"] {
        for prefix in ["nova", "n", ""] {
            let found = metadata(&of_nova(namespace, prefix)).expect("its metadata");
            let texts: Vec<_> = found.texts().map(|(key, text)| (key.as_str(), &**text)).collect();
            assert_eq!(
                texts,
                [
                    ("instance_name", "web & shop"),
                    ("flavor", "m1.small"),
                    ("project_id", "8f0b6d1a"),
                    ("project_name", "shop"),
                    ("user_id", "2c4d3f0e"),
                    ("user_name", "alice"),
                    ("image_id", "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
                ]
            );
            assert_eq!(
                found.flavor,
                Flavor {
                    vcpus: Some(2),
                    memory: Some(Bytes::from_mib(2_048)),
                    disk: Some(Bytes::from_gib(20)),
                    ephemeral: Some(Bytes(0)),
                    swap: Some(Bytes::from_mib(512)),
                }
            );
        }
    }
}

#[test]
fn title_and_operating_system_are_what_virt_manager_writes() {
    let xml = "<domain type='kvm'><title> The shop's web server </title>
         <metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
           <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata><devices/></domain>";
    let found = metadata(xml).expect("its metadata");
    let texts: Vec<_> = found.texts().map(|(key, text)| (key.as_str(), &**text)).collect();
    assert_eq!(texts, [("title", "The shop's web server"), ("os_id", "http://debian.org/debian/12")]);
}

#[test]
fn without_any_there_is_none() {
    assert_eq!(metadata("<domain type='kvm'><title/><metadata/><devices/></domain>"), None);
    assert_eq!(metadata("<domain type='kvm'><devices/></domain>"), None);
}

#[test]
fn an_instance_of_another_namespace_is_none_of_openstacks() {
    for declared in [
        "",
        "xmlns:nova='urn:nova'",
        "xmlns='http://openstack.org/xmlns/libvirt/nova/1.1'",
        "xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1/more'",
        "xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1' xmlns:nova='urn:twice'",
    ] {
        assert_eq!(of(&format!("<nova:instance {declared}><nova:name>no</nova:name></nova:instance>")), []);
    }
    assert_eq!(
        of(&format!("<nova:instance xmlns:nova='{NOVA}'><name>a</name><other:name>b</other:name></nova:instance>")),
        [],
        "its children are of its namespace"
    );
    assert_eq!(
        of(&format!("<app><nova:instance xmlns:nova='{NOVA}'><nova:name>no</nova:name></nova:instance></app>")),
        [],
        "it stands in the metadata itself"
    );
}

#[test]
fn what_is_odd_in_metadata_costs_itself_alone() {
    let attributes: String = (0..100).map(|at| format!(" a{at}='x'")).collect();
    let long = "x".repeat(limits::LONGEST_VALUE + 1);
    for (children, expected) in [
        ("<n:name>a</n:name><n:name>b</n:name>".to_owned(), vec![("instance_name", "a")]),
        (format!("<n:name>{long}</n:name><n:flavor name='m1'/>"), vec![("flavor", "m1")]),
        (format!("<n:flavor{attributes} name='m1'/><n:name>a</n:name>"), vec![("instance_name", "a")]),
        ("<n:flavor name='m1' name='m2'/><n:name>a</n:name>".to_owned(), vec![("instance_name", "a")]),
        ("<n:name><b>a</b></n:name><n:flavor name=''/>".to_owned(), vec![]),
        ("<n:name>&nova;</n:name><n:flavor name='&nova;'/>".to_owned(), vec![]),
        ("<n:root type='volume' uuid='1'/>".to_owned(), vec![]),
    ] {
        let found = of(&format!("<n:instance xmlns:n='{NOVA}'>{children}</n:instance>"));
        let found: Vec<_> = found.iter().map(|(key, text)| (*key, text.as_str())).collect();
        assert_eq!(found, expected, "{children:.200}");
    }
}

#[test]
fn a_size_that_is_no_size_is_absent() {
    for (text, expected) in [
        ("20", Some(Bytes::from_gib(20))),
        ("0", Some(Bytes(0))),
        ("4294967295", Some(Bytes::from_gib(4_294_967_295))),
        ("4294967296", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("twenty", None),
    ] {
        let xml = of_nova(NOVA, "nova").replace("<nova:disk>20<", &format!("<nova:disk>{text}<"));
        assert_eq!(metadata(&xml).expect("its metadata").flavor.disk, expected, "{text}");
    }
}

#[test]
fn a_document_that_ends_in_its_metadata_is_refused() {
    let xml = of_nova(NOVA, "nova");
    let end = xml.find("</metadata>").unwrap();
    for length in (xml.find("<metadata>").unwrap()..end).step_by(7).filter(|length| xml.is_char_boundary(*length)) {
        assert!(matches!(parse(&xml[..length]), Err(XmlError::Truncated { .. })), "{length}");
    }
}
