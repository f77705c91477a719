//! XML that libvirt does not write.

use super::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_LENGTH};
use super::*;
use crate::libvirt::decode::MAX_DEVICES;

#[test]
fn every_beginning_of_a_real_document_is_refused_as_truncated() {
    let xml = include_str!("../fixtures/tcg-running.xml");
    let end = xml.find("</devices>").unwrap() + "</devices>".len();
    for length in (0..end).filter(|length| xml.is_char_boundary(*length)) {
        let refused = parse(&xml[..length]).unwrap_err();
        assert!(matches!(refused, XmlError::Truncated { .. }), "{length} bytes: {refused:?}");
    }
    assert!(parse(&xml[..end]).is_ok());
}

#[test]
fn another_root_is_named_in_the_error() {
    for (xml, expected) in [
        ("<network type='kvm'/>", "network"),
        ("<q:domain type='kvm'/>", "q:domain"),
        ("<Domain type='kvm'/>", "Domain"),
        ("not xml <domain type='kvm'/>", "text"),
        ("&amp;<domain type='kvm'/>", "text"),
    ] {
        assert_eq!(parse(xml), Err(XmlError::Root { found: expected.to_owned() }), "{xml}");
    }
    let XmlError::Root { found } = parse(&format!("<{}/>", "x".repeat(1_000_000))).unwrap_err() else { panic!() };
    assert_eq!(found.len(), 64);
}

#[test]
fn a_domain_without_a_type_is_refused() {
    for root in ["<domain/>", "<domain type=''/>", "<domain x:type='kvm'/>", "<domain type='&kvm;'/>"] {
        assert_eq!(parse(root), Err(XmlError::NoType), "{root}");
    }
    for root in ["<domain type='kvm'/>", "<?xml version='1.0'?>\n<!-- x -->\n<domain type='&#107;vm'></domain>\n"] {
        assert_eq!(parse(root).map(|description| description.domain_type), Ok("kvm".into()), "{root}");
    }
}

#[test]
fn an_attribute_that_is_there_twice_is_refused() {
    for xml in [
        "<domain type='kvm' type='qemu'/>".to_owned(),
        domain("<disk><target dev='a' dev='b'/></disk>"),
        domain("<interface><mac address='a' address='a'/></interface>"),
    ] {
        assert!(matches!(parse(&xml), Err(XmlError::NotWellFormed { .. })), "{xml}");
    }
}

#[test]
fn what_breaks_the_rules_is_refused() {
    for devices in
        ["</disk>", "<disk></interface>", "<disk type=kvm/>", "<disk type/>", "<disk ='x'/>", "<!x>", "a & b"]
    {
        let refused = parse(&domain(devices));
        assert!(matches!(refused, Err(XmlError::NotWellFormed { .. })), "{devices}: {refused:?}");
    }
    let long = format!("<domain type='kvm'></{}>", "x".repeat(1_000_000));
    assert!(parse(&long).unwrap_err().to_string().len() < 1000, "an error does not repeat the document");
}

#[test]
fn a_bomb_of_entities_is_refused_before_it_is_read() {
    let xml = "<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>
               <!ENTITY kvm SYSTEM 'file:///etc/passwd'>]><domain type='&kvm;'><name>&b;</name></domain>";
    assert_eq!(parse(xml), Err(XmlError::DocumentType));
}

#[test]
fn a_reference_to_nothing_that_xml_defines_is_never_expanded() {
    let xml = "<domain type='kvm'><uuid>&b;</uuid><os><type arch='&b;'>&b;</type></os><devices/></domain>";
    let description = parse(xml).unwrap();
    assert_eq!((description.uuid, description.arch, description.os_type), (None, None, None));
}

#[test]
fn each_bound_holds_exactly() {
    let padded = |length: usize| {
        let domain = domain("");
        format!("<!--{}-->{domain}", "x".repeat(length - 7 - domain.len()))
    };
    assert!(parse(&padded(MAX_LENGTH)).is_ok());
    let length = MAX_LENGTH + 1;
    assert_eq!(parse(&padded(length)), Err(XmlError::TooLong { length, limit: MAX_LENGTH }));

    // <domain> and <devices> are two deep, and two elements.
    let nested = |depth: usize| domain(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
    let room = MAX_DEPTH as usize - 2;
    assert!(parse(&nested(room)).is_ok());
    assert_eq!(parse(&nested(room + 1)), Err(XmlError::TooDeep));

    let many = |elements: usize| domain(&"<a/>".repeat(elements));
    let room = MAX_ELEMENTS as usize - 2;
    assert!(parse(&many(room)).is_ok());
    assert_eq!(parse(&many(room + 1)), Err(XmlError::TooManyElements));

    let attributes = |count: usize| {
        let attributes: String = (0..count).map(|at| format!(" a{at}='x'")).collect();
        domain(&format!("<disk{attributes}/>"))
    };
    assert!(parse(&attributes(MAX_ATTRIBUTES)).is_ok());
    assert_eq!(parse(&attributes(MAX_ATTRIBUTES + 1)), Err(XmlError::TooManyAttributes));
}

#[test]
fn more_devices_than_a_machine_has_slots_for_are_not_taken() {
    let devices: String = (0..MAX_DEVICES + 3)
        .map(|at| format!("<disk><target dev='d{at}'/></disk><interface><target dev='n{at}'/></interface>"))
        .collect();
    let description = parse(&domain(&devices)).unwrap();
    assert_eq!((description.disks.len(), description.nics.len()), (MAX_DEVICES, MAX_DEVICES));
}

#[test]
fn a_number_out_of_range_is_absent() {
    for (mtu, expected) in [("9000", Some(9000)), ("0", None), ("-1", None), ("4294967296", None), ("", None)] {
        assert_eq!(nic(&format!("<interface><mtu size='{mtu}'/></interface>")).mtu, expected, "{mtu}");
    }
}
