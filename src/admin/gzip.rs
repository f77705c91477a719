//! Compression of a page, in slices: a large page must not keep a worker from other tasks.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::limits::GZIP_SLICE;

/// Whether a client accepts gzip: its Accept-Encoding header names it, or everything, and does not rule it out.
pub(super) fn accepted(header: Option<&str>) -> bool {
    let mut any = false;
    for choice in header.unwrap_or_default().split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let ruled_out = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|quality| quality.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0));
        if coding.eq_ignore_ascii_case("gzip") {
            return !ruled_out;
        }
        any |= coding == "*" && !ruled_out;
    }
    any
}

/// Compresses the page, as fast as possible: text of metrics shrinks to a tenth at every level.
pub(super) async fn compress(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    for slice in page.chunks(GZIP_SLICE) {
        encoder.write_all(slice)?;
        tokio::task::yield_now().await;
    }
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_accept_encoding() {
        for header in ["gzip", "gzip, deflate", "br;q=1.0, GZIP;q=0.8", "*", "*;q=0.1"] {
            assert!(accepted(Some(header)), "{header}");
        }
        for header in ["", "identity", "gzip;q=0", "*, gzip;q=0.0", "*;q=0", "xgzip", ";q=", ",,,"] {
            assert!(!accepted(Some(header)), "{header}");
        }
        assert!(!accepted(None));
    }
}
