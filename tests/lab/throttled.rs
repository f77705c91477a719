//! What disks may do per second, as libvirt says it.

use std::time::Duration;

use super::support::{Agent, Domain, Libvirtd, skipped};

/// The first version with throttle groups.
const GROUPS_SINCE: [u32; 2] = [11, 2];

#[test]
fn the_limits_of_a_disk_are_its_own_or_the_lowest_of_its_groups() {
    let libvirtd = Libvirtd::system();
    let name = "limited";
    let has_groups = libvirtd.version() >= GROUPS_SINCE.to_vec();
    let plain = Domain::tcg(name).disks(1).iotune(5_000_000, 500);
    let guest = if has_groups {
        let images = libvirtd.images();
        let image = images.join("grouped.img").display().to_string();
        std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let group = |name: &str, bytes: u32, requests: u32| {
            format!(
                "<throttlegroup><group_name>{name}</group_name><total_bytes_sec>{bytes}</total_bytes_sec>\
                 <read_iops_sec>{requests}</read_iops_sec></throttlegroup>"
            )
        };
        plain
            .element(&format!(
                "<throttlegroups>{}{}</throttlegroups>",
                group("many", 900_000, 40),
                group("few", 300_000, 70)
            ))
            .device(&format!(
                "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>\
                 <target dev='vdb' bus='virtio'/><throttlefilters><throttlefilter group='many'/>\
                 <throttlefilter group='few'/></throttlefilters></disk>"
            ))
    } else {
        skipped("throttle groups came with libvirt 11.2; iotune is tried");
        plain
    };
    libvirtd.create_paused(&guest);
    let agent = Agent::start(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--exporters", "prometheus"], &[]);
    let bytes = "libvirt_domain_storage_limit_traffic_bytes_per_second";
    let page =
        agent.wait_for(Duration::from_secs(20), "the disk's limits", |page| page.has(bytes, &[("domain", name)]));
    let limit = |metric: &str, drive: &str| page.get(metric, &[("domain", name), ("drive", drive)]);
    assert_eq!(limit(bytes, "vda"), Some(5_000_000.0));
    assert_eq!(limit("libvirt_domain_storage_limit_iops_per_second", "vda"), Some(500.0));
    if has_groups {
        assert_eq!(limit(bytes, "vdb"), Some(300_000.0));
        assert_eq!(limit("libvirt_domain_storage_limit_iops_read_per_second", "vdb"), Some(40.0));
        assert_eq!(limit("libvirt_domain_storage_limit_iops_per_second", "vdb"), None);
    }
}
