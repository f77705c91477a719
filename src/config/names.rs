//! How Kubernetes spells its names.

/// The longest DNS subdomain.
const SUBDOMAIN: usize = 253;
/// The longest DNS label.
const DNS_LABEL: usize = 63;
/// The longest value of a label, and the longest name in a label's key.
pub(super) const LABEL_VALUE: usize = 63;
/// How a UUID is divided by hyphens.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];
/// The UID of a static pod: a hash in hexadecimal digits, without hyphens.
const STATIC_POD_UID: usize = 32;

/// Lower-case letters, digits and hyphens, with no hyphen at either end: RFC 1123, as Kubernetes reads it.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= DNS_LABEL && is_dns_word(name)
}

/// DNS words with dots between. Kubernetes limits the whole, not its words.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN && name.split('.').all(is_dns_word)
}

fn is_dns_word(word: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    has_ends(word, inside) && word.bytes().all(|byte| inside(byte) || byte == b'-')
}

/// A UUID, or what the kubelet gives a static pod instead.
pub(super) fn is_pod_uid(uid: &str) -> bool {
    let is_hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = uid.split('-').map(str::len).eq(UUID_PARTS) && uid.split('-').all(is_hexadecimal);
    is_uuid || (uid.len() == STATIC_POD_UID && is_hexadecimal(uid))
}

/// `name` or `prefix/name`.
pub(super) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_name = name.len() <= LABEL_VALUE
        && has_ends(name, |byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    is_name && prefix.is_none_or(is_dns_subdomain)
}

/// What is left of a label's key in Prometheus: letters, digits, and one underscore for whatever is between them.
pub(super) fn prometheus(key: &str) -> String {
    let words = key.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// Whether the first and last bytes exist and satisfy `such`.
fn has_ends(text: &str, such: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(&such) && text.bytes().last().is_some_and(&such)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_label_is_one_lower_case_word() {
        for good in ["a", "0", "vms", "a-b", "a--b", &"a".repeat(63)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "A", "a.b", "-a", "a-", "a_b", "a b", "ä", "a/b", "..", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }

    #[test]
    fn a_dns_subdomain_is_such_words_with_dots_between() {
        let longest = format!("{}.{}", "a".repeat(126), "b".repeat(126));
        for good in ["a", "node-1", "ip-10-0-0-1.eu-west-1.compute.internal", "10.0.0.1", &longest] {
            assert!(is_dns_subdomain(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.-b", "Node", "a/b", "../a", "a\n", &format!("{longest}c")] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }

    #[test]
    fn the_uid_of_a_pod_is_a_uuid_or_a_static_pods_hash() {
        for good in ["2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c90", "0123456789abcdef0123456789abcdef"] {
            assert!(is_pod_uid(good), "{good}");
        }
        let hyphens = "-".repeat(32);
        for bad in [
            "",
            "..",
            "2c4d3f0e",
            "2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c9",
            "2c4d3f0e-9a51-4c7e-8f0b-6d1a5e3b7c9g",
            "0123456789abcdef0123456789abcdeg",
            "../../../../../../../etc/passwd0",
            &hyphens,
            "0123456789abcdef-123456789abcdef",
        ] {
            assert!(!is_pod_uid(bad), "{bad}");
        }
    }

    #[test]
    fn the_key_of_a_label_is_a_name_perhaps_behind_a_subdomain() {
        let longest = format!("{}/{}", "a".repeat(253), "N".repeat(63));
        for good in ["app", "App", "a_b.c-d", "1", "app.kubernetes.io/name", "kubevirt.io/nodeName", &longest] {
            assert!(is_label_key(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a/b/c", "-a", "a_", "A.io/b", "a b", "app=web", "app*", "ä", &"a".repeat(64)]
        {
            assert!(!is_label_key(bad), "{bad}");
        }
    }

    #[test]
    fn keys_that_look_alike_in_prometheus_are_one() {
        for alike in ["a.b", "a-b", "a_b", "a/b", "a__b"] {
            assert_eq!(prometheus(alike), "a_b");
        }
        assert_ne!(prometheus("ab"), prometheus("a_b"));
    }
}
