//! Invariants for every string.

use proptest::prelude::*;
use quick_xml::escape::escape;

use super::limits::LONGEST_VALUE;
use super::*;
use crate::model::Description;

/// Pieces of domain XML, so that many mixes are nearly a domain.
const PIECES: &[&str] = &[
    "<domain type='kvm'>",
    "</domain>",
    "<devices>",
    "</devices>",
    "<devices/>",
    "<os>",
    "</os>",
    "<type arch='x'>",
    "</type>",
    "<uuid>",
    "</uuid>",
    "<disk type='file' device='disk'>",
    "</disk>",
    "<disk/>",
    "<target dev='vda'/>",
    "<source file='/a'/>",
    "<source>",
    "</source>",
    "<backingStore>",
    "</backingStore>",
    "<iotune>",
    "</iotune>",
    "<throttlegroups>",
    "</throttlegroups>",
    "<throttlegroup><group_name>g</group_name>",
    "</throttlegroup>",
    "<throttlefilters><throttlefilter group='g'/>",
    "</throttlefilters>",
    "<read_iops_sec>",
    "</read_iops_sec>",
    "5",
    "<serial>",
    "</serial>",
    "<interface type='bridge'>",
    "</interface>",
    "<mac address='a'/>",
    "<mtu size='1500'/>",
    "<alias name='ua-x'/>",
    "&amp;",
    "&x;",
    "&#65;",
    "&",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?x",
    "?>",
    "<!DOCTYPE x>",
    "<",
    ">",
    "'",
    "\"",
    " ",
    "\u{0}",
    "é",
    "<x:disk>",
    "</x:disk>",
    "type='a' type='b'",
    "=",
];

fn within_bounds(description: &Description) -> bool {
    let short =
        |text: &Option<Arc<str>>| text.as_ref().is_none_or(|text| !text.is_empty() && text.len() <= LONGEST_VALUE);
    let disks = description.disks.iter().all(|disk| {
        !disk.target.is_empty() && [&disk.source, &disk.serial, &disk.user_alias, &disk.bus].into_iter().all(short)
    });
    let nics = description.nics.iter().all(|nic| [&nic.target, &nic.mac, &nic.source].into_iter().all(short));
    disks && nics && short(&description.arch) && short(&description.os_type) && !description.domain_type.is_empty()
}

proptest! {
    #[test]
    fn any_string_is_read_or_refused(xml in any::<String>()) {
        prop_assert!(parse(&xml).is_ok_and(|description| within_bounds(&description)) || parse(&xml).is_err());
    }

    #[test]
    fn any_soup_is_read_or_refused(
        begun in any::<bool>(), pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60),
    ) {
        let begin = if begun { "<domain type='kvm'><devices>" } else { "" };
        let soup = format!("{begin}{}", pieces.concat());
        if let Ok(description) = parse(&soup) {
            prop_assert!(within_bounds(&description), "{soup}");
        }
    }

    /// A real document with one piece of it removed, doubled or replaced.
    #[test]
    fn a_damaged_document_is_read_or_refused(
        from in 0_usize..4000, length in 0_usize..60, piece in prop::sample::select(PIECES),
    ) {
        let xml = include_str!("../fixtures/kvm-mirror-chain.xml").as_bytes();
        let from = from.min(xml.len());
        let to = (from + length).min(xml.len());
        let damaged = [&xml[..from], piece.as_bytes(), &xml[to..]].concat();
        if let Ok(description) = parse(&String::from_utf8_lossy(&damaged)) {
            prop_assert!(within_bounds(&description));
        }
    }

    /// Values written as XML are read back unchanged.
    #[test]
    fn values_come_back_as_they_were_written(
        target in "[a-z]{1,8}", source in "\\PC{1,60}", serial in "[!-~]{1,20}", limit in 1..i64::MAX.cast_unsigned(),
    ) {
        let disk = disk(&format!(
            "<disk type='file'><source file='{}'/><target dev='{target}'/><serial>{}</serial><iotune>\
             <read_bytes_sec>{limit}</read_bytes_sec></iotune></disk>",
            escape(&*source), escape(&*serial),
        ));
        prop_assert_eq!(&*disk.target, target.as_str());
        prop_assert_eq!(disk.source.as_deref(), Some(source.as_str()));
        prop_assert_eq!(disk.serial.as_deref(), Some(serial.as_str()));
        prop_assert_eq!(disk.limits.read_bytes.map(|bytes| bytes.0), Some(limit));
    }
}
