//! Amounts as Kubernetes writes them: `1Gi`, `128974848`, `129e6`, `129M`, `0.5Gi`, `128974848000m`.

use crate::model::Bytes;

/// The bytes of a quantity, rounded up as Kubernetes does. `None` if it is no quantity, is negative, or exceeds 64
/// bits.
pub(super) fn bytes(text: &str) -> Option<Bytes> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // The number is `mantissa / 10^decimals`.
    let fraction = fraction.trim_end_matches('0');
    let mantissa = whole
        .chars()
        .chain(fraction.chars())
        .try_fold(0_u128, |value, digit| value.checked_mul(10)?.checked_add(u128::from(digit.to_digit(10)?)))?;
    let decimals = i32::try_from(fraction.len()).ok()?;
    let (tens, twos) = scale(suffix)?;
    let exponent = tens.checked_sub(decimals)?;
    let value = mantissa.checked_mul(1_u128.checked_shl(twos)?)?;
    let value = match u32::try_from(exponent) {
        Ok(exponent) => power(exponent).map_or((value == 0).then_some(0), |ten| value.checked_mul(ten)),
        // The divisor exceeds any value: what remains rounds up to one byte.
        Err(_) => Some(power(exponent.unsigned_abs()).map_or_else(|| value.min(1), |ten| value.div_ceil(ten))),
    }?;
    u64::try_from(value).ok().map(Bytes)
}

fn power(exponent: u32) -> Option<u128> {
    10_u128.checked_pow(exponent)
}

/// What a suffix multiplies by, as exponents of ten and of two.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        exponent => {
            let exponent = exponent.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (exponent.parse().ok()?, 0)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn says(text: &str) -> Option<u64> {
        bytes(text).map(|bytes| bytes.0)
    }

    #[test]
    fn every_way_of_writing_an_amount_is_understood() {
        for (text, value) in [
            ("0", 0),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129E+6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 123 << 20),
            ("1Gi", 1 << 30),
            ("0.5Gi", 1 << 29),
            (".5Ki", 512),
            ("1.Ki", 1024),
            ("+2k", 2000),
            ("128974848000m", 128_974_848),
            ("1500000u", 2),
            ("1n", 1),
            ("1e-30", 1),
            ("1e-99", 1),
            ("0e99", 0),
            ("2.5E", 2_500_000_000_000_000_000),
            ("15Ei", 15 << 60),
            ("3T", 3_000_000_000_000),
            ("2P", 2_000_000_000_000_000),
            ("2Ti", 2 << 40),
            ("2Pi", 2 << 50),
            ("7G", 7_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(says(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_of_bytes_is_absent() {
        for text in [
            "",
            ".",
            "-1",
            "-1Gi",
            "Gi",
            "1gi",
            "1KiB",
            "1 Gi",
            "1Gi ",
            "1..5",
            "1.5.5",
            "1e",
            "1e+",
            "1e++6",
            "0x10",
            "NaN",
            "inf",
            "16Ei",
            "18446744073709551616",
            "1e20",
            "1e999999999999",
            "१Gi",
        ] {
            assert_eq!(says(text), None, "{text}");
        }
        assert_eq!(says(&"9".repeat(60)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_an_amount_or_none(text in "\\PC{0,40}") {
            _ = bytes(&text);
        }

        #[test]
        fn a_number_and_a_binary_suffix_is_their_product(number in 0_u64..1 << 20, suffix in 0_usize..4) {
            let (name, shift) = [("", 0), ("Ki", 10), ("Mi", 20), ("Gi", 30)][suffix];
            prop_assert_eq!(says(&format!("{number}{name}")), Some(number << shift));
        }
    }
}
